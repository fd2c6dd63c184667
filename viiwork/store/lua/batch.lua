#!lua flags=allow-oom
-- The life of a batch after `open`. ARGV: verb, batch id.
-- seal: all items are submitted. cancel, expire: flip the flag; what waits follows in slices. slice: ends the next slice
-- of what a cancelled batch, or one that is over, left behind. stop: ends what runs now, a slice at a time. remove: it is
-- deleted: nobody sees it any more, and `purge` may clear it away; the third argument is for how long, in milliseconds,
-- its tombstone and its receipt stand.
-- Answers the batch's state, or nil where there is none; `slice` and `stop` answer 1 while there is more to do.

local verb, id = ARGV[1], ARGV[2]
local key = batch_key(id)
local known = redis.call('HMGET', key, 'state', 'why')
local state, why = known[1], known[2] or 'cancelled'
if verb ~= 'slice' and verb ~= 'stop' then redis.call('ZREM', P .. 'uploading', id) end

-- Nothing of it is scheduled any more: others go on at once, however much of it still waits to be swept.
local function withdraw(and_lists)
  local tenant = redis.call('HGET', key, 'tenant') or ''
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local list = list_key(queue, id, tenant)
    leave(queue, tenant, id)
    if and_lists then redis.call('UNLINK', list, bulk_list(list)) end
  end
end

local function end_early(reason)
  redis.call('HSET', key, 'state', 'cancelling', 'why', reason, 'total', redis.call('HGET', key, 'items') or 0, 'swept', 0,
    'ending_ms', NOW)
  -- Whoever sent what was never whole has had no answer that names it.
  if state == 'uploading' then redis.call('HSET', key, 'untold', 1) end
  redis.call('SADD', P .. 'cancelling', id)
  redis.call('ZREM', P .. 'deadlines', id)
  withdraw(false)
  tell(id, 'cancelling')
  end_batch_if_done(id)
end

-- From here on it is over for everybody who asks, and `expiry` has it until the last of it is gone: whoever clears it
-- away may die. What its receivers would be told of is deleted with it, so they are told nothing.
local function begin_removal(stands_ms)
  local receipt = P .. 'deleted:' .. id
  if redis.call('HSETNX', receipt, 'at_ms', NOW) == 1 then
    local tenant = redis.call('HGET', key, 'tenant') or ''
    redis.call('HSET', receipt, 'was', state, 'documents', redis.call('HGET', key, 'items') or 0, 'tenant', tenant)
    redis.call('PEXPIRE', receipt, stands_ms)
    redis.call('SET', P .. 'gone:' .. id, NOW .. ' ' .. tenant, 'PX', stands_ms)
  end
  redis.call('HSET', key, 'removed', 1, 'untold', 1, 'expires_ms', NOW)
  if state == 'uploading' or state == 'running' then end_early('cancelled') end
  redis.call('HSET', key, 'state', 'cancelling')
  local closer = load(redis.call('HGET', key, 'closer') or '')
  if closer and not TERMINAL[closer.state] then
    take_away(closer, 'cancelled')
    redis.call('ZADD', P .. 'expiry', NOW, closer.id) -- the file of its lines goes with it
  end
  redis.call('ZREM', P .. 'deadlines', id)
  redis.call('ZADD', P .. 'expiry', NOW, id)
  withdraw(true)
  tell(id, 'removed')
end

-- What the workers hold of this batch: found from their side, since a batch may have a million jobs.
local function stop_running()
  local stopped = 0
  for _, inc in ipairs(redis.call('ZRANGE', P .. 'incs', 0, -1)) do
    for _, job_id in ipairs(redis.call('ZRANGE', P .. 'inc:' .. inc .. ':running', 0, -1)) do
      if redis.call('HGET', job_key(job_id), 'batch') == id then
        take_away(load(job_id), why)
        stopped = stopped + 1
        if stopped == FEW then return 1 end
      end
    end
  end
  return 0
end

local function sweep_slice()
  if state == 'running' or state == 'uploading' then -- a dead job of it was started again
    redis.call('SREM', P .. 'cancelling', id)
    return 0
  end
  local swept = tonumber(redis.call('HGET', key, 'swept') or 0)
  local ids = redis.call('LRANGE', key .. ':jobs', swept, swept + FEW - 1)
  for _, job_id in ipairs(ids) do
    local job = load(job_id)
    if job and not TERMINAL[job.state] then take_away(job, why) end
  end
  redis.call('HSET', key, 'swept', swept + #ids)
  if #ids == FEW then return 1 end
  redis.call('SREM', P .. 'cancelling', id)
  withdraw(true)
  return 0
end

if not state then
  return false
elseif verb == 'seal' and state == 'uploading' then
  redis.call('HSET', key, 'state', 'running', 'total', redis.call('HGET', key, 'items') or 0)
  tell(id, 'running')
  end_batch_if_done(id)
elseif verb == 'cancel' and (state == 'uploading' or state == 'running') then
  end_early('cancelled')
elseif verb == 'expire' and (state == 'uploading' or state == 'running') then
  end_early('expired')
elseif verb == 'remove' then
  begin_removal(ARGV[3])
elseif verb == 'stop' then
  return stop_running()
elseif verb == 'slice' then
  return sweep_slice()
end
return redis.call('HGET', key, 'state')
