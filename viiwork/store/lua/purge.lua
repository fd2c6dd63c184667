#!lua flags=allow-oom
-- Removes what has outlived its time, and what was deleted, a slice at a time. ARGV: how long a batch's tombstone answers
-- 410, in milliseconds, and a batch that is deleted (empty: whatever is due).
-- Answers {1 if there may be more, blob id, …}: the blobs that nothing names any more. They stand in `unlinking` until
-- whoever removes them says so.

local only = ARGV[2] or ''
local function due_now()
  if only == '' then return redis.call('ZRANGEBYSCORE', P .. 'expiry', '-inf', NOW, 'LIMIT', 0, SLICE, 'WITHSCORES') end
  if redis.call('HEXISTS', batch_key(only), 'removed') == 0 then return {} end
  return {only, redis.call('ZSCORE', P .. 'expiry', only) or NOW}
end

local due = due_now()
local blobs = {#due > 0 and 1 or 0}

-- What a receipt says of a deleted batch.
local function write_down(batch, name, by)
  if batch and by > 0 and redis.call('EXISTS', P .. 'deleted:' .. batch) == 1 then
    redis.call('HINCRBY', P .. 'deleted:' .. batch, name, by)
  end
end

-- What was read of a document goes with the job that read it, unless another has read it since.
local function forget_text(name, blob)
  if redis.call('GET', P .. 'text:' .. name) == blob then redis.call('DEL', P .. 'text:' .. name) end
end

-- A file that several records name goes with the last of them.
local function let_go(blob)
  if redis.call('HINCRBY', P .. 'shared', blob, -1) > 0 then return end
  redis.call('HDEL', P .. 'shared', blob)
  redis.call('SADD', P .. 'unlinking', blob)
  blobs[#blobs + 1] = blob
end

local function remove(job_id, batch)
  local job, before = load(job_id), #blobs
  if job and job.state == 'running' then redis.call('PUBLISH', P .. 'drop:' .. job.inc, job_id .. ' cancelled') end
  if job and not TERMINAL[job.state] then move(job, 'cancelled') end -- left behind: keep the counters exact
  if job then count_off(job) end -- ended by a worker of an older version
  redis.call('ZREM', P .. 'dead', job_id)
  local kept = redis.call('HMGET', job_key(job_id), 'input_blob', 'result_blob', 'document_blob', 'text_blob',
    'shared_blobs')
  -- What is inside an upload has no file of its own: that is removed, and told, with the upload's job.
  if string.find(job_id, '%-%d+z') then kept[3] = false end
  for i = 1, 4 do
    if kept[i] and kept[i] ~= '' then
      blobs[#blobs + 1] = kept[i]
      redis.call('SADD', P .. 'unlinking', kept[i])
    end
  end
  for blob in string.gmatch(kept[5] or '', '%S+') do let_go(blob) end
  if kept[4] then forget_text(redis.call('HGET', job_key(job_id), 'text_key'), kept[4]) end
  write_down(batch, 'blobs', #blobs - before)
  write_down(batch, 'jobs', redis.call('DEL', job_key(job_id)))
  redis.call('DEL', P .. 'said:' .. job_id, P .. 'ears:' .. job_id, P .. 'twins:' .. job_id)
end

-- With its tenant: to everybody else it never was.
local function bury(id, when, for_ms, tenant)
  local said = string.format('%d', when) .. (tenant and ' ' .. tenant or '')
  redis.call('SET', P .. 'gone:' .. id, said, 'PX', string.format('%d', for_ms))
end

local function forget(id)
  redis.call('ZREM', P .. 'expiry', id)
  redis.call('SREM', P .. 'cancelling', id)
end

-- What was told of a batch goes with it. One whose time is over owes its receivers their callbacks still, without what
-- its sender wrote to it; one that was deleted owes nothing.
local function forget_callbacks(id, deleted)
  local key = batch_key(id) .. ':callbacks'
  for _, one in ipairs(redis.call('SMEMBERS', key)) do
    local record = P .. 'callback:' .. one
    local told = redis.call('HMGET', record, 'state', 'lane')
    if told[1] == 'pending' and not deleted then
      redis.call('HDEL', record, 'metadata')
    elseif told[1] then
      for _, state in ipairs({'pending', 'delivered', 'dead'}) do redis.call('ZREM', P .. 'callbacks.' .. state, one) end
      redis.call('ZREM', P .. 'callbacks.to:' .. told[2], one)
      write_down(id, 'callbacks', redis.call('DEL', record))
    end
  end
  redis.call('DEL', key)
end

-- Work of a batch that was deleted in its middle may have been put back into a list since.
local function forget_lists(id)
  local tenant = redis.call('HGET', batch_key(id), 'tenant') or ''
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
    local list = list_key(queue, id, tenant)
    leave(queue, tenant, id)
    redis.call('UNLINK', list, bulk_list(list))
  end
end

-- A batch that came as a file is in its tenant's list too. What it wrote to files goes with it only where it was deleted:
-- files have a time of their own.
local function forget_file_batch(id, deleted)
  local known = redis.call('HMGET', batch_key(id), 'tenant', 'output_file', 'error_file', 'payer')
  forget_open(id, known[1], known[4])
  redis.call('ZREM', P .. 'filebatches:' .. (known[1] or ''), id)
  for at = 2, 3 do
    local blob = deleted and known[at] and drop_file(known[at])
    if blob then
      blobs[#blobs + 1] = blob
      write_down(id, 'blobs', 1)
    end
  end
end

-- Answers the number of its jobs that were removed.
local function purge_batch(id, when)
  local key = batch_key(id)
  local deleted = redis.call('HEXISTS', key, 'removed') == 1
  bury(id, when, tonumber(ARGV[1]), redis.call('HGET', key, 'tenant'))
  local ids = redis.call('LRANGE', key .. ':jobs', 0, SLICE - 1)
  for _, job_id in ipairs(ids) do remove(job_id, deleted and id) end
  redis.call('LTRIM', key .. ':jobs', #ids, -1)
  if #ids < SLICE then
    forget_callbacks(id, deleted)
    if deleted then
      forget_lists(id)
      redis.call('HSETNX', P .. 'deleted:' .. id, 'done_ms', NOW)
    end
    forget_file_batch(id, deleted)
    redis.call('ZREM', P .. 'batches.t:' .. (redis.call('HGET', key, 'tenant') or ''), id)
    redis.call('UNLINK', key, key .. ':jobs', key .. ':rows', key .. ':items', key .. ':suspected', key .. ':seen')
    redis.call('ZREM', P .. 'batches', id)
    forget(id)
    if only == id then blobs[1] = 0 end
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
    local job = redis.call('HMGET', job_key(id), 'ttl_ms', 'tenant')
    local ttl_ms = tonumber(job[1] or 0)
    if ttl_ms > 0 then bury(id, when, math.min(ttl_ms, tonumber(ARGV[1])), job[2]) end
    remove(id)
    forget(id)
  end
  touched = touched + 1
  if touched >= SLICE then break end
end
return blobs
