#!lua flags=allow-oom
-- More hints for a worker that has just popped one. ARGV: queue, how many it has room for, how many of this queue it
-- holds, its slots. It gets no more than its share by slots of all that waits or runs, so that several idle workers
-- fill up evenly, whoever asks first; a worker that is alone may fill all its room. What waits for a place in the ready
-- queue counts too: of 36 parts 32 had one, the first worker took 8, the others 9, and the last went to whoever woke.
-- Answers {how many its share left although it has room, the hints, oldest first}.

local queue, room, held, slots = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('LLEN', P .. queue) == 0 then return {0, {}} end

local all = 0
for _, of_worker in ipairs(redis.call('HVALS', P .. 'slots:' .. queue)) do all = all + tonumber(of_worker) end
all = math.max(all, slots) -- it may pop before its first beat
local out = redis.call('HMGET', P .. 'depth', queue .. '|queued', queue .. '|running', queue .. '|waiting')
local to_do = tonumber(out[1] or 0) + tonumber(out[2] or 0)
if redis.call('ZCARD', P .. 'backlog:' .. queue) > 0 then to_do = to_do + tonumber(out[3] or 0) end -- else all are paused
local share = math.ceil(to_do * slots / all) - held
local count = math.max(0, math.min(room, share))
local hints = count > 0 and redis.call('RPOP', P .. queue, count) or {}
-- more hints than queued jobs: some are of jobs that are gone, which nobody is to wait for
local left = redis.call('LLEN', P .. queue)
return {share < room and left <= tonumber(out[1] or 0) and left or 0, hints}
