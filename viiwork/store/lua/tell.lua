#!lua flags=allow-oom
-- Writes a fact of the fleet down once, and tells the endpoints that want to know of it in the same step.
-- ARGV: hash, field, value, the event's type, its subject, then field, value, … about it.
-- Answers 1 where it is news, 0 where it was known.

if redis.call('HSETNX', P .. ARGV[1], ARGV[2], ARGV[3]) == 0 then return 0 end
tell_endpoints(ARGV[4], ARGV[5], '', {unpack(ARGV, 6)})
return 1
