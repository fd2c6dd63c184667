#!lua flags=allow-oom
-- Removes what has outlived its time, a slice at a time. ARGV: how long a tombstone answers 410, in milliseconds.
-- Answers {1 if there may be more, blob id, …}: the blobs that nothing names any more.

local id = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', NOW, 'LIMIT', 0, 1)[1]
if not id then return {0} end

local blobs = {1}
local function remove(job_id)
  local job = load(job_id)
  if job and not TERMINAL[job.state] then move(job, 'cancelled') end -- left behind: keep the counters exact
  if job then count_off(job) end -- ended by a worker of an older version
  redis.call('ZREM', P .. 'dead', job_id)
  local kept = redis.call('HMGET', job_key(job_id), 'input_blob', 'result_blob', 'document_blob')
  for i = 1, 3 do if kept[i] and kept[i] ~= '' then blobs[#blobs + 1] = kept[i] end end
  redis.call('DEL', job_key(job_id))
end

local when = redis.call('ZSCORE', P .. 'expiry', id)
redis.call('SET', P .. 'gone:' .. id, string.format('%d', when), 'PX', ARGV[1])
local key = batch_key(id)
if redis.call('EXISTS', key) == 1 then
  local ids = redis.call('LRANGE', key .. ':jobs', 0, SLICE - 1)
  for _, job_id in ipairs(ids) do remove(job_id) end
  redis.call('LTRIM', key .. ':jobs', #ids, -1)
  if #ids == SLICE then return blobs end
  redis.call('UNLINK', key, key .. ':jobs', key .. ':rows')
else
  remove(id)
end
redis.call('ZREM', P .. 'expiry', id)
redis.call('SREM', P .. 'cancelling', id)
return blobs
