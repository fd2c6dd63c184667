#!lua
-- Takes jobs in. ARGV: parent id, attempt, token (empty: no fence), then for each job its id, the number of
-- field/value entries that follow, and these. A job that is there already is left as it is, so a retry is harmless.
-- Answers the number of new jobs, or -1 when the parent's fence is down, -2 when a batch takes no more. Then none of
-- the call's jobs is taken.

if ARGV[1] ~= '' then
  local parent = load(ARGV[1])
  if not parent or parent.state ~= 'running' or parent.attempt ~= tonumber(ARGV[2]) or parent.token ~= ARGV[3] then
    return -1
  end
end

-- Once a batch is sealed its items are counted: it takes only what they unfold into.
local states = {}
local function takes(batch, is_item)
  states[batch] = states[batch] or redis.call('HGET', batch_key(batch), 'state') or 'none'
  return states[batch] == 'uploading' or (states[batch] == 'running' and not is_item)
end

local fresh, at = {}, 4
while at <= #ARGV do
  local last = at + 1 + tonumber(ARGV[at + 1])
  if redis.call('EXISTS', job_key(ARGV[at])) == 0 then
    local batch, is_item = nil, true
    for field = at + 2, last, 2 do
      if ARGV[field] == 'batch' then batch = ARGV[field + 1] end
      if ARGV[field] == 'item' then is_item = false end
    end
    if batch and not takes(batch, is_item) then return -2 end
    fresh[#fresh + 1] = {at, last}
  end
  at = last + 1
end

if ARGV[1] ~= '' then redis.call('HSET', job_key(ARGV[1]), 'parent', 1) end
local taken = 0
for _, span in ipairs(fresh) do
  local id = ARGV[span[1]]
  local key = job_key(id)
  if redis.call('EXISTS', key) == 0 then -- the same id may stand twice in one call
    redis.call('HSET', key, 'created_ms', NOW, 'state', 'new', unpack(ARGV, span[1] + 2, span[2]))
    local job = load(id)
    if job.batch and job.batch ~= '' then
      redis.call('RPUSH', batch_key(job.batch) .. ':jobs', id)
      if not job.item or job.item == '' then redis.call('HINCRBY', batch_key(job.batch), 'items', 1) end
    end
    job.state = false
    move(job, 'waiting')
    if job.waits_for == 0 then enqueue(job, false) end
    taken = taken + 1
  end
end
return taken
