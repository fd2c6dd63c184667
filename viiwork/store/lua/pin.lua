#!lua flags=allow-oom
-- Keeps what the first attempt at a job went by, so that every later one does the same. ARGV: job id, attempt, token,
-- the value. Answers the value to go by; while the fence is down it is the one given, whatever comes of it.

local key = job_key(ARGV[1])
local known = redis.call('HMGET', key, 'attempt', 'token', 'card')
if known[1] ~= ARGV[2] or known[2] ~= ARGV[3] then return ARGV[4] end
if not known[3] then redis.call('HSET', key, 'card', ARGV[4]) end
return known[3] or ARGV[4]
