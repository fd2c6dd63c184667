#!lua flags=allow-oom
-- The life of a batch after `open`. ARGV: verb, batch id.
-- seal: all items are submitted. cancel: flips the flag; a sweep cancels the jobs in slices.
-- slice: ends the next slice of what a cancelled batch, or one that is over, left behind.
-- Answers the batch's state, or nil where there is none; `slice` answers 1 while there is more to do.

local verb, id = ARGV[1], ARGV[2]
local key = batch_key(id)
local state = redis.call('HGET', key, 'state')
if verb ~= 'slice' then redis.call('ZREM', P .. 'uploading', id) end

if not state then
  return false
elseif verb == 'seal' and state == 'uploading' then
  redis.call('HSET', key, 'state', 'running', 'total', redis.call('HGET', key, 'items') or 0)
  end_batch_if_done(id)
elseif verb == 'cancel' and (state == 'uploading' or state == 'running') then
  redis.call('HSET', key, 'state', 'cancelling', 'total', redis.call('HGET', key, 'items') or 0, 'swept', 0)
  redis.call('SADD', P .. 'cancelling', id)
  end_batch_if_done(id)
elseif verb == 'slice' then
  local swept = tonumber(redis.call('HGET', key, 'swept') or 0)
  local ids = redis.call('LRANGE', key .. ':jobs', swept, swept + SLICE - 1)
  for _, job_id in ipairs(ids) do
    local job = load(job_id)
    if job and not TERMINAL[job.state] then cancel(job) end
  end
  redis.call('HSET', key, 'swept', swept + #ids)
  if #ids == SLICE then return 1 end
  redis.call('SREM', P .. 'cancelling', id)
  return 0
end
return redis.call('HGET', key, 'state')
