#!lua
-- Makes a batch that items can be submitted to; one that is there already is left as it is, and one that was cleared
-- away is not made again. A full server makes none.
-- ARGV: batch id, milliseconds to its deadline (0: none), then its field/value entries. Answers the batch's state, or `gone`.

local key = batch_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then
  if redis.call('EXISTS', P .. 'gone:' .. ARGV[1]) == 1 then return 'gone' end
  redis.call('HSET', key, 'state', 'uploading', 'created_ms', NOW, unpack(ARGV, 3))
  -- Numbered in the order of their making: a list of them goes on at a number, whatever comes or goes meanwhile.
  -- Each tenant has a list of its own: to look for a few among those of all others would hold the server up. Batches of
  -- before there were such lists are in the common one alone; `batches.t` is the first number that is in both.
  local number = redis.call('INCR', P .. 'batches.n')
  redis.call('ZADD', P .. 'batches', number, ARGV[1])
  redis.call('ZADD', P .. 'batches.t:' .. (redis.call('HGET', key, 'tenant') or ''), number, ARGV[1])
  redis.call('SET', P .. 'batches.t', number, 'NX')
  redis.call('ZADD', P .. 'uploading', NOW, ARGV[1]) -- nobody may ever seal it
  if tonumber(ARGV[2]) > 0 then
    redis.call('HSET', key, 'deadline_ms', NOW + tonumber(ARGV[2]))
    redis.call('ZADD', P .. 'deadlines', NOW + tonumber(ARGV[2]), ARGV[1])
  end
end
return redis.call('HGET', key, 'state')
