#!lua
-- Makes a batch that items can be submitted to; one that is there already is left as it is. A full server makes none.
-- ARGV: batch id, then its field/value entries. Answers the batch's state.

local key = batch_key(ARGV[1])
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'state', 'uploading', 'created_ms', NOW, unpack(ARGV, 2))
  redis.call('ZADD', P .. 'uploading', NOW, ARGV[1]) -- nobody may ever seal it
end
return redis.call('HGET', key, 'state')
