#!lua
-- Keeps what was read of a document, for the next question about the same content. ARGV: job id, attempt, token, the
-- name under which it is found, its blob. The blob is the job's own: whatever removes its record removes it, and what was
-- found by it. Answers 1, or 0 when it is not kept: then the blob is nobody's.

local job = load(ARGV[1])
if not job or job.state ~= 'running' or job.attempt ~= tonumber(ARGV[2]) or job.token ~= ARGV[3] then return 0 end
if redis.call('HEXISTS', job_key(job.id), 'text_blob') == 1 then return 0 end
redis.call('HSET', job_key(job.id), 'text_blob', ARGV[5], 'text_key', ARGV[4])
redis.call('SET', P .. 'text:' .. ARGV[4], ARGV[5])
count('texts_kept', job.queue)
return 1
