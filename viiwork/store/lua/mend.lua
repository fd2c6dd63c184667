#!lua flags=allow-oom
-- Puts right what nobody else does. ARGV: envelope, grace in milliseconds, queues. For each queue:
-- released jobs whose hint has vanished (popped by a worker that died before its claim) get a new one (the ready queue is
-- shallow, so the two sets are compared exactly); suspects that are out no more, or no suspects, are struck off; the pace is measured.
-- Jobs whose pause before another attempt is over go back to the backlog.
-- Answers {number of hints published again, 1 if more pauses are over}.

local PACE_MS = 5000
local LONGEST_PAUSE_MS = 3600000
local GONE_MS = 86400000 -- a worker that was not seen for so long is no card of this fleet

local function republish(queue)
  none_in_the_future(P .. 'released:' .. queue)
  local old = redis.call('ZRANGEBYSCORE', P .. 'released:' .. queue, '-inf', NOW - tonumber(ARGV[2]), 'LIMIT', 0, SLICE)
  if #old == 0 then return 0 end
  local present, published = ready_hints(queue), 0
  for _, id in ipairs(old) do
    local job = not present[id] and load(id)
    if job and job.state == 'queued' then
      publish(job, ARGV[1])
      published = published + 1
    elseif not present[id] then
      redis.call('ZREM', P .. 'released:' .. queue, id)
    end
  end
  count('republished', queue, published)
  return published
end

local function strike_off_suspects(queue)
  local key = P .. 'suspects.out:' .. queue
  for _, id in ipairs(redis.call('SRANDMEMBER', key, SLICE)) do
    local state = redis.call('HGET', job_key(id), 'state')
    if state ~= 'queued' and state ~= 'running' then redis.call('SREM', key, id) end
  end
end

-- A worker of an earlier version ends suspects, starts them again or clears them away without a word to the lists.
local function strike_off_ended(queue)
  for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'suspected:' .. queue, SLICE)) do
    local job = load(id)
    if not job or not job.suspect or TERMINAL[job.state] then
      list_suspect('SREM', job or {id = id, queue = queue, batch = string.match(id, '^([^-]+)%-')})
    end
  end
end

-- Jobs started a second, smoothed over about half a minute.
local function measure_pace(queue)
  local key = P .. 'pace:' .. queue
  local started = tonumber(redis.call('HGET', P .. 'stats', 'started|' .. queue) or 0)
  local last = redis.call('HMGET', key, 'started', 'at_ms', 'jobs_per_s')
  local since = NOW - tonumber(last[2] or 0)
  if since < PACE_MS then return end
  local crew = redis.call('HGETALL', P .. 'crew:' .. queue)
  for at = 1, #crew, 2 do
    if tonumber(crew[at + 1]) < NOW - GONE_MS then redis.call('HDEL', P .. 'crew:' .. queue, crew[at]) end
  end
  local pace = last[1] and 1000 * (started - tonumber(last[1])) / since or 0
  if last[3] and tonumber(last[3]) > 0 then pace = 0.8 * tonumber(last[3]) + 0.2 * pace end
  redis.call('HSET', key, 'started', started, 'at_ms', NOW, 'jobs_per_s', tostring(pace))
end

none_in_the_future(P .. 'delayed', LONGEST_PAUSE_MS)
local rested = redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', NOW, 'LIMIT', 0, SLICE)
for _, id in ipairs(rested) do
  local job = load(id)
  redis.call('ZREM', P .. 'delayed', id)
  if job and job.state == 'waiting' then enqueue(job, true) end
end

local total = 0
for q = 3, #ARGV do
  total = total + republish(ARGV[q])
  strike_off_suspects(ARGV[q])
  strike_off_ended(ARGV[q])
  measure_pace(ARGV[q])
end
return {total, #rested == SLICE and 1 or 0}
