#!lua flags=allow-oom
-- queued → running. ARGV: job id, the attempt that the hint names, claim token, incarnation, worker name, schema.
-- The fence is (attempt, token). Asking again with the same token gives the same answer, so a lost reply is harmless.
-- Answers {'stale', state}, or {'run', attempt, milliseconds left, 'timeout' or 'deadline', task, queue, tenant, batch,
-- item, input, input blob, strikes, 1 for a suspect, generation, expected cost in tokens,
-- the document of its batch that it is the same as, the hash of its content}.

local SUSPECT_PAUSE_MS = 300
local ALONE_MS = 60000 -- for so long a worker is kept free for a suspect that does not come by again
local id, attempt, token, inc, worker = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local job = load(id)
if not job then return {'stale', 'gone'} end
if tonumber(job.schema or 1) > tonumber(ARGV[6]) then return {'stale', 'newer'} end
local batch = batch_of(job)

local function deadline_ms()
  local own, of_batch = tonumber(job.deadline_ms or 0), batch.deadline_ms or 0
  if own > 0 and of_batch > 0 then return math.min(own, of_batch) end
  return math.max(own, of_batch)
end

-- For which suspect this worker is kept free, or false.
local alone_key = P .. 'inc:' .. inc .. ':alone'
local alone = redis.call('GET', alone_key)

-- One that has a mark runs alone: one worker is kept free for it, and it waits for what still runs there.
local function may_hold_alone()
  local where = redis.call('HGET', job_key(id), 'alone_on')
  if alone and alone ~= id then return false end
  if where and where ~= inc and redis.call('GET', P .. 'inc:' .. where .. ':alone') == id then return false end
  redis.call('SET', alone_key, id, 'PX', ALONE_MS)
  redis.call('HSET', job_key(id), 'alone_on', inc)
  return redis.call('ZCARD', P .. 'inc:' .. inc .. ':running') == 0
end

-- A worker holds one suspect at a time, and not one that it died under already while somebody else can take it.
local function may_hold_suspect()
  local held = redis.call('GET', P .. 'inc:' .. inc .. ':suspect')
  if held and held ~= id then return false end
  local marks, _, by = marks_of(job)
  if by[worker] and able_besides(job.queue, worker) > 0 then return false end
  return #marks == 0 or may_hold_alone()
end

-- Why the job cannot be had after all; it is put where it belongs.
local function turned_away()
  if is_over(batch) then
    take_away(job, batch.why)
    return job.state
  elseif deadline_ms() > 0 and deadline_ms() <= NOW then
    take_away(job, 'expired')
    return 'expired'
  elseif batch.paused then
    wait_again(job)
    uncharge(job)
    return 'paused'
  elseif await_first(job) then
    uncharge(job)
    return 'waiting'
  end
  local busy = alone and alone ~= id and 'alone' or job.suspect and not may_hold_suspect() and 'suspect'
  if busy then
    wait_again(job, SUSPECT_PAUSE_MS)
    uncharge(job)
    return busy
  end
end

local again = job.state == 'running' and job.token == token and job.inc == inc
if not again then
  if job.state ~= 'queued' or attempt ~= job.attempt + 1 then return {'stale', job.state} end
  local why = turned_away()
  if why then return {'stale', why} end
  move(job, 'running')
  job.attempt, job.inc, job.started_ms = attempt, inc, NOW
  redis.call('HSET', job_key(id), 'attempt', attempt, 'token', token, 'inc', inc, 'worker', worker, 'started_ms', NOW,
    'verdict', '')
  redis.call('ZADD', P .. 'inc:' .. inc .. ':running', NOW, id)
  redis.call('ZADD', P .. 'incs', 'NX', NOW, inc) -- so that it can be reaped even if it dies before its first beat
  if job.suspect then
    redis.call('SET', P .. 'inc:' .. inc .. ':suspect', id)
    if redis.call('GET', alone_key) == id then redis.call('PERSIST', alone_key) end
  end
  count('started', job.queue)
end
local record = redis.call('HMGET', job_key(id), 'timeout_ms', 'input', 'input_blob', 'generation', 'same_as',
  'digest')
local left, ends_by = tonumber(record[1]) - (NOW - tonumber(job.started_ms)), 'timeout'
if deadline_ms() > 0 and deadline_ms() - NOW < left then left, ends_by = deadline_ms() - NOW, 'deadline' end
return {'run', job.attempt, left, ends_by, job.task, job.queue, job.tenant, job.batch or '', job.item or '',
  record[2] or '', record[3] or '', job.strikes, job.suspect and 1 or 0, record[4] or '', job.cost,
  record[5] or '', record[6] or ''}
