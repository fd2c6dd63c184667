#!lua flags=allow-oom
-- Ends what has passed its deadline, a slice at a time. No arguments.
-- Answers {1 if there may be more, batch id, …}: the batches whose jobs must now be ended by `batch expire`. Until then
-- they stay in the set: whoever asks may die, or never hear the answer.

local due = redis.call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', NOW, 'LIMIT', 0, FEW)
local answer = {#due == FEW and 1 or 0}
for _, id in ipairs(due) do
  local job = load(id)
  local of_batch = not job and redis.call('HGET', batch_key(id), 'state')
  if of_batch == 'running' or of_batch == 'uploading' then
    answer[#answer + 1] = id
  else
    redis.call('ZREM', P .. 'deadlines', id)
    if job and not TERMINAL[job.state] then take_away(job, 'expired') end
  end
end
return answer
