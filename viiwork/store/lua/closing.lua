#!lua flags=allow-oom
-- Says whether the fleet is closing; a full server can be shut down too. ARGV: 1 or 0.

if ARGV[1] == '1' then redis.call('SET', P .. 'closing', 1) else redis.call('DEL', P .. 'closing') end
return 1
