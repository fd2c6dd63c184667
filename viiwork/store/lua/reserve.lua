#!lua
-- Counts a batch that is about to be made among those that its sender has open, where there may be one more. May be said
-- again. ARGV: batch id, tenant, key (empty: none), k or t for whose limit it is, the most (0: any number).
-- Answers {1 or 0 whether it may be made, how many there are}.

local id, tenant, payer, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local counted = open_key(ARGV[4], ARGV[4] == 'k' and payer or tenant)
if not redis.call('ZSCORE', counted, id) then
  if limit > 0 and redis.call('ZCARD', counted) >= limit then mend_open(counted, NOW) end
  local there = redis.call('ZCARD', counted)
  if limit > 0 and there >= limit then return {0, there} end
  redis.call('ZADD', open_key('t', tenant), NOW, id)
  if payer ~= '' then redis.call('ZADD', open_key('k', payer), NOW, id) end
end
return {1, redis.call('ZCARD', counted)}
