#!lua
-- Takes jobs in. ARGV: parent id, attempt, token (empty: no fence), then for each job its id, the number of
-- field/value entries that follow, and these. A job that is there already is left as it is, so a retry is harmless.
-- Answers the number of new jobs, or -1 when the parent's fence is down, -2 when the batch takes no more.

if ARGV[1] ~= '' then
  local parent = load(ARGV[1])
  if not parent or parent.state ~= 'running' or parent.attempt ~= tonumber(ARGV[2]) or parent.token ~= ARGV[3] then
    return -1
  end
end

local taken, at = 0, 4
while at <= #ARGV do
  local id, count = ARGV[at], tonumber(ARGV[at + 1])
  local key = job_key(id)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'created_ms', NOW, unpack(ARGV, at + 2, at + 1 + count))
    redis.call('HSET', key, 'state', 'new')
    local job = load(id)
    if job.batch and job.batch ~= '' then
      local state = redis.call('HGET', batch_key(job.batch), 'state')
      if state ~= 'uploading' and state ~= 'running' then
        redis.call('DEL', key)
        return -2
      end
      redis.call('RPUSH', batch_key(job.batch) .. ':jobs', id)
      if not job.item or job.item == '' then redis.call('HINCRBY', batch_key(job.batch), 'items', 1) end
    end
    job.state = false
    move(job, 'waiting')
    if job.waits_for == 0 then enqueue(job, false) end
    taken = taken + 1
  end
  at = at + 2 + count
end
return taken
