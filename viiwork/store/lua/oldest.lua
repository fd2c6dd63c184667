#!lua flags=no-writes,allow-oom
-- How long the oldest job of a queue has been waiting for a worker, by the heads of its lists. ARGV: queue, how many
-- groups to look at (those that were not served for the longest), how many records. Answers when that job was submitted,
-- in milliseconds before now, or -1 when none waits. Paused batches, and jobs that wait for others or for their next try,
-- are not looked at.

local queue, groups, records = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local HEADS = 5 -- a job that was cancelled stays in its list until it comes to the front
local oldest = NOW + 1

local function see(id, state)
  if records <= 0 then return false end
  records = records - 1
  local job = redis.call('HMGET', job_key(id), 'state', 'created_ms')
  if job[1] ~= state then return false end
  oldest = math.min(oldest, tonumber(job[2]))
  return true
end

local function see_head(list)
  for _, id in ipairs(redis.call('LRANGE', list, 0, HEADS - 1)) do
    if see(id, 'waiting') then return end
  end
end

for _, id in ipairs(redis.call('ZRANGE', P .. 'released:' .. queue, 0, SLICE - 1)) do see(id, 'queued') end
see_head(P .. 'suspects:' .. queue)
for _, tenant in ipairs(redis.call('ZRANGE', P .. 'served:' .. queue, 0, groups - 1)) do
  if groups <= 0 then break end
  for _, group in ipairs(redis.call('ZRANGE', P .. 'served:' .. queue .. ':' .. tenant, 0, groups - 1)) do
    local list = list_key(queue, group, tenant)
    see_head(list)
    see_head(bulk_list(list))
    groups = groups - 1
  end
end
return NOW - oldest
