#!lua
-- Makes the record of an endpoint that is told of events; one that is there already is left as it is.
-- ARGV: endpoint id, tenant, URL, how many a tenant may have, how many there may be, then field, value, … of it.
-- Answers 'there', 'exists' where the tenant has one of this URL, or 'full'.

local id, tenant, url = ARGV[1], ARGV[2], ARGV[3]
local key, all = P .. 'endpoint:' .. id, P .. 'endpoints'
if redis.call('EXISTS', key) == 1 then
  redis.call('SADD', all, id) -- what a lost connection may have left out
  return 'there'
end

local every, own = redis.call('SMEMBERS', all), 0
for _, each in ipairs(every) do
  local known = redis.call('HMGET', P .. 'endpoint:' .. each, 'tenant', 'url')
  if known[1] == tenant then
    own = own + 1
    if known[2] == url then return 'exists' end
  end
end
if own >= tonumber(ARGV[4]) or #every >= tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', key, 'tenant', tenant, 'url', url, 'created_ms', NOW, unpack(ARGV, 6))
redis.call('SADD', all, id)
return 'there'
