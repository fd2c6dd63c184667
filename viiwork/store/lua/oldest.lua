#!lua flags=no-writes,allow-oom
-- How long the oldest job of a queue has been waiting for a worker, by the heads of its groups' lists, a slice of groups
-- at a time, those first that were not served for the longest. ARGV: queue, and the tenant and the group to go on from
-- (counted from 0; at 0 and 0 the ready queue, the suspects and the merges are looked at too). Answers {milliseconds since
-- that job was submitted, or -1 when none waits here, tenant and group to go on from}; a tenant of -1 says that this was all.
-- Paused batches, and jobs that wait for others or for their next try, are not looked at.

local queue, tenant_at, group_at = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local HEADS = 5 -- a job that was cancelled stays in its list until it comes to the front
local oldest, records, groups = NOW + 1, 3 * SLICE, SLICE

local function see(id, state)
  if records <= 0 then return false end
  records = records - 1
  local job = redis.call('HMGET', job_key(id), 'state', 'created_ms')
  if job[1] ~= state then return false end
  oldest = math.min(oldest, tonumber(job[2]))
  return true
end

local function see_head(list)
  for at = 0, HEADS - 1 do
    local id = redis.call('LINDEX', list, at)
    if not id or see(id, 'waiting') then return end
  end
end

if tenant_at == 0 and group_at == 0 then
  for _, id in ipairs(redis.call('ZRANGE', P .. 'released:' .. queue, 0, SLICE - 1)) do see(id, 'queued') end
  see_head(P .. 'suspects:' .. queue)
  see_head(P .. 'merges:' .. queue)
end

local tenants = redis.call('ZRANGE', P .. 'served:' .. queue, tenant_at, tenant_at + SLICE - 1)
for _, tenant in ipairs(tenants) do
  local some = redis.call('ZRANGE', P .. 'served:' .. queue .. ':' .. tenant, group_at, group_at + groups - 1)
  for _, group in ipairs(some) do
    local list = list_key(queue, group, tenant)
    see_head(list)
    see_head(bulk_list(list))
  end
  groups = groups - #some
  if groups <= 0 then return {NOW - oldest, tenant_at, group_at + #some} end
  tenant_at, group_at = tenant_at + 1, 0
end
return {NOW - oldest, #tenants == SLICE and tenant_at or -1, 0}
