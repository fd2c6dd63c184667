#!lua flags=allow-oom
-- Moves jobs from the backlog to the shallow ready queue. ARGV: envelope, read-ahead limit, then queue names.
-- The ready queue of a model is filled to max(2, half the fleet's slots for it); order is by stride over tenants,
-- then over a tenant's batches; suspects and merges go first. Answers {number released, 1 if there may be more to do}.

local BULK = 20 -- parts of very long documents may wait in such a multiple: one such document alone has thousands
local CROWD = 20 -- so many batches may read ahead as far as they like
local AGED_MS = 600000 -- whoever was not served for so long goes first, however much newcomers are owed

local function slots_of(queue)
  local sum, workers = 0, redis.call('HVALS', P .. 'slots:' .. queue)
  for _, slots in ipairs(workers) do sum = sum + tonumber(slots) end
  return sum, #workers
end

local function charge(queue, tenant, group, cost, weight)
  redis.call('ZADD', P .. 'backlog:' .. queue, 'XX', 'INCR', cost, tenant)
  redis.call('ZADD', groups_key(queue, tenant), 'XX', 'INCR', cost / weight, group)
  redis.call('ZADD', P .. 'served:' .. queue, 'XX', NOW, tenant)
  redis.call('ZADD', P .. 'served:' .. queue .. ':' .. tenant, 'XX', NOW, group)
end

-- A job that makes more jobs waits while its own batch has many of them waiting: read-ahead must not fill the memory,
-- nor may anybody's backlog keep others from being read. Where very many wait in all, a batch may have few.
local function must_hold_back(job, limit)
  if not job.feeds or job.feeds == '' then return false end
  if tonumber(redis.call('HGET', P .. 'depth', job.feeds .. '|waiting') or 0) >= CROWD * limit then
    limit = limit / CROWD
  end
  local list = list_key(job.feeds, group_of(job), job.tenant)
  return redis.call('LLEN', list) >= limit or redis.call('LLEN', bulk_list(list)) >= BULK * limit
end

-- Members in the order in which they are to be looked at: first one that has aged, then by virtual time. Whether
-- anybody has aged is asked once a call: if not, nobody does during it.
local NOBODY_AGED = {}
local function in_order(served, key, upto)
  local members = redis.call('ZRANGE', key, 0, upto)
  if NOBODY_AGED[served] then return members end
  local oldest = redis.call('ZRANGE', served, 0, 0, 'WITHSCORES')
  if not oldest[1] or tonumber(oldest[2]) >= NOW - AGED_MS then
    NOBODY_AGED[served] = true
  elseif redis.call('ZSCORE', key, oldest[1]) then
    table.insert(members, 1, oldest[1])
  else
    redis.call('ZREM', served, oldest[1]) -- it left while a worker of an older version ran the fleet
  end
  return members
end

-- Whether a batch would miss its deadline in the order of virtual time: its slack is below what its own waiting jobs
-- take at the queue's measured pace. Without a pace yet, a deadline counts at once.
local function is_pressed(queue, list, deadline_ms)
  local pace = redis.call('HMGET', P .. 'pace:' .. queue, 'jobs_per_s')
  if not pace[1] or tonumber(pace[1]) <= 0 then return true end
  local left = redis.call('LLEN', list) + redis.call('LLEN', bulk_list(list))
  return deadline_ms - NOW < 1000 * left / tonumber(pace[1])
end

-- A batch's deadline moves it ahead inside its tenant, and only when it has to.
local UNHURRIED = {}
local function pressed_group(queue, tenant, held)
  local key = P .. 'urgent:' .. queue .. ':' .. tenant
  if UNHURRIED[key] then return end
  local urgent = redis.call('ZRANGE', key, 0, 4, 'WITHSCORES')
  UNHURRIED[key] = #urgent == 0
  for at = 1, #urgent, 2 do
    local list = list_key(queue, urgent[at], tenant)
    if not held[list] and is_pressed(queue, list, tonumber(urgent[at + 1])) then return urgent[at], list end
  end
end

-- The fairest group that is not held back: the first of the first tenant that has one. `held` counts its entries at 0.
local function fairest(queue, held)
  for _, tenant in ipairs(in_order(P .. 'served:' .. queue, P .. 'backlog:' .. queue, held[0])) do
    local pressed, its_list = pressed_group(queue, tenant, held)
    if pressed then return tenant, pressed, its_list end
    local groups = in_order(P .. 'served:' .. queue .. ':' .. tenant, groups_key(queue, tenant), held[0])
    for _, group in ipairs(groups) do
      local list = list_key(queue, group, tenant)
      if not held[list] then return tenant, group, list end
    end
    if #groups == 0 then
      redis.call('ZREM', P .. 'backlog:' .. queue, tenant)
      redis.call('ZREM', P .. 'served:' .. queue, tenant)
    end
  end
end

local function let_go(job, envelope)
  move(job, 'queued')
  if job.suspect then redis.call('SADD', P .. 'suspects.out:' .. job.queue, job.id) end
  publish(job, envelope)
end

-- What the head of a list comes to: 'released', 'held' (it stays), 'parked' (its batch is paused), or 'dropped' (it waits
-- no more, or stands elsewhere).
local function try(id, list, envelope, read_ahead)
  local job = load(id)
  if not job or job.state ~= 'waiting' or job.waits_for > 0 then return 'dropped' end
  local batch = batch_of(job)
  if is_over(batch) then
    take_away(job, batch.why)
  elseif batch.paused then
    enqueue(job, true)
    return 'parked'
  elseif job.suspect and list then
    enqueue(job, false) -- it was parked with its batch: now it stands with the suspects
  elseif list and must_hold_back(job, read_ahead) then
    redis.call('LPUSH', list, id)
    return 'held'
  else
    let_go(job, envelope)
    return 'released', job, batch
  end
  return 'dropped'
end

-- One step. A group that is held back stands aside for this call, so that nobody else waits for what it feeds.
-- Answers nil when nothing can go, else the number released (0 or 1).
local function step(queue, envelope, read_ahead, held)
  local tenant, group, list = fairest(queue, held)
  if not tenant then return nil end
  local from = list
  local id = redis.call('LPOP', list)
  if not id then
    from = bulk_list(list)
    id = redis.call('LPOP', from)
  end
  local came_to, job, batch
  if id then came_to, job, batch = try(id, from, envelope, read_ahead) end
  if came_to == 'released' then charge(queue, tenant, group, job.cost, batch.weight or 1) end
  if came_to == 'held' then
    held[list], held[0] = true, held[0] + 1
  elseif came_to == 'parked' or redis.call('LLEN', list) == 0 and redis.call('LLEN', bulk_list(list)) == 0 then
    leave(queue, tenant, group)
  end
  return came_to == 'released' and 1 or 0
end

-- The jobs of a list that stands apart, while `may_go` says so. Answers {released, looked at}.
local function release_first(queue, key, room, envelope, read_ahead, may_go)
  local released, looked_at = 0, 0
  while released < room and looked_at < SLICE and may_go() do
    local id = redis.call('LPOP', key)
    if not id then break end
    local came_to, job, batch = try(id, nil, envelope, read_ahead)
    if came_to == 'released' then
      charge(queue, job.tenant, group_of(job), job.cost, batch.weight or 1)
      released = released + 1
    end
    looked_at = looked_at + 1
  end
  return released, looked_at
end

-- No more suspects than there are workers: each holds one at a time.
local function suspect_may_go(queue, workers)
  return function() return redis.call('SCARD', P .. 'suspects.out:' .. queue) < math.max(1, workers) end
end

local function anyone() return true end

local total, touched, more = 0, 0, 0
for q = 3, #ARGV do
  local queue = ARGV[q]
  local slots, workers = slots_of(queue)
  local room = math.max(2, math.ceil(slots / 2)) - redis.call('LLEN', P .. queue)
  local held, before = {[0] = 0}, total
  if room > 0 then
    for _, first in ipairs({{'suspects:', suspect_may_go(queue, workers)}, {'merges:', anyone}}) do
      local released, seen = release_first(queue, P .. first[1] .. queue, room, ARGV[1], tonumber(ARGV[2]), first[2])
      room, total, touched = room - released, total + released, touched + seen
    end
  end
  while room > 0 and touched < SLICE do
    local released = step(queue, ARGV[1], tonumber(ARGV[2]), held)
    if not released then break end
    room, total, touched = room - released, total + released, touched + 1
  end
  if room > 0 and touched >= SLICE then more = 1 end
  count('released', queue, total - before)
end
return {total, more}
