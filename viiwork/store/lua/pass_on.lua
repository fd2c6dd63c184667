#!lua flags=allow-oom
-- Gives a hint that a worker has just popped to the next in line, when that worker holds more than its share by slots.
-- Redis serves who waits longest, whatever it holds already. ARGV: queue, the hint, how many jobs the worker holds
-- besides, its slots, then every queue that those slots serve.
-- Answers 'passed', 'kept', or 'alone' when nobody else serves this queue.

local queue, hint, held, slots = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local crew = redis.call('HVALS', P .. 'slots:' .. queue)
if #crew < 2 then return 'alone' end
if redis.call('LLEN', P .. queue) > 0 then return 'kept' end -- hints lie ready: nobody stands in line

local all, out = 0, -1 -- this hint is out, and held by nobody
for _, of_worker in ipairs(crew) do all = all + tonumber(of_worker) end
for q = 5, #ARGV do
  local depth = redis.call('HMGET', P .. 'depth', ARGV[q] .. '|queued', ARGV[q] .. '|running')
  out = out + tonumber(depth[1] or 0) + tonumber(depth[2] or 0)
end
if held * all <= out * slots then return 'kept' end
redis.call('RPUSH', P .. queue, hint) -- the end that is popped next
return 'passed'
