#!lua flags=allow-oom
-- One beat of one incarnation. ARGV: incarnation, worker name, card (JSON), in flight (JSON), slots, how many jobs it
-- takes at most now, grace in milliseconds for a claim whose reply is still under way, what its cards have used in this
-- life that no job is charged with (numbers as in SPENT, or an empty string), number of queues, the queues, then id and
-- token of every job in its hands.
-- Answers {why the worker is quarantined, or an empty string, Redis' clock, how many jobs a hold lets it have at most or
-- -1, how many jobs wait before each of the queues, …, id, state, …}: the jobs that are no longer its own (cancelled,
-- taken back), which it must drop.

local inc, worker, grace, queues = ARGV[1], ARGV[2], tonumber(ARGV[7]), tonumber(ARGV[9])
local at_most = tonumber(redis.call('HGET', P .. 'hold', 'at_most:' .. worker) or -1)
-- Others' shares are reckoned by slots: those that a hold keeps empty are nobody's.
local slots = at_most >= 0 and math.min(at_most, tonumber(ARGV[5])) or ARGV[5]
local SPENT = {'idle', 'lost', 'unmeasured'} -- millijoules, millijoules, milliseconds of a card
local METER_MS = 86400000

-- It tells sums since its start, and what they grew by is counted: a beat that comes twice, or late from a life that was
-- given up, counts nothing twice.
local function count_spent(said)
  local key, counted = P .. 'meter:' .. inc, {}
  for number in string.gmatch(redis.call('GET', key) or '', '%d+') do counted[#counted + 1] = tonumber(number) end
  local at = 0
  for number in string.gmatch(said, '%d+') do
    at = at + 1
    local grown = tonumber(number) - (counted[at] or 0)
    if SPENT[at] and grown > 0 then
      redis.call('HINCRBY', P .. 'energy', SPENT[at] .. '|' .. worker, string.format('%d', grown))
    end
  end
  redis.call('SET', key, said, 'PX', METER_MS)
end

redis.call('ZADD', P .. 'incs', NOW, inc)
if ARGV[8] ~= '' then count_spent(ARGV[8]) end
redis.call('HSET', P .. 'inc:' .. inc, 'card', ARGV[3], 'in_flight', ARGV[4], 'beat_ms', NOW,
  'worker', worker, 'limit', ARGV[6])
for q = 10, 9 + queues do
  redis.call('HSET', P .. 'slots:' .. ARGV[q], inc, slots)
  redis.call('HSET', P .. 'crew:' .. ARGV[q], worker, NOW)
  redis.call('SADD', P .. 'queues', ARGV[q])
  -- What a model can take outlives its workers: documents are cut for it while they restart.
  redis.call('HSET', P .. 'models', string.match(ARGV[q], '^%l+%.(.+)$'), ARGV[3])
end

local answer, held = {redis.call('HGET', P .. 'quarantine', worker) or '', NOW, at_most}, {}
for q = 10, 9 + queues do
  local depth = redis.call('HMGET', P .. 'depth', ARGV[q] .. '|waiting', ARGV[q] .. '|queued')
  answer[#answer + 1] = tonumber(depth[1] or 0) + tonumber(depth[2] or 0)
end
for at = 10 + queues, #ARGV, 2 do
  local state = redis.call('HMGET', job_key(ARGV[at]), 'state', 'token', 'inc')
  held[ARGV[at]] = true
  if state[1] ~= 'running' or state[2] ~= ARGV[at + 1] or state[3] ~= inc then
    answer[#answer + 1] = ARGV[at]
    answer[#answer + 1] = state[1] or 'gone'
  end
end

-- A claim whose reply never arrived left its job running with nobody: give it back, uncharged.
none_in_the_future(P .. 'inc:' .. inc .. ':running')
local old = redis.call('ZRANGEBYSCORE', P .. 'inc:' .. inc .. ':running', '-inf', NOW - grace, 'LIMIT', 0, SLICE)
for _, id in ipairs(old) do
  if not held[id] then
    local job = load(id)
    if job and job.state == 'running' and job.inc == inc then
      send_back(job, 'lost')
    else
      redis.call('ZREM', P .. 'inc:' .. inc .. ':running', id)
    end
  end
end
return answer
