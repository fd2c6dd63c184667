#!lua flags=allow-oom
-- One beat of one incarnation. ARGV: incarnation, card (JSON), in flight (JSON), slots, grace in milliseconds for a
-- claim whose reply is still under way, number of queues, the queues, then id and token of every job in its hands.
-- Answers id and state of those that are no longer its own (cancelled, taken back): it must drop them.

local inc, grace, queues = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('ZADD', P .. 'incs', NOW, inc)
redis.call('HSET', P .. 'inc:' .. inc, 'card', ARGV[2], 'in_flight', ARGV[3], 'beat_ms', NOW)
for q = 7, 6 + queues do
  redis.call('HSET', P .. 'slots:' .. ARGV[q], inc, ARGV[4])
  redis.call('SADD', P .. 'queues', ARGV[q])
  -- What a model can take outlives its workers: documents are cut for it while they restart.
  redis.call('HSET', P .. 'models', string.match(ARGV[q], '^%l+%.(.+)$'), ARGV[2])
end

local lost, held = {}, {}
for at = 7 + queues, #ARGV, 2 do
  local state = redis.call('HMGET', job_key(ARGV[at]), 'state', 'token', 'inc')
  held[ARGV[at]] = true
  if state[1] ~= 'running' or state[2] ~= ARGV[at + 1] or state[3] ~= inc then
    lost[#lost + 1] = ARGV[at]
    lost[#lost + 1] = state[1] or 'gone'
  end
end

-- A claim whose reply never arrived left its job running with nobody: give it back, uncharged.
local old = redis.call('ZRANGEBYSCORE', P .. 'inc:' .. inc .. ':running', '-inf', NOW - grace, 'LIMIT', 0, SLICE)
for _, id in ipairs(old) do
  if not held[id] then
    local job = load(id)
    if job and job.state == 'running' and job.inc == inc then
      send_back(job, false, math.huge)
    else
      redis.call('ZREM', P .. 'inc:' .. inc .. ':running', id)
    end
  end
end
return lost
