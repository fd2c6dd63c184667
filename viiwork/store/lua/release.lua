#!lua flags=allow-oom
-- Moves jobs from the backlog to the shallow ready queue. ARGV: envelope, read-ahead limit, then queue names.
-- The ready queue of a model is filled to max(2, half the fleet's slots for it); order is by stride over tenants,
-- then over a tenant's batches. Answers the number released.

local BULK = 20 -- parts of very long documents may wait in such a multiple: one such document alone has thousands

local function slots_of(queue)
  local sum = 0
  for _, slots in ipairs(redis.call('HVALS', P .. 'slots:' .. queue)) do sum = sum + tonumber(slots) end
  return sum
end

local function drop_if_empty(queue, tenant, group, list)
  if redis.call('LLEN', list) > 0 or redis.call('LLEN', bulk_list(list)) > 0 then return end
  local groups = P .. 'backlog.t:' .. queue .. ':' .. tenant
  redis.call('ZREM', groups, group)
  if redis.call('ZCARD', groups) == 0 then redis.call('ZREM', P .. 'backlog:' .. queue, tenant) end
end

local function charge(queue, tenant, group, cost)
  redis.call('ZINCRBY', P .. 'backlog:' .. queue, cost, tenant)
  redis.call('ZINCRBY', P .. 'backlog.t:' .. queue .. ':' .. tenant, cost, group)
end

-- A job that makes more jobs waits while what it feeds has a long backlog: read-ahead must not fill the memory.
local function must_hold_back(job, limit)
  if not job.feeds or job.feeds == '' then return false end
  local depth = redis.call('HMGET', P .. 'depth', job.feeds .. '|waiting', job.feeds .. '|bulk')
  local bulk = tonumber(depth[2] or 0)
  return tonumber(depth[1] or 0) - bulk >= limit or bulk >= BULK * limit
end

-- The fairest group that is not held back: the first of the first tenant that has one. `held` counts its entries at 0.
local function fairest(queue, held)
  for _, tenant in ipairs(redis.call('ZRANGE', P .. 'backlog:' .. queue, 0, held[0])) do
    local groups = redis.call('ZRANGE', P .. 'backlog.t:' .. queue .. ':' .. tenant, 0, held[0])
    for _, group in ipairs(groups) do
      local list = P .. 'backlog.g:' .. queue .. ':' .. group .. ':' .. tenant
      if not held[list] then return tenant, group, list end
    end
    if #groups == 0 then redis.call('ZREM', P .. 'backlog:' .. queue, tenant) end
  end
end

-- One step: the head of the fairest group is released, held back, or dropped when it is no longer waiting.
-- A group that is held back stands aside for this call, so that nobody else waits for what it feeds.
-- Answers nil when nothing can go, else the number released (0 or 1).
local function step(queue, envelope, read_ahead, held)
  local tenant, group, list = fairest(queue, held)
  if not tenant then return nil end
  local id = redis.call('LPOP', list) or redis.call('LPOP', bulk_list(list))
  local job = id and load(id)
  local released = 0
  if job and job.state == 'waiting' and job.waits_for == 0 then
    if batch_is_cancelled(job) then
      cancel(job)
    elseif must_hold_back(job, read_ahead) then
      redis.call('LPUSH', list, id)
      held[list], held[0] = true, held[0] + 1
    else
      charge(queue, tenant, group, job.cost)
      move(job, 'queued')
      publish(job, envelope)
      released = 1
    end
  end
  drop_if_empty(queue, tenant, group, list)
  return released
end

local total, touched = 0, 0
for q = 3, #ARGV do
  local queue = ARGV[q]
  local room = math.max(2, math.ceil(slots_of(queue) / 2)) - redis.call('LLEN', P .. queue)
  local held = {[0] = 0}
  while room > 0 and touched < SLICE do
    local released = step(queue, ARGV[1], tonumber(ARGV[2]), held)
    if not released then break end
    room, total, touched = room - released, total + released, touched + 1
  end
end
return total
