#!lua flags=allow-oom
-- The right to do the fleet's upkeep for a moment. A full server needs upkeep most of all, and would refuse a plain
-- SET. ARGV: who asks, for how many milliseconds. Answers 1 to the one who got it.

-- Redis counts a time to live on its wall clock: one put back an hour would leave nobody the right for that hour.
if redis.call('PTTL', P .. 'upkeep') > tonumber(ARGV[2]) then redis.call('DEL', P .. 'upkeep') end
return redis.call('SET', P .. 'upkeep', ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
