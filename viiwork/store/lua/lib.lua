-- What every script shares: the keys, the moves between states, and how an item settles.
-- KEYS[1] is the fleet's key prefix. Time is Redis' own, in milliseconds.

local P = KEYS[1]
local TERMINAL = {succeeded = true, failed = true, cancelled = true, expired = true, dead = true}
local COUNTER = {succeeded = 'succeeded', cancelled = 'cancelled'} -- every other end counts as failed
local SLICE = 500 -- no script touches more jobs than this

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = now_ms()
local FIELDS = {'state', 'attempt', 'token', 'inc', 'queue', 'tenant', 'batch', 'item', 'settle', 'then', 'cost',
  'strikes', 'waits_for', 'task', 'schema', 'ttl_ms', 'feeds', 'parent', 'bulk'}

local function job_key(id) return P .. 'job:' .. id end
local function batch_key(id) return P .. 'batch:' .. id end

-- The job's record as a table, or nil. Absent fields are false.
local function load(id)
  local values = redis.call('HMGET', job_key(id), unpack(FIELDS))
  if not values[1] then return nil end
  local job = {id = id}
  for i, name in ipairs(FIELDS) do job[name] = values[i] end
  job.attempt = tonumber(job.attempt or 0)
  job.strikes = tonumber(job.strikes or 0)
  job.waits_for = tonumber(job.waits_for or 0)
  job.cost = tonumber(job.cost or 1)
  return job
end

-- Every change of state passes here, so that the depth counters stay exact.
local function move(job, state)
  if job.state then redis.call('HINCRBY', P .. 'depth', job.queue .. '|' .. job.state, -1) end
  if job.bulk and job.state == 'waiting' then redis.call('HINCRBY', P .. 'depth', job.queue .. '|bulk', -1) end
  if job.bulk and state == 'waiting' then redis.call('HINCRBY', P .. 'depth', job.queue .. '|bulk', 1) end
  if job.state == 'queued' then redis.call('ZREM', P .. 'released:' .. job.queue, job.id) end
  if job.state == 'running' then redis.call('ZREM', P .. 'inc:' .. job.inc .. ':running', job.id) end
  if not TERMINAL[state] then redis.call('HINCRBY', P .. 'depth', job.queue .. '|' .. state, 1) end
  redis.call('HSET', job_key(job.id), 'state', state)
  job.state = state
end

local function group_of(job) return job.batch and job.batch ~= '' and job.batch or '-' end
-- A group never contains a colon, a tenant may: so the group stands first.
local function group_list(job) return P .. 'backlog.g:' .. job.queue .. ':' .. group_of(job) .. ':' .. job.tenant end
-- The parts of a very long document stand in a list of their own, which is served when the batch has nothing else: its
-- short documents need not wait for the long one, and the batch ends no later.
local function bulk_list(list) return list .. '/bulk' end

-- Newcomers start at the current minimum of virtual time, so that a newcomer neither jumps far ahead nor pays for
-- time it was not here (stride scheduling; Waldspurger 1995).
local function join_at_minimum(key, member)
  if redis.call('ZSCORE', key, member) then return end
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  redis.call('ZADD', key, first[2] or 0, member)
end

-- Puts a waiting job into the backlog; `front` is for jobs that were under way already.
local function enqueue(job, front)
  join_at_minimum(P .. 'backlog:' .. job.queue, job.tenant)
  join_at_minimum(P .. 'backlog.t:' .. job.queue .. ':' .. job.tenant, group_of(job))
  local list = group_list(job)
  redis.call(front and 'LPUSH' or 'RPUSH', job.bulk and bulk_list(list) or list, job.id)
  redis.call('SADD', P .. 'queues', job.queue)
end

local function keep_until(id, ttl_ms)
  ttl_ms = tonumber(ttl_ms or 0)
  if ttl_ms <= 0 then return 0 end
  redis.call('ZADD', P .. 'expiry', NOW + ttl_ms, id)
  return NOW + ttl_ms
end

-- Ends the batch once its last item has settled. The time to live starts here, never before.
local function end_batch_if_done(id)
  local key = batch_key(id)
  local b = redis.call('HMGET', key, 'state', 'total', 'succeeded', 'failed', 'cancelled', 'ttl_ms', 'strays')
  if b[1] ~= 'running' and b[1] ~= 'cancelling' then return end
  local settled = tonumber(b[3] or 0) + tonumber(b[4] or 0) + tonumber(b[5] or 0)
  if settled < tonumber(b[2]) then return end
  local state = b[1] == 'cancelling' and 'cancelled' or 'completed'
  redis.call('HSET', key, 'state', state, 'finished_ms', NOW, 'expires_ms', keep_until(id, b[6]))
  if b[7] then redis.call('SADD', P .. 'cancelling', id) end -- the sweep ends what nobody waits for any more
end

-- A job's end is the end of its item: once only, however many jobs of the item end after it.
local function settle(job, state)
  local item = job.item and job.item ~= '' and job.item or job.id
  if redis.call('HSETNX', job_key(item), 'item_state', state) == 0 then return end
  redis.call('HSET', job_key(item), 'item_by', job.id, 'item_ms', NOW)
  if job.batch and job.batch ~= '' then
    -- A document that ends before the jobs that it unfolded into leaves them behind, a merge perhaps for ever.
    if job.parent then redis.call('HSET', batch_key(job.batch), 'strays', 1) end
    redis.call('RPUSH', batch_key(job.batch) .. ':rows', item)
    redis.call('HINCRBY', batch_key(job.batch), COUNTER[state] or 'failed', 1)
    end_batch_if_done(job.batch)
  else
    redis.call('HSET', job_key(item), 'expires_ms', keep_until(item, job.ttl_ms))
  end
end

local WOKEN = {} -- the queues of jobs that this call has made ready to be released

local function wake_next(job)
  if not job['then'] or job['then'] == '' then return end
  local next_job = load(job['then'])
  if not next_job then return end -- it is purged: counting down would make a record of nothing else
  local left = redis.call('HINCRBY', job_key(next_job.id), 'waits_for', -1)
  if left ~= 0 or next_job.state ~= 'waiting' then return end
  enqueue(next_job, true)
  WOKEN[#WOKEN + 1] = next_job.queue
end

-- Ends a job: terminal state, countdown of the job that waits for it, item and batch, all in this one script.
-- `continues` says that a successful job has handed its item on to further jobs.
local function finish(job, state, continues)
  move(job, state)
  redis.call('HSET', job_key(job.id), 'finished_ms', NOW)
  wake_next(job)
  local failed = state ~= 'succeeded'
  if (job.settle == 'always' and not continues) or (job.settle == 'failure' and failed) then settle(job, state) end
end

local function fail(job, state, code, message)
  redis.call('HSET', job_key(job.id), 'fault_code', code, 'fault_message', message)
  finish(job, state, false)
end

-- Sends a job whose attempt came to nothing back to the front of its backlog, or to the dead after too many.
local function send_back(job, charged, max_attempts)
  if charged then job.strikes = redis.call('HINCRBY', job_key(job.id), 'strikes', 1) end
  if job.strikes >= max_attempts then
    fail(job, 'dead', 'dead', 'Given up after ' .. job.strikes .. ' attempts that ended in a crash or an engine fault.')
    return 'dead'
  end
  move(job, 'waiting')
  enqueue(job, true)
  return 'waiting'
end

local function batch_is_cancelled(job)
  if not job.batch or job.batch == '' then return false end
  local state = redis.call('HGET', batch_key(job.batch), 'state')
  return state == 'cancelling' or state == 'cancelled'
end

local function cancel(job)
  fail(job, 'cancelled', 'cancelled', 'Cancelled before it was done.')
end

-- Publishes the hint of a released job: the envelope is Celery's own, with this job's names patched in.
-- Every hint has an id of its own, `<job>.<attempt>.<n>`: workers remember revoked ids and kombu keys on the tag.
local function publish(job, envelope)
  local n = redis.call('HINCRBY', job_key(job.id), 'hints', 1)
  local lane, model = string.match(job.queue, '^(%l+)%.(.+)$')
  local hint = job.id .. '.' .. (job.attempt + 1) .. '.' .. n
  local message = string.gsub(envelope, '@(%u+)@',
    {HINT = hint, JOB = job.id, TASK = job.task, QUEUE = job.queue, LANE = lane, MODEL = model})
  redis.call('LPUSH', P .. job.queue, message)
  redis.call('ZADD', P .. 'released:' .. job.queue, NOW, job.id)
end
