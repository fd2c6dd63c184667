#!lua
-- An idempotency key is used once. ARGV: tenant and key, fingerprint of the body, id to use, time to live in ms.
-- Answers the id that this key stands for, or false when it came with another body.

local key = P .. 'idem:' .. ARGV[1]
local known = redis.call('HMGET', key, 'fingerprint', 'id')
if not known[1] then
  redis.call('HSET', key, 'fingerprint', ARGV[2], 'id', ARGV[3])
  redis.call('PEXPIRE', key, ARGV[4])
  return ARGV[3]
end
if known[1] ~= ARGV[2] then return false end
return known[2]
