#!lua flags=allow-oom
-- API keys: the record `apikey:<id>`, and `apikeys`, which has the id of each name. ARGV: verb, id, then
-- create: name, milliseconds until it ends (0: never), then field, value, … of the record.
--   Answers 1, or 0 where a key of this name is there.
-- rotate: digest and hint of the new secret, for how long the one before is valid too, in milliseconds (0: no longer), and
--   whether the last one never reached anybody and is replaced alone (1). Answers 1, or 0 where there is no such key.
-- limits: how much it may ask for, as JSON. Answers 1, or 0 where there is no such key.
-- revoke: answers 1, or 0 where there is no such key.
-- A full server carries all of them out: whoever takes a key back must be able to.

local verb, id = ARGV[1], ARGV[2]
local key, names = P .. 'apikey:' .. id, P .. 'apikeys'

if verb == 'create' then
  if redis.call('HSETNX', names, ARGV[3], id) == 0 then return 0 end
  redis.call('HSET', key, 'name', ARGV[3], 'created_ms', NOW, unpack(ARGV, 5))
  local for_ms = tonumber(ARGV[4])
  if for_ms > 0 then redis.call('HSET', key, 'expires_ms', NOW + for_ms) end
  return 1
end

local known = redis.call('HMGET', key, 'name', 'sha256')
if not known[1] then return 0 end

if verb == 'rotate' then
  local for_ms = tonumber(ARGV[5])
  if ARGV[6] ~= '1' then
    if for_ms > 0 then
      redis.call('HSET', key, 'before', known[2], 'two_until_ms', NOW + for_ms)
    else
      redis.call('HDEL', key, 'before', 'two_until_ms')
    end
  end
  redis.call('HSET', key, 'sha256', ARGV[3], 'hint', ARGV[4])
elseif verb == 'limits' then
  redis.call('HSET', key, 'limits', ARGV[3])
else
  redis.call('DEL', key)
  redis.call('HDEL', names, known[1])
end
return 1
