#!lua flags=allow-oom
-- Puts a hint that a worker has just popped back for the next in line: when the worker has no room, when its last slot
-- belongs to another lane in which something waits, or when it holds more than its share by slots (Redis serves who
-- waits longest, whatever it holds already). ARGV: queue, the hint, how many jobs the worker holds besides, how many
-- more it may hold, its slots, the queue that its last slot belongs to or an empty string, then every queue that the
-- slots serve.
-- Answers 'passed', 'kept', or 'alone' when nobody else serves this queue.

local queue, hint, held, room, slots = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function depth(of_queue, state) return tonumber(redis.call('HGET', P .. 'depth', of_queue .. '|' .. state) or 0) end

local function pass()
  redis.call('RPUSH', P .. queue, hint) -- the end that is popped next
  return 'passed'
end

if room < 1 then return pass() end
if ARGV[6] ~= '' and depth(ARGV[6], 'queued') > 0 then return pass() end
local crew = redis.call('HVALS', P .. 'slots:' .. queue)
if #crew < 2 then return 'alone' end
if redis.call('LLEN', P .. queue) > 0 then return 'kept' end -- hints lie ready: nobody stands in line

local all, out = 0, -1 -- this hint is out, and held by nobody
for _, of_worker in ipairs(crew) do all = all + tonumber(of_worker) end
for q = 7, #ARGV do out = out + depth(ARGV[q], 'queued') + depth(ARGV[q], 'running') end
return held * all > out * slots and pass() or 'kept'
