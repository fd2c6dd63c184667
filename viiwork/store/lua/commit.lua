#!lua flags=allow-oom
-- running → an end, or back to the backlog. ARGV: job id, attempt, token, verdict, result (JSON), result blob,
-- prompt tokens, output tokens, max attempts, pause before a retry in milliseconds, energy in millijoules or '', 1 if that is all of it,
-- 1 if it is of simulated cards, and (JSON) whose engine it was, or ''. Verdicts: succeeded, failed, expired,
-- continues (succeeded, and its item goes on in further jobs), unfolds (succeeded, and its item is none: those that it
-- held are items by now), retry (a strike: the engine's fault), crashed (the engine
-- died under it), give_back (not charged: the worker is leaving).
-- Accepted once: only while the fence (attempt, token) stands. Answers {'fenced', state}, or {'ok', state, queue, …}:
-- the queues in which this end lets another job go, to be released to at once.

local BACK = {retry = 'retry', crashed = 'crashed', give_back = 'given_back'}
local id, verdict = ARGV[1], ARGV[4]
local job = load(id)

local function fenced(state)
  if job then count('fenced', job.queue) end
  return {'fenced', state}
end

if not job then return fenced('gone') end
if job.attempt ~= tonumber(ARGV[2]) or job.token ~= ARGV[3] then return fenced(job.state) end
if job.state ~= 'running' then
  -- The same commit again, after its reply was lost, is no second commit.
  if redis.call('HGET', job_key(id), 'verdict') == verdict then return {'ok', job.state} end
  return fenced(job.state)
end

-- What the job was expected to cost was charged when it was released; the difference is settled now.
local function correct_cost(used)
  local batch = batch_of(job)
  if used <= 0 or used == job.cost then return end
  local group = group_of(job)
  redis.call('ZADD', P .. 'backlog:' .. job.queue, 'XX', 'INCR', used - job.cost, job.tenant)
  redis.call('ZADD', groups_key(job.queue, job.tenant), 'XX', 'INCR', (used - job.cost) / (batch.weight or 1), group)
end

-- What a batch's calls of engines came to, and from when to when they ran: the next one is reckoned by it.
local function add_up(of, taken, written)
  local key = batch_key(of.batch)
  redis.call('HINCRBY', key, 'calls', 1)
  redis.call('HINCRBY', key, 'prompt_tokens', taken)
  redis.call('HINCRBY', key, 'output_tokens', written)
  redis.call('HSETNX', key, 'ran_from_ms', of.started_ms or NOW)
  redis.call('HSET', key, 'ran_to_ms', NOW)
end

-- The same for one document, whose row tells it: kept as one field, `calls taken written`, for there are very many.
local function add_to_item(taken, written)
  local key = item_key(job) or job_key(id)
  local said = redis.call('HGET', key, 'spent') or '0 0 0'
  local calls, before_taken, before_written = string.match(said, '^(%d+) (%d+) (%d+)$')
  redis.call('HSET', key, 'spent', string.format('%.0f %.0f %.0f', (calls or 0) + 1, (before_taken or 0) + taken,
    (before_written or 0) + written))
end

local runs = job.task == 'viiwork.run'
if runs and (ARGV[14] or '') ~= '' then redis.call('HSET', item_key(job) or job_key(id), 'made_by', ARGV[14]) end

redis.call('HSET', job_key(id), 'verdict', verdict)
meter(job, ARGV[11], ARGV[12], ARGV[13] == '1')
if BACK[verdict] then
  if ARGV[5] ~= '' then redis.call('HSET', job_key(id), 'last_result', ARGV[5]) end
  local state = send_back(job, BACK[verdict], tonumber(ARGV[9]), tonumber(ARGV[10] or 0), ARGV[5])
  return {'ok', state, unpack(WOKEN)}
end
-- A count that is none must not stop the commit half-way, nor the fleet's sums, which end at 2^63.
local function tokens(said)
  local count = tonumber(said) or 0
  return count > 0 and math.floor(math.min(count, 1e9)) or 0
end

local prompt, output = tokens(ARGV[7]), tokens(ARGV[8])
redis.call('HINCRBY', job_key(id), 'commits', 1)
redis.call('HSET', job_key(id), 'result', ARGV[5], 'result_blob', ARGV[6], 'prompt_tokens_used', prompt,
  'output_tokens_used', output)
count('prompt_tokens', job.queue, prompt)
count('output_tokens', job.queue, output)
if job.batch and runs then add_up(job, prompt, output) end
if runs then add_to_item(prompt, output) end
correct_cost(prompt + output)
if runs then job.used = prompt + output end
-- What it held was submitted under its fence before, so the batch cannot have ended without it.
local function give_way()
  if not job.batch or redis.call('HSETNX', job_key(id), 'item_state', 'unfolded') == 0 then return end
  redis.call('HINCRBY', batch_key(job.batch), 'items', -1)
  redis.call('HINCRBY', batch_key(job.batch), 'total', -1)
  -- One that came twice is no copy of a document either: those that it held are.
  if redis.call('HDEL', job_key(id), 'same_document') == 1 then redis.call('HINCRBY', batch_key(job.batch), 'same', -1) end
  wake_twins(id)
  tell(job.batch, 'row')
  end_batch_if_done(job.batch)
end

local goes_on = verdict == 'continues' or verdict == 'unfolds'
finish(job, goes_on and 'succeeded' or verdict, goes_on)
if verdict == 'unfolds' then give_way() end
if job.suspect and job.state == 'succeeded' then acquit(job) end
return {'ok', job.state, unpack(WOKEN)}
