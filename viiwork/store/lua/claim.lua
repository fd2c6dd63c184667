#!lua flags=allow-oom
-- queued → running. ARGV: job id, the attempt that the hint names, claim token, incarnation, worker name, schema.
-- The fence is (attempt, token). Asking again with the same token gives the same answer, so a lost reply is harmless.
-- Answers {'run', attempt, milliseconds left, field, value, …} or {'stale', state}.

local id, attempt, token, inc = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local job = load(id)
if not job then return {'stale', 'gone'} end
if tonumber(job.schema or 1) > tonumber(ARGV[6]) then return {'stale', 'newer'} end

local again = job.state == 'running' and job.token == token and job.inc == inc
if not again then
  if job.state ~= 'queued' or attempt ~= job.attempt + 1 then return {'stale', job.state} end
  if batch_is_cancelled(job) then
    cancel(job)
    return {'stale', 'cancelled'}
  end
  move(job, 'running')
  job.attempt, job.inc = attempt, inc
  redis.call('HSET', job_key(id), 'attempt', attempt, 'token', token, 'inc', inc, 'worker', ARGV[5], 'started_ms', NOW,
    'verdict', '')
  redis.call('ZADD', P .. 'inc:' .. inc .. ':running', NOW, id)
  redis.call('ZADD', P .. 'incs', 'NX', NOW, inc) -- so that it can be reaped even if it dies before its first beat
end
local record = redis.call('HMGET', job_key(id), 'timeout_ms', 'started_ms', 'input', 'input_blob')
local left = tonumber(record[1]) - (NOW - tonumber(record[2]))
return {'run', job.attempt, left, job.task, job.queue, job.tenant, job.batch or '', job.item or '', record[3] or '',
  record[4] or ''}
