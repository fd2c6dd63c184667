#!lua flags=allow-oom
-- The way of a callback: taken by a sender, and ended by what came of it. ARGV: verb, then
-- take: whose token, how many lanes at most, for how many milliseconds a lane is theirs. Answers Redis' clock, then the
--   ids: one of each lane that has something due and nothing under way.
-- end: id, token, what became of it (delivered, later, dead), the pause before the next try in milliseconds, the status
--   that was answered (0: none), what went wrong, how long it is kept from its end. Answers its state. What was delivered
--   is delivered whoever says so; anything else only the holder of the lane may say.
-- replay: id. Sends it once more, as the same callback. Answers 1, or 0 where there is none.

local verb = ARGV[1]
local MOST_KEPT = 10000 -- of those that were delivered, and of the dead

local function lane_key(lane) return P .. 'callbacks.to:' .. lane end

-- When the lane has something to do next.
local function arm(lane)
  local first = redis.call('ZRANGE', lane_key(lane), 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', P .. 'callbacks.lanes', first[2], lane)
  else
    redis.call('ZREM', P .. 'callbacks.lanes', lane)
  end
end

-- A lease of a clock that was put back is none.
local function is_busy(lane, for_ms)
  local until_ms = tonumber(redis.call('ZSCORE', P .. 'callbacks.busy', lane) or 0)
  return until_ms > NOW and until_ms <= NOW + for_ms
end

local function take(token, most, for_ms)
  local answer, looked = {NOW}, most + redis.call('ZCARD', P .. 'callbacks.busy')
  for _, lane in ipairs(redis.call('ZRANGEBYSCORE', P .. 'callbacks.lanes', '-inf', NOW, 'LIMIT', 0, looked)) do
    if #answer > most then break end
    local id = redis.call('ZRANGEBYSCORE', lane_key(lane), '-inf', NOW, 'LIMIT', 0, 1)[1]
    if id and redis.call('EXISTS', P .. 'callback:' .. id) == 0 then
      redis.call('ZREM', lane_key(lane), id)
      arm(lane)
    elseif not id then
      arm(lane)
    elseif not is_busy(lane, for_ms) then
      redis.call('ZADD', P .. 'callbacks.busy', NOW + for_ms, lane)
      redis.call('HSET', P .. 'callback:' .. id, 'token', token)
      redis.call('HINCRBY', P .. 'callback:' .. id, 'tries', 1)
      answer[#answer + 1] = id
    end
  end
  return answer
end

local function shelve(id, state, keep_ms)
  redis.call('ZREM', P .. 'callbacks.pending', id)
  local shelf = P .. 'callbacks.' .. state
  redis.call('ZADD', shelf, NOW, id)
  redis.call('PEXPIRE', P .. 'callback:' .. id, keep_ms)
  redis.call('ZREMRANGEBYSCORE', shelf, '-inf', NOW - keep_ms)
  for _, old in ipairs(redis.call('ZRANGE', shelf, 0, -MOST_KEPT - 1)) do
    redis.call('DEL', P .. 'callback:' .. old)
    redis.call('ZREM', shelf, old)
  end
end

local function end_try(id, token, became, pause_ms, status, fault, keep_ms)
  local key = P .. 'callback:' .. id
  local c = redis.call('HMGET', key, 'state', 'token', 'lane')
  if c[2] == token then redis.call('ZREM', P .. 'callbacks.busy', c[3]) end
  if c[1] ~= 'pending' or (c[2] ~= token and became ~= 'delivered') then return c[1] or 'gone' end
  redis.call('HSET', key, 'status', status, 'fault', fault, 'tried_ms', NOW)
  if became == 'later' then
    redis.call('HSET', key, 'due_ms', NOW + pause_ms)
    redis.call('ZADD', lane_key(c[3]), NOW + pause_ms, id)
  else
    redis.call('HSET', key, 'state', became)
    redis.call('ZREM', lane_key(c[3]), id)
    shelve(id, became, keep_ms)
  end
  arm(c[3])
  return became
end

local function replay(id)
  local key = P .. 'callback:' .. id
  local c = redis.call('HMGET', key, 'state', 'lane')
  if not c[1] then return 0 end
  redis.call('PERSIST', key)
  redis.call('HSET', key, 'state', 'pending', 'since_ms', NOW, 'due_ms', NOW, 'tries', 0)
  redis.call('ZREM', P .. 'callbacks.delivered', id)
  redis.call('ZREM', P .. 'callbacks.dead', id)
  redis.call('ZADD', P .. 'callbacks.pending', NOW, id)
  redis.call('ZADD', lane_key(c[2]), NOW, id)
  arm(c[2])
  return 1
end

if verb == 'take' then return take(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])) end
if verb == 'end' then return end_try(ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8])) end
return replay(ARGV[2])
