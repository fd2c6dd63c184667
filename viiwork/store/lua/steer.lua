#!lua flags=allow-oom
-- Pauses, resumes or reprioritises a batch, at once: what was released and not yet claimed is called back.
-- ARGV: verb (pause, resume, weigh), batch id, for `weigh` the weight and its name.
-- Answers the batch's state, or nil where there is none. One that has ended is left as it is.

local verb, id = ARGV[1], ARGV[2]
local key = batch_key(id)
local known = redis.call('HMGET', key, 'state', 'tenant')
local state, tenant = known[1], known[2] or ''
if state ~= 'running' and state ~= 'uploading' then return state end

-- Takes released jobs back that nobody has claimed: those of this batch, or all of its tenant, that the order be made
-- anew. Last released, first back: so they stand in their old order. What they were charged is given back.
local function call_back(queue, whole_tenant)
  local hints = nil
  local released = redis.call('ZREVRANGE', P .. 'released:' .. queue, 0, 4 * SLICE)
  for _, job_id in ipairs(released) do
    local who = redis.call('HMGET', job_key(job_id), 'batch', 'tenant')
    if who[1] == id or (whole_tenant and who[2] == tenant) then
      local job = load(job_id)
      hints = hints or ready_hints(queue)
      if hints[job_id] and redis.call('LREM', P .. queue, 1, hints[job_id]) == 1 then
        wait_again(job)
        uncharge(job)
      end
    end
  end
end

local VERBS = {
  pause = function(queue)
    call_back(queue, false)
    leave(queue, tenant, id)
  end,
  resume = function(queue) join_again(queue, id) end,
  weigh = function(queue)
    call_back(queue, true)
    -- Its past share was by the old weight: it starts anew, just before the most forward of its tenant's batches.
    local groups = groups_key(queue, tenant)
    if redis.call('ZSCORE', groups, id) then
      local first = redis.call('ZRANGE', groups, 0, 0, 'WITHSCORES')
      redis.call('ZADD', groups, first[2] - 1, id)
    end
  end,
}

if verb == 'pause' then redis.call('HSET', key, 'paused', 1, 'rested', 1) end
if verb == 'resume' then redis.call('HDEL', key, 'paused') end
if verb == 'weigh' then redis.call('HSET', key, 'weight', ARGV[3], 'priority', ARGV[4]) end
BATCHES = {}
for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do VERBS[verb](queue) end
tell(id, verb)
return state
