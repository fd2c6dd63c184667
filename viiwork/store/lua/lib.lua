-- What every script shares: the keys, the moves between states, and how an item settles.
-- KEYS[1] is the fleet's key prefix. Time is Redis' own, in milliseconds.
-- `-- seldom` behind a function's head: most calls of most scripts do without it, so it is made when it is first called.

local P = KEYS[1]
local TERMINAL = {succeeded = true, failed = true, cancelled = true, expired = true, dead = true}
local COUNTER = {succeeded = 'succeeded', cancelled = 'cancelled'} -- every other end counts as failed
local SLICE = 50 -- no script touches more jobs than this: a slice of 500 held the server for 20 ms (measured)
local FEW = 10 -- no script ends more: to end a job that nobody has touched for long takes 0.2 ms, four times the usual (measured)
local HISTORY = 20 -- attempts that a record remembers
local RUNS = 20 -- batches of a model that are remembered as measurements

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = now_ms()
local FIELDS = {'state', 'attempt', 'token', 'inc', 'queue', 'tenant', 'batch', 'item', 'settle', 'then', 'cost',
  'strikes', 'waits_for', 'task', 'schema', 'ttl_ms', 'feeds', 'parent', 'bulk', 'suspect', 'deadline_ms', 'counted',
  'started_ms', 'worker', 'of_generation', 'callback_url', 'account', 'reserved'}
local MOST_TENANTS = 1000 -- whose energy is kept apart; what further ones use is kept together

-- A clock that was put back leaves moments in the future: they count from now on, or nobody would see their age for as
-- long as it was put back. A second is left to clocks that are only being corrected.
local function none_in_the_future(key, ahead_ms)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, NOW + (ahead_ms or 1000), '+inf', 'LIMIT', 0, SLICE)) do
    redis.call('ZADD', key, NOW, member)
  end
end

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
  if job.batch == '' then job.batch = false end
  if job.item == '' then job.item = false end
  return job
end

-- What a batch says of all its jobs, read once a call. Without a batch: an empty table.
local BATCHES = {}
local function batch_of(job)
  if not job.batch then return {} end
  local known = BATCHES[job.batch]
  if not known then
    local b = redis.call('HMGET', batch_key(job.batch), 'state', 'paused', 'weight', 'deadline_ms', 'why')
    known = {state = b[1], paused = b[2], weight = tonumber(b[3] or 1), deadline_ms = tonumber(b[4] or 0),
      why = b[5] or 'cancelled'}
    BATCHES[job.batch] = known
  end
  return known
end

local function is_over(batch) return batch.state == 'cancelling' or batch.state == 'cancelled' or batch.state == 'expired' end

-- What the fleet counts since its beginning, by queue.
local function count(name, queue, by)
  if by ~= 0 then redis.call('HINCRBY', P .. 'stats', name .. '|' .. queue, by or 1) end
end

-- Energy of cards, in whole millijoules, by worker and by tenant. `kind`: `jobs`, or `unknown` for a number of jobs.
local function count_energy(kind, job, by)
  redis.call('HINCRBY', P .. 'energy', kind .. '|' .. (job.worker or ''), by)
  local key, field = P .. 'energy.tenants', kind .. '|' .. job.tenant
  local first = redis.call('HINCRBY', key, field, by) == by
  if first and redis.call('HLEN', key) > 2 * MOST_TENANTS then
    redis.call('HDEL', key, field)
    redis.call('HINCRBY', key, kind .. '|(others)', by)
  end
end

-- The record that a document's parts add up in, unless it is the job's own. A record that is purged stays so.
local function item_key(job)
  if not job.item or job.item == job.id or redis.call('EXISTS', job_key(job.item)) == 0 then return nil end
  return job_key(job.item)
end

-- Some of what this job used was not measured. It counts as one such job however many of its attempts were so.
local function unmetered(job) -- seldom
  if job.task ~= 'viiwork.run' or redis.call('HSETNX', job_key(job.id), 'unmetered', 1) == 0 then return end
  local item = item_key(job)
  if item then redis.call('HINCRBY', item, 'energy_unknown', 1) end
  if job.batch then redis.call('HINCRBY', batch_key(job.batch), 'energy_unknown', 1) end
  count_energy('unknown', job, 1)
end

-- What an attempt used, as its worker measured it: millijoules, empty where it cannot say; `whole` is 1 unless some of it
-- is missing. It is spent whatever came of the attempt, so it counts for job, item and batch in any case.
-- Readers and merges use no card.
local function meter(job, millijoules, whole, simulated)
  if job.task ~= 'viiwork.run' then return end
  local used = math.floor(math.min(tonumber(millijoules) or 0, 1e12))
  if used > 0 then
    local item = item_key(job)
    redis.call('HINCRBY', job_key(job.id), 'energy_mj', used)
    if item then redis.call('HINCRBY', item, 'energy_mj', used) end
    if job.batch then redis.call('HINCRBY', batch_key(job.batch), 'energy_mj', used) end
    count_energy('jobs', job, used)
    if simulated then
      redis.call('HSET', job_key(job.id), 'energy_simulated', 1)
      if item then redis.call('HSET', item, 'energy_simulated', 1) end
      if job.batch then redis.call('HSET', batch_key(job.batch), 'energy_simulated', 1) end
      redis.call('HSET', P .. 'energy', 'simulated|' .. (job.worker or ''), 1)
    end
  end
  if whole ~= '1' then unmetered(job) end
end

-- Wakes whoever waits for news of a job or a batch; with nobody listening it costs a microsecond.
local function tell(id, news) redis.call('PUBLISH', P .. 'ev:' .. id, news) end

local function depth(field, by) redis.call('HINCRBY', P .. 'depth', field, by) end

-- A tenant's jobs that have not ended. The record says whether it is counted, so that no job is counted off twice, and
-- what was reserved for it is settled once: every end passes here.
local function count_off(job)
  if not job.counted then return end
  redis.call('HDEL', job_key(job.id), 'counted', 'reserved')
  if redis.call('HINCRBY', P .. 'load', job.tenant, -1) <= 0 then redis.call('HDEL', P .. 'load', job.tenant) end
  job.counted = false
  if job.account and job.account ~= '' then close_account(job, NOW) end
end

-- Suspects that have not ended, by queue and by batch, to be told of. `verb` is SADD or SREM: a set counts none twice.
local function list_suspect(verb, job) -- seldom
  redis.call(verb, P .. 'suspected:' .. job.queue, job.id)
  if job.batch then redis.call(verb, batch_key(job.batch) .. ':suspected', job.id) end
end

-- No worker is kept free for this suspect any more.
local function let_others_in(job) -- seldom
  local where = redis.call('HGET', job_key(job.id), 'alone_on')
  if not where then return end
  redis.call('HDEL', job_key(job.id), 'alone_on')
  local key = P .. 'inc:' .. where .. ':alone'
  if redis.call('GET', key) == job.id then redis.call('DEL', key) end
end

-- Every change of state passes here, so that the depth counters stay exact.
local function move(job, state)
  local from = job.state
  if from then depth(job.queue .. '|' .. from, -1) end
  if job.bulk and from == 'waiting' then depth(job.queue .. '|bulk', -1) end
  if job.bulk and state == 'waiting' then depth(job.queue .. '|bulk', 1) end
  if from == 'queued' then redis.call('ZREM', P .. 'released:' .. job.queue, job.id) end
  if from == 'running' then
    redis.call('ZREM', P .. 'inc:' .. job.inc .. ':running', job.id)
    if job.suspect then redis.call('DEL', P .. 'inc:' .. job.inc .. ':suspect') end
  end
  if job.suspect and (from == 'running' or TERMINAL[state]) then let_others_in(job) end
  if job.suspect and state ~= 'queued' and state ~= 'running' then
    redis.call('SREM', P .. 'suspects.out:' .. job.queue, job.id)
  end
  if TERMINAL[state] then
    count(state, job.queue)
    count_off(job)
    if job.suspect then list_suspect('SREM', job) end
    if job.deadline_ms then redis.call('ZREM', P .. 'deadlines', job.id) end
  else
    depth(job.queue .. '|' .. state, 1)
  end
  redis.call('HSET', job_key(job.id), 'state', state)
  job.state = state
  if from then tell(job.id, state) end
end

local function group_of(job) return job.batch or '-' end
local function groups_key(queue, tenant) return P .. 'backlog.t:' .. queue .. ':' .. tenant end
-- A group never contains a colon, a tenant may: so the group stands first.
local function list_key(queue, group, tenant) return P .. 'backlog.g:' .. queue .. ':' .. group .. ':' .. tenant end
-- The parts of a very long document stand in a list of their own, which is served when the batch has nothing else: its
-- short documents need not wait for the long one, and the batch ends no later.
local function bulk_list(list) return list .. '/bulk' end

-- Newcomers start at the current minimum of virtual time, so that a newcomer neither jumps far ahead nor pays for
-- time it was not here (stride scheduling; Waldspurger 1995).
local function join_at_minimum(key, member)
  if redis.call('ZSCORE', key, member) then return false end
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  redis.call('ZADD', key, first[2] or 0, member)
  return true
end

-- Lets a group take part in the scheduling of a queue; `deadline_ms` is its batch's, 0 for none.
local function join(queue, tenant, group, deadline_ms)
  if join_at_minimum(P .. 'backlog:' .. queue, tenant) then
    redis.call('ZADD', P .. 'served:' .. queue, 'NX', NOW, tenant)
  end
  if join_at_minimum(groups_key(queue, tenant), group) then
    redis.call('ZADD', P .. 'served:' .. queue .. ':' .. tenant, 'NX', NOW, group)
    if deadline_ms > 0 then redis.call('ZADD', P .. 'urgent:' .. queue .. ':' .. tenant, deadline_ms, group) end
  end
end

-- Takes a group out of the scheduling: it is empty, or paused.
local function leave(queue, tenant, group) -- seldom
  local groups = groups_key(queue, tenant)
  redis.call('ZREM', groups, group)
  redis.call('ZREM', P .. 'served:' .. queue .. ':' .. tenant, group)
  redis.call('ZREM', P .. 'urgent:' .. queue .. ':' .. tenant, group)
  if redis.call('ZCARD', groups) == 0 then
    redis.call('ZREM', P .. 'backlog:' .. queue, tenant)
    redis.call('ZREM', P .. 'served:' .. queue, tenant)
  end
end

local KNOWN_QUEUES = {}
local function know(queue)
  if KNOWN_QUEUES[queue] then return end
  KNOWN_QUEUES[queue] = true
  redis.call('SADD', P .. 'queues', queue)
end

-- Puts a waiting job into the backlog; `front` is for jobs that were under way already. Suspects stand apart, and so do
-- merges: they end a document, and must not stand behind reads that are held back.
local function enqueue(job, front) -- seldom
  local push = front and 'LPUSH' or 'RPUSH'
  local batch = batch_of(job)
  know(job.queue)
  if job.suspect and batch.paused then let_others_in(job) end
  if job.suspect and not batch.paused then
    -- One with a mark goes first: behind the others it left the worker that is kept free for it idle for a minute.
    local marked = redis.call('HEXISTS', job_key(job.id), 'marks') == 1
    redis.call(marked and 'LPUSH' or 'RPUSH', P .. 'suspects:' .. job.queue, job.id)
    return
  end
  if job.task == 'viiwork.merge' and not batch.paused then
    redis.call(push, P .. 'merges:' .. job.queue, job.id)
    return
  end
  local list = list_key(job.queue, group_of(job), job.tenant)
  redis.call(push, job.bulk and bulk_list(list) or list, job.id)
  if not batch.paused then join(job.queue, job.tenant, group_of(job), batch.deadline_ms or 0) end
end

local function keep_until(id, ttl_ms)
  ttl_ms = tonumber(ttl_ms or 0)
  if ttl_ms <= 0 then return 0 end
  redis.call('ZADD', P .. 'expiry', NOW + ttl_ms, id)
  return NOW + ttl_ms
end

-- A file that a client sent or a batch wrote: a record, a place among its tenant's, and its blob where the sweeper looks.
-- Ids sort by the time of their making, so that a list goes on behind one that is gone. `about`: field, value, … of it.
local function make_file(id, tenant, blob, expires_ms, about, payer) -- seldom
  local key = P .. 'file:' .. id
  count_earlier(tenant)
  redis.call('HSET', key, 'tenant', tenant, 'blob', blob, 'created_ms', NOW, unpack(about))
  if expires_ms > 0 then
    redis.call('HSET', key, 'expires_ms', string.format('%.0f', expires_ms))
    redis.call('ZADD', P .. 'files.expiry', expires_ms, id)
  end
  redis.call('HSET', P .. 'files', id, blob)
  redis.call('ZADD', P .. 'files:' .. tenant, 0, id)
  if payer and payer ~= '' then redis.call('HSET', key, 'payer', payer) end
  count_stored(tenant, payer, 1, tonumber(redis.call('HGET', key, 'bytes')))
end

-- Answers the blob of a file that is no more, which stands in `unlinking` now; nil where there is none.
local function drop_file(id) -- seldom
  local f = redis.call('HMGET', P .. 'file:' .. id, 'tenant', 'blob', 'payer', 'bytes')
  redis.call('ZREM', P .. 'files.expiry', id)
  if not f[2] then return nil end
  redis.call('DEL', P .. 'file:' .. id)
  redis.call('HDEL', P .. 'files', id)
  redis.call('ZREM', P .. 'files:' .. f[1], id)
  count_stored(f[1], f[3], -1, -tonumber(f[4]))
  redis.call('SADD', P .. 'unlinking', f[2])
  return f[2]
end

-- A callback is a record, and a place in the lane of whoever is told, made by the very script that changes what it tells
-- of: neither can be without the other. A lane has one callback under way at a time. `about`: field, value, … of it.
local function post(kind, subject, tenant, lane, url, endpoint, about)
  local time = redis.call('TIME')
  local id = string.format('msg_%d%06d_%d', time[1], time[2], redis.call('INCR', P .. 'callbacks.n'))
  redis.call('HSET', P .. 'callback:' .. id, 'type', kind, 'subject', subject, 'tenant', tenant, 'lane', lane, 'url', url,
    'endpoint', endpoint, 'state', 'pending', 'created_ms', NOW, 'since_ms', NOW, unpack(about))
  redis.call('ZADD', P .. 'callbacks.pending', NOW, id)
  redis.call('ZADD', P .. 'callbacks.to:' .. lane, NOW, id)
  redis.call('ZADD', P .. 'callbacks.lanes', 'LT', NOW, lane)
  -- A batch knows what is told of it, so that this goes with it. One that came as a file has a second name.
  local batch = batch_key((string.gsub(subject, '^batch_', 'an_')))
  if redis.call('EXISTS', batch) == 1 then redis.call('SADD', batch .. ':callbacks', id) end
  return id
end

-- Tells an event to every endpoint that wants it: of a tenant its own, of the fleet (no tenant) all.
local function tell_endpoints(kind, subject, tenant, about) -- seldom
  for _, endpoint in ipairs(redis.call('SMEMBERS', P .. 'endpoints')) do
    local e = redis.call('HMGET', P .. 'endpoint:' .. endpoint, 'tenant', 'events', 'url')
    local wants = e[2] and (e[2] == '*' or string.find(' ' .. e[2] .. ' ', ' ' .. kind .. ' ', 1, true))
    if wants and (tenant == '' or tenant == e[1]) then
      post(kind, subject, e[1], endpoint, e[3], endpoint, about)
    end
  end
end

-- Tells the URL that came with the request, if one did. Its lane is its server: many URLs of a slow one are one lane.
local function tell_url(url, kind, subject, tenant, about) -- seldom
  if not url or url == '' then return end
  post(kind, subject, tenant, string.match(url, '^%a+://[^/?#]+') or url, url, '', about)
end

-- Field, value, … of a record, as they are now: a later purge or retry changes nothing in what is told.
local function facts(key, names)
  local said, values = {}, redis.call('HMGET', key, unpack(names))
  for i, name in ipairs(names) do
    if values[i] then
      said[#said + 1] = name
      said[#said + 1] = values[i]
    end
  end
  return said
end

local OF_BATCH = {'task', 'model', 'total', 'succeeded', 'failed', 'cancelled', 'metadata', 'finished_ms', 'expires_ms'}
local OF_JOB = {'model', 'custom_id', 'metadata', 'finished_ms', 'expires_ms'}
local KINDS = {succeeded = 'completed', dead = 'failed'}

-- One that came to its end without a single answer has failed.
local function tell_batch_end(id, state) -- seldom
  local key = batch_key(id)
  local b = redis.call('HMGET', key, 'tenant', 'callback_url', 'succeeded', 'failed', 'untold', 'closer')
  if b[5] or b[6] then return end
  if not b[2] and redis.call('EXISTS', P .. 'endpoints') == 0 then return end
  local none = state == 'completed' and tonumber(b[3] or 0) == 0 and tonumber(b[4] or 0) > 0
  local kind, about = 'analysis.' .. (none and 'failed' or state), facts(key, OF_BATCH)
  about[#about + 1], about[#about + 2] = 'ended', state
  tell_url(b[2], kind, id, b[1] or '', about)
  if b[1] then tell_endpoints(kind, id, b[1], about) end
end

local function tell_job_end(job, state)
  if not job.callback_url then return end
  local about = facts(job_key(job.id), OF_JOB)
  about[#about + 1], about[#about + 2] = 'ended', state
  tell_url(job.callback_url, 'job.' .. (KINDS[state] or state), job.id, job.tenant, about)
end

-- The last batches of a model that came to their end without having been paused, and how many slots it had then.
local function note_run(id) -- seldom
  local b = redis.call('HMGET', batch_key(id), 'model', 'lane', 'calls', 'rested')
  if not b[1] or not b[2] or not b[3] or b[4] then return end
  local slots = 0
  for _, of_worker in ipairs(redis.call('HVALS', P .. 'slots:' .. b[2] .. '.' .. b[1])) do slots = slots + tonumber(of_worker) end
  redis.call('LPUSH', P .. 'runs:' .. b[1], id .. ' ' .. slots)
  redis.call('LTRIM', P .. 'runs:' .. b[1], 0, RUNS - 1)
end

local WOKEN = {} -- the queues of jobs that this call has made ready to be released

-- One of those that a job waited for has ended; it goes when it was the last.
local function wake(id)
  local job = load(id)
  if not job then return end -- it is purged: counting down would make a record of nothing else
  local left = redis.call('HINCRBY', job_key(id), 'waits_for', -1)
  if left ~= 0 or job.state ~= 'waiting' then return end
  enqueue(job, true)
  WOKEN[#WOKEN + 1] = job.queue
end

-- Lets what waits of a batch that is no longer paused be scheduled.
local function join_again(queue, id)
  local known = redis.call('HMGET', batch_key(id), 'tenant', 'deadline_ms')
  local tenant = known[1] or ''
  local list = list_key(queue, id, tenant)
  if redis.call('LLEN', list) + redis.call('LLEN', bulk_list(list)) > 0 then
    join(queue, tenant, id, tonumber(known[2] or 0))
  end
end

-- Ends the batch once its last item has settled. The time to live starts here, never before.
local function end_batch_if_done(id)
  local key = batch_key(id)
  local b = redis.call('HMGET', key, 'state', 'total', 'succeeded', 'failed', 'cancelled', 'ttl_ms', 'strays', 'why',
    'paused', 'removed', 'closer')
  if (b[1] ~= 'running' and b[1] ~= 'cancelling') or b[10] then return end -- one that is deleted has no other end
  local settled = tonumber(b[3] or 0) + tonumber(b[4] or 0) + tonumber(b[5] or 0)
  if settled < tonumber(b[2]) then return end
  local state = b[1] == 'cancelling' and (b[8] or 'cancelled') or 'completed'
  redis.call('HSET', key, 'state', state, 'finished_ms', NOW, 'expires_ms', keep_until(id, b[6]))
  redis.call('HDEL', key, 'paused')
  redis.call('ZREM', P .. 'deadlines', id)
  redis.call('UNLINK', key .. ':seen')
  BATCHES[id] = nil
  -- The sweep ends what nobody waits for any more, and what nobody would resume. But further answers to the lines of a
  -- file, which lines that have ended still wait for, go on.
  if b[9] and b[11] and state == 'completed' then
    for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do join_again(queue, id) end
  elseif b[7] or b[9] then
    redis.call('SADD', P .. 'cancelling', id)
    redis.call('HSET', key, 'swept', 0)
  end
  if state == 'completed' then note_run(id) end
  if b[11] then wake(b[11]) end -- the job that writes what came of it to files, and tells of its end then
  tell_batch_end(id, state)
  tell(id, state)
end

-- Documents that are the same as an earlier one of their batch wait for its row. Each row lets two of them go, and theirs
-- two each: however many there are, no script has to do with them all.
local function wake_twins(item) -- seldom
  local first = redis.call('HGET', job_key(item), 'same_as') or item
  for _ = 1, 2 do
    local twin = redis.call('LPOP', P .. 'twins:' .. first)
    if not twin then return end
    wake(twin)
  end
end

-- Lets a copy wait for the row of its first as long as that has none, which is so again once that was started again.
-- A copy that has parts of its own by now goes on with them. Answers whether it waits; it is in no list then.
local function await_first(job) -- seldom
  local first = not job.parent and job.batch and redis.call('HGET', job_key(job.id), 'same_as')
  if not first then return false end
  local known = redis.call('HMGET', job_key(first), 'state', 'item_state')
  if not known[1] or known[2] then return false end
  move(job, 'waiting')
  redis.call('RPUSH', P .. 'twins:' .. first, job.id)
  redis.call('HSET', job_key(job.id), 'waits_for', 1)
  return true
end

-- A job's end is the end of its item: once only, however many jobs of the item end after it.
local function settle(job, state)
  local item = job.item or job.id
  if job.item and redis.call('EXISTS', job_key(item)) == 0 then return end -- deleted: this must not make it anew
  -- What its document's earlier generation left behind no longer speaks for it. A worker of an older version's does.
  if job.of_generation and job.of_generation ~= (redis.call('HGET', job_key(item), 'generation') or '0') then return end
  if redis.call('HSETNX', job_key(item), 'item_state', state) == 0 then return end
  redis.call('HSET', job_key(item), 'item_by', job.id, 'item_ms', NOW)
  if state == 'succeeded' then redis.call('HDEL', job_key(item), 'made_by') end -- its answer says who gave it
  if job.batch then
    local key = batch_key(job.batch)
    -- A document that ends before the jobs that it unfolded into leaves them behind, a merge perhaps for ever.
    if job.parent then redis.call('HSET', key, 'strays', 1) end
    redis.call('HSET', job_key(item), 'row', redis.call('RPUSH', key .. ':rows', item) - 1)
    redis.call('HINCRBY', key, COUNTER[state] or 'failed', 1)
    tell(job.batch, 'row')
    if redis.call('HGET', key, 'same') then wake_twins(item) end
    end_batch_if_done(job.batch)
  else
    redis.call('HSET', job_key(item), 'expires_ms', keep_until(item, job.ttl_ms))
    tell_job_end(job, state)
  end
end

local function wake_next(job)
  if job['then'] and job['then'] ~= '' then wake(job['then']) end
end

-- Ends a job: terminal state, countdown of the job that waits for it, item and batch, all in this one script.
-- `continues` says that a successful job has handed its item on to further jobs.
local function finish(job, state, continues)
  move(job, state)
  redis.call('HSET', job_key(job.id), 'finished_ms', NOW)
  if state == 'dead' then redis.call('ZADD', P .. 'dead', NOW, job.id) end
  wake_next(job)
  local failed = state ~= 'succeeded'
  if (job.settle == 'always' and not continues) or (job.settle == 'failure' and failed) then settle(job, state) end
end

local function fail(job, state, code, message)
  redis.call('HSET', job_key(job.id), 'fault_code', code, 'fault_message', message)
  finish(job, state, false)
end

-- How many tokens of its answer were said while it was written, roughly: a token is about four bytes.
local function heard_tokens(job)
  local last = redis.call('XREVRANGE', P .. 'said:' .. job.id, '+', '-', 'COUNT', 1)[1]
  return last and math.ceil((tonumber(last[2][4]) + #last[2][6]) / 4) or 0
end

-- Ends a job that somebody else ended: cancelled, or past its deadline. Its worker is told at once.
local function take_away(job, state) -- seldom
  if job.state == 'running' then
    redis.call('PUBLISH', P .. 'drop:' .. job.inc, job.id .. ' ' .. state)
    unmetered(job) -- its worker counts what the attempt used as lost
    -- Or whoever reads a stream and hangs up before its end would read for nothing, and have long prompts read.
    if job.account and job.account ~= '' then
      job.used = tonumber(redis.call('HGET', job_key(job.id), 'prompt') or 0) + heard_tokens(job)
    end
  end
  if state == 'expired' then
    fail(job, state, 'expired', 'Its deadline passed before it was done.')
  else
    fail(job, 'cancelled', 'cancelled', 'Cancelled before it was done.')
  end
end

-- Writes an attempt that came to nothing into the record: one line each, the last ones are kept.
local function remember(job, how, fault)
  local old = redis.call('HGET', job_key(job.id), 'history') or ''
  local line = table.concat({job.attempt, job.worker or '', job.started_ms or 0, NOW, how, fault or ''}, '\t')
  local lines = {}
  for one in string.gmatch(old, '[^\n]+') do lines[#lines + 1] = one end
  lines[#lines + 1] = line
  redis.call('HSET', job_key(job.id), 'history', table.concat(lines, '\n', math.max(1, #lines - HISTORY + 1)))
end

-- Gives back what a job was charged when it was released: it did not run after all.
local function uncharge(job) -- seldom
  redis.call('ZADD', P .. 'backlog:' .. job.queue, 'XX', 'INCR', -job.cost, job.tenant)
  local weight = batch_of(job).weight or 1
  redis.call('ZADD', groups_key(job.queue, job.tenant), 'XX', 'INCR', -job.cost / weight, group_of(job))
end

local function wait_again(job, delay_ms, becomes_suspect) -- seldom
  move(job, 'waiting')
  job.suspect = becomes_suspect and '1' or job.suspect
  if delay_ms and delay_ms > 0 then
    redis.call('ZADD', P .. 'delayed', NOW + delay_ms, job.id)
  else
    enqueue(job, true)
  end
end

-- How many workers of a queue lived within ten minutes: one that restarts still counts as a card.
local CREW_MS = 600000
local function crew(queue)
  local lately = 0
  for _, when in ipairs(redis.call('HVALS', P .. 'crew:' .. queue)) do
    if tonumber(when) > NOW - CREW_MS then lately = lately + 1 end
  end
  return math.max(redis.call('HLEN', P .. 'slots:' .. queue), lately)
end

-- How many live workers of a queue other than this one can take jobs now.
local function able_besides(queue, worker) -- seldom
  local others = 0
  for _, inc in ipairs(redis.call('HKEYS', P .. 'slots:' .. queue)) do
    local of = redis.call('HMGET', P .. 'inc:' .. inc, 'worker', 'limit')
    if of[1] and of[1] ~= worker and tonumber(of[2] or 1) > 0 and redis.call('HEXISTS', P .. 'quarantine', of[1]) == 0 then
      others = others + 1
    end
  end
  return others
end

local function marks_of(job) -- seldom
  local marks, distinct, by = {}, 0, {}
  for name in string.gmatch(redis.call('HGET', job_key(job.id), 'marks') or '', '[^\n]+') do
    marks[#marks + 1] = name
    if not by[name] then
      by[name] = true
      distinct = distinct + 1
    end
  end
  return marks, distinct, by
end

-- The suspect rule: what was in flight when an engine or a worker died comes back as a suspect, and a worker holds one
-- suspect at a time. So the suspect that it held when it died was the only one, and gets a mark by that worker's name.
-- Once it has a mark it runs alone: a newcomer that kills engines too cannot be why it gets the next one.
-- Two marks, on two workers where there are two, and it is dead; three in any case.
local function accuse(job, worker)
  if not job.suspect then
    redis.call('HSET', job_key(job.id), 'suspect', 1)
    list_suspect('SADD', job)
    return false
  end
  local marks, distinct, by = marks_of(job)
  marks[#marks + 1] = worker
  if not by[worker] then distinct = distinct + 1 end
  redis.call('HSET', job_key(job.id), 'marks', table.concat(marks, '\n'))
  local cards = crew(job.queue)
  local convicted = (#marks >= 2 and distinct >= math.min(2, cards)) or #marks >= 3
  -- These workers have died under a job that is to blame: what was held against them may have been its doing too.
  if convicted then redis.call('HDEL', P .. 'against', unpack(marks)) end
  return convicted
end

-- A job that succeeds elsewhere clears itself, and speaks against the workers that died while they held it. Two such
-- jobs and the worker is quarantined, unless it is the last one that can take jobs. (Counting deaths alone would let two
-- bad jobs put every card away.)
local function acquit(job) -- seldom
  local _, _, by = marks_of(job)
  redis.call('HDEL', job_key(job.id), 'suspect', 'marks')
  for worker in pairs(by) do
    if worker ~= job.worker then
      local against = redis.call('HINCRBY', P .. 'against', worker, 1)
      if against >= 2 and able_besides(job.queue, worker) > 0 then
        local why = 'It died under ' .. against .. ' jobs that succeeded on other workers.'
        if redis.call('HSETNX', P .. 'quarantine', worker, why) == 1 then
          tell_endpoints('fleet.card_quarantined', worker, '', {'worker', worker})
        end
      end
    end
  end
end

-- Sends a job whose attempt came to nothing back, or to the dead. `how`: retry (an engine fault: a strike, and a pause),
-- crashed (the suspect rule), given_back and lost (nobody's fault). Answers its state afterwards.
local function send_back(job, how, max_attempts, delay_ms, fault) -- seldom
  remember(job, how, fault)
  count(how == 'retry' and 'retried' or how == 'crashed' and 'crashed' or 'given_back', job.queue)
  if how == 'retry' then
    job.strikes = redis.call('HINCRBY', job_key(job.id), 'strikes', 1)
    if job.strikes >= max_attempts then
      fail(job, 'dead', 'dead', 'Given up after ' .. job.strikes .. ' attempts that ended in an engine fault.')
      return 'dead'
    end
  elseif how == 'crashed' then
    if accuse(job, job.worker or '') then
      fail(job, 'dead', 'dead', 'Given up: engines or workers died while this was the only suspect that they held.')
      return 'dead'
    end
  end
  wait_again(job, delay_ms, how == 'crashed')
  return 'waiting'
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

-- The hints in a ready queue by the job that each names. The queue is shallow, so it may be looked through.
local function ready_hints(queue)
  local by_job = {}
  for _, message in ipairs(redis.call('LRANGE', P .. queue, 0, -1)) do
    local id = string.match(message, '"id": *"([%w_-]+)%.')
    if id then by_job[id] = message end
  end
  return by_job
end
