#!lua flags=allow-oom
-- Lets workers take fewer jobs for a while: one lease for all of them, which is over by itself. ARGV: owner, how long it
-- lasts in milliseconds (0 gives it back), why, then for each worker its name and how many jobs it may hold at most.
-- What was said before by the same owner is replaced. Answers {1}, or {0, why} while it is somebody else's.

local key = P .. 'hold'
local known = redis.call('HMGET', key, 'owner', 'why')
if known[1] and known[1] ~= ARGV[1] then return {0, known[2] or ''} end
redis.call('DEL', key)
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', key, 'owner', ARGV[1], 'why', ARGV[3])
  for at = 4, #ARGV, 2 do redis.call('HSET', key, 'at_most:' .. ARGV[at], ARGV[at + 1]) end
  redis.call('PEXPIRE', key, ARGV[2])
end
return {1}
