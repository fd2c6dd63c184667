#!lua
-- Makes a batch that items can be submitted to; one that is there already is left as it is. A full server makes none.
-- ARGV: batch id, milliseconds to its deadline (0: none), then its field/value entries. Answers the batch's state.

local key = batch_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'state', 'uploading', 'created_ms', NOW, unpack(ARGV, 3))
  redis.call('ZADD', P .. 'uploading', NOW, ARGV[1]) -- nobody may ever seal it
  if tonumber(ARGV[2]) > 0 then
    redis.call('HSET', key, 'deadline_ms', NOW + tonumber(ARGV[2]))
    redis.call('ZADD', P .. 'deadlines', NOW + tonumber(ARGV[2]), ARGV[1])
  end
end
return redis.call('HGET', key, 'state')
