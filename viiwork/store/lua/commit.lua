#!lua flags=allow-oom
-- running → an end, or back to the backlog. ARGV: job id, attempt, token, verdict, result (JSON), result blob,
-- prompt tokens, output tokens, max attempts. Verdicts: succeeded, failed, expired, continues (succeeded, and its item
-- goes on in further jobs), retry (charged: the engine's fault), give_back (not charged: the worker is leaving).
-- Accepted once: only while the fence (attempt, token) stands. Answers {'fenced', state}, or {'ok', state, queue, …}:
-- the queues in which this end lets another job go, to be released to at once.

local id, verdict = ARGV[1], ARGV[4]
local job = load(id)
if not job then return {'fenced', 'gone'} end
if job.attempt ~= tonumber(ARGV[2]) or job.token ~= ARGV[3] then return {'fenced', job.state} end
if job.state ~= 'running' then
  -- The same commit again, after its reply was lost, is no second commit.
  if redis.call('HGET', job_key(id), 'verdict') == verdict then return {'ok', job.state} end
  return {'fenced', job.state}
end

redis.call('HSET', job_key(id), 'verdict', verdict)
if verdict == 'retry' or verdict == 'give_back' then
  if verdict == 'retry' then redis.call('HSET', job_key(id), 'last_result', ARGV[5]) end
  return {'ok', send_back(job, verdict == 'retry', tonumber(ARGV[9])), unpack(WOKEN)}
end
redis.call('HINCRBY', job_key(id), 'commits', 1)
redis.call('HSET', job_key(id), 'result', ARGV[5], 'result_blob', ARGV[6], 'prompt_tokens_used', ARGV[7],
  'output_tokens_used', ARGV[8])
finish(job, verdict == 'continues' and 'succeeded' or verdict, verdict == 'continues')
return {'ok', job.state, unpack(WOKEN)}
