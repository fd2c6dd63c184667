#!lua flags=allow-oom
-- For how long the fleet has kept itself up on this server without a gap, by this server's clock. ARGV: the longest pause
-- between two turns of upkeep that is no gap, in milliseconds. Answers milliseconds. A jump of the clock is a gap.

local key = P .. 'contact'
local known = redis.call('HMGET', key, 'since_ms', 'last_ms')
local since, last = tonumber(known[1] or NOW), tonumber(known[2] or 0)
if NOW < last or NOW - last > tonumber(ARGV[1]) then since = NOW end
redis.call('HSET', key, 'since_ms', since, 'last_ms', NOW)
return NOW - since
