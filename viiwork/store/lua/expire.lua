#!lua flags=allow-oom
-- Ends what has passed its deadline, a slice at a time. No arguments.
-- Answers {1 if there may be more, batch id, …}: the batches whose jobs must now be stopped and swept.

local due = redis.call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', NOW, 'LIMIT', 0, SLICE)
local answer = {#due == SLICE and 1 or 0}
for _, id in ipairs(due) do
  redis.call('ZREM', P .. 'deadlines', id)
  local job = load(id)
  if job and not TERMINAL[job.state] then take_away(job, 'expired') end
  if not job and redis.call('EXISTS', batch_key(id)) == 1 then answer[#answer + 1] = id end
end
return answer
