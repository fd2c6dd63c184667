#!lua flags=allow-oom
-- Cancels jobs in any state; the worker of one that runs is told at once. ARGV: job ids (a slice).
-- Answers the state of each afterwards, 'gone' where there is none.

local states = {}
for i = 1, #ARGV do
  local job = load(ARGV[i])
  if job and not TERMINAL[job.state] then take_away(job, 'cancelled') end
  states[i] = job and job.state or 'gone'
end
return states
