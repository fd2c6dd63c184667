#!lua flags=allow-oom
-- Removes what has outlived its time, a slice at a time. ARGV: how long a batch's tombstone answers 410, in milliseconds.
-- Answers {1 if there may be more, blob id, …}: the blobs that nothing names any more.

local due = redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', NOW, 'LIMIT', 0, SLICE, 'WITHSCORES')
local blobs = {#due > 0 and 1 or 0}
local function remove(job_id)
  local job = load(job_id)
  if job and not TERMINAL[job.state] then move(job, 'cancelled') end -- left behind: keep the counters exact
  if job then count_off(job) end -- ended by a worker of an older version
  redis.call('ZREM', P .. 'dead', job_id)
  local kept = redis.call('HMGET', job_key(job_id), 'input_blob', 'result_blob', 'document_blob')
  for i = 1, 3 do if kept[i] and kept[i] ~= '' then blobs[#blobs + 1] = kept[i] end end
  redis.call('DEL', job_key(job_id), P .. 'said:' .. job_id, P .. 'ears:' .. job_id)
end

local function bury(id, when, for_ms)
  redis.call('SET', P .. 'gone:' .. id, string.format('%d', when), 'PX', string.format('%d', for_ms))
end

local function forget(id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('SREM', P .. 'cancelling', id)
end

-- Answers the number of its jobs that were removed.
local function purge_batch(id, when)
  local key = batch_key(id)
  bury(id, when, tonumber(ARGV[1]))
  local ids = redis.call('LRANGE', key .. ':jobs', 0, SLICE - 1)
  for _, job_id in ipairs(ids) do remove(job_id) end
  redis.call('LTRIM', key .. ':jobs', #ids, -1)
  if #ids < SLICE then
    redis.call('UNLINK', key, key .. ':jobs', key .. ':rows', key .. ':suspected')
    forget(id)
  end
  return #ids
end

local touched = 0
for at = 1, #due, 2 do
  local id, when = due[at], tonumber(due[at + 1])
  if redis.call('EXISTS', batch_key(id)) == 1 then
    touched = touched + purge_batch(id, when)
  else
    -- Its tombstone stands as long as it did: a year of them for every single job would fill the server.
    local ttl_ms = tonumber(redis.call('HGET', job_key(id), 'ttl_ms') or 0)
    if ttl_ms > 0 then bury(id, when, math.min(ttl_ms, tonumber(ARGV[1]))) end
    remove(id)
    forget(id)
  end
  touched = touched + 1
  if touched >= SLICE then break end
end
return blobs
