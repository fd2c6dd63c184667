#!lua flags=allow-oom
-- Finds released jobs whose hint has vanished (popped by a worker that died before its claim) and publishes a new
-- one. The ready queue is shallow, so the two sets are compared exactly. ARGV: envelope, grace in milliseconds, queues.
-- Answers the number published again.

local total = 0
for q = 3, #ARGV do
  local queue = ARGV[q]
  local old = redis.call('ZRANGEBYSCORE', P .. 'released:' .. queue, '-inf', NOW - tonumber(ARGV[2]), 'LIMIT', 0, SLICE)
  if #old > 0 then
    local present = {}
    for _, message in ipairs(redis.call('LRANGE', P .. queue, 0, -1)) do
      local id = string.match(message, '"id": *"([%w_-]+)%.')
      if id then present[id] = true end
    end
    for _, id in ipairs(old) do
      local job = not present[id] and load(id)
      if job and job.state == 'queued' then
        publish(job, ARGV[1])
        total = total + 1
      elseif not present[id] then
        redis.call('ZREM', P .. 'released:' .. queue, id)
      end
    end
  end
end
return total
