#!lua flags=allow-oom
-- Takes the jobs of dead incarnations back. ARGV: time to live in milliseconds, how they ended (`crashed`: the suspect
-- rule; `given_back`: somebody stopped them, nobody's fault), the moment by which that is judged (0: now; whoever was
-- frozen since it looked must call nobody dead for what the others missed meanwhile), then incarnations that are known
-- to be dead (their process was seen to exit); without any, those whose last beat is older than the ttl at that moment.
-- Answers {jobs sent back, jobs dead}.

local function bury(inc)
  local key = P .. 'inc:' .. inc
  redis.call('ZREM', P .. 'incs', inc)
  for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do redis.call('HDEL', P .. 'slots:' .. queue, inc) end
  redis.call('DEL', key, key .. ':running', key .. ':suspect', key .. ':alone')
end

local dead = {}
for i = 4, #ARGV do dead[#dead + 1] = ARGV[i] end
if #dead == 0 then none_in_the_future(P .. 'incs') end
if #dead == 0 then
  local at = tonumber(ARGV[3]) > 0 and math.min(NOW, tonumber(ARGV[3])) or NOW
  dead = redis.call('ZRANGEBYSCORE', P .. 'incs', '-inf', at - tonumber(ARGV[1]), 'LIMIT', 0, 10)
end

local back, given_up, touched = 0, 0, 0
for _, inc in ipairs(dead) do
  -- Last claimed, first back: each goes to the front, so they stand in their old order.
  local running = redis.call('ZREVRANGE', P .. 'inc:' .. inc .. ':running', 0, SLICE - touched - 1)
  for _, id in ipairs(running) do
    local job = load(id)
    touched = touched + 1
    if job and job.state == 'running' and job.inc == inc then
      unmetered(job) -- whoever measured it is dead
      if send_back(job, ARGV[2]) == 'dead' then given_up = given_up + 1 else back = back + 1 end
      count('reaped', job.queue)
    else
      redis.call('ZREM', P .. 'inc:' .. inc .. ':running', id)
    end
  end
  if redis.call('ZCARD', P .. 'inc:' .. inc .. ':running') == 0 then bury(inc) end
  if touched >= SLICE then break end
end
return {back, given_up}
