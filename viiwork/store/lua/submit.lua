#!lua
-- Takes jobs in. ARGV: parent id, attempt, token (empty: no fence), most unfinished jobs a tenant may have (0: any
-- number), then for each job its id, the number of field/value entries that follow, and these. `deadline_in_ms` among
-- them counts from now. A job that is there already is left as it is, so a retry is harmless. Those of one call are of
-- one tenant and lane where they have an `account` (accounts.lua).
-- Answers the number of new jobs, or -1 when the parent's fence is down, -2 when a batch takes no more, -3 when a
-- tenant has too many, -4 when what a document unfolds into is more than its account has left of the month. Then none
-- of the call's jobs is taken. Where a limit of the account stops it, the jobs of a batch that come before are taken, of
-- jobs on their own none: they are one request. Then it answers {how many,
-- which limit (r, t, f, b, m), k or t for whose, its most, milliseconds to wait, the refused job's cost, now, the lane}.

local parent = nil
if ARGV[1] ~= '' then
  parent = load(ARGV[1])
  if not parent or parent.state ~= 'running' or parent.attempt ~= tonumber(ARGV[2]) or parent.token ~= ARGV[3] then
    return -1
  end
end

-- Once a batch is sealed its items are counted: it takes only what they unfold into. Items are among that where a file
-- holds others; they are counted by the very call that takes them, before the file itself has ended.
local function takes(batch, is_item)
  local state = batch_of({batch = batch}).state or 'none'
  local held = parent and parent.batch == batch
  return state == 'uploading' or (state == 'running' and (held or not is_item))
end

local fresh, by_tenant, at = {}, {}, 5
local payer, lane, said = '', '', parent and parent.account
while at <= #ARGV do
  local last = at + 1 + tonumber(ARGV[at + 1])
  if redis.call('EXISTS', job_key(ARGV[at])) == 0 then
    local batch, is_item, tenant, cost, runs = nil, true, '', 0, false
    for field = at + 2, last, 2 do
      local name = ARGV[field]
      if name == 'batch' then batch = ARGV[field + 1] end
      if name == 'item' then is_item = false end
      if name == 'tenant' then tenant = ARGV[field + 1] end
      if not parent and name == 'account' then said = ARGV[field + 1] end
      if name == 'cost' then cost = tonumber(ARGV[field + 1]) end
      if name == 'task' then runs = ARGV[field + 1] == 'viiwork.run' end
      if lane == '' and name == 'queue' then lane = string.match(ARGV[field + 1], '^%l+') end
    end
    if batch and not takes(batch, is_item) then return -2 end
    fresh[#fresh + 1] = {at, last, runs and cost or 0, kind_of(batch), is_item and 1 or 0}
    payer = tenant
    by_tenant[tenant] = (by_tenant[tenant] or 0) + 1
  end
  at = last + 1
end

local most = tonumber(ARGV[4])
for tenant, more in pairs(by_tenant) do
  if most > 0 and tonumber(redis.call('HGET', P .. 'load', tenant) or 0) + more > most then return -3 end
end

-- What a worker submits goes on its parent's account, which may owe by then: it was taken in before its size was known.
-- A document that was read is cut off where the month has no tokens left for it; one whose parts have run already goes
-- on to its end.
local account = account_of(said)
local room = account and room_of(account, payer, lane, NOW, true)
if room and parent then
  local wanted = 0
  for _, span in ipairs(fresh) do wanted = wanted + span[3] end
  if parent.task == 'viiwork.read' and room.m and wanted > 0 and wanted > room.m then return -4 end
  room = nil
end

local generation = nil
if ARGV[1] ~= '' then
  redis.call('HSET', job_key(ARGV[1]), 'parent', 1)
  generation = redis.call('HGET', job_key(ARGV[1]), 'generation') or '0'
end

-- What was said of a file holds for those inside it.
local function label(key)
  local said = redis.call('HMGET', job_key(ARGV[1]), 'custom_id', 'metadata', 'timeout_ms')
  for i, name in ipairs({'custom_id', 'metadata', 'timeout_ms'}) do
    if said[i] then redis.call('HSET', key, name, said[i]) end
  end
end

-- The first document of the batch that this one is the same as, if there is one.
local function twin_of(job)
  if not job.digest or not job.batch or job.item then return nil end
  local seen = batch_key(job.batch) .. ':seen'
  if redis.call('HSETNX', seen, job.digest, job.id) == 1 then return nil end
  return redis.call('HGET', seen, job.digest)
end

-- It waits for that one's row, and then needs no engine.
local function pair(job, key)
  local first = twin_of(job)
  if not first then return end
  local known = redis.call('HMGET', job_key(first), 'item_state', 'document')
  redis.call('HSET', key, 'same_as', first, 'same_document', known[2] or '', 'settle', 'always')
  redis.call('HINCRBY', batch_key(job.batch), 'same', 1)
  if known[1] then return end
  redis.call('RPUSH', P .. 'twins:' .. first, job.id)
  redis.call('HSET', key, 'waits_for', 1)
  job.waits_for = 1
end

-- A copy that is asked by itself after all has a row of its own, which is none of its first. (That stays in `same_as`:
-- its row still lets others go that wait for the same one.)
local function stand_alone(id, batch)
  if batch and redis.call('HDEL', job_key(id), 'same_document') == 1 then
    redis.call('HINCRBY', batch_key(batch), 'same', -1)
  end
end

local taken, taken_by, by_queue, by_batch = 0, {}, {}, {}
local requests, tokens, monthly, month = 0, 0, 0, account and month_of(NOW)

local function put_on_account(id, cost, kind, counts)
  if parent then redis.call('HSET', job_key(id), 'account', said) end
  if cost > 0 then redis.call('HSET', job_key(id), 'reserved', reservation(account, cost, month)) end
  hold('SADD', account, kind, payer, lane, id)
  requests, tokens, monthly = requests + counts, tokens + ahead(account, cost), monthly + cost
end

local function take(id, first, last)
  local key = job_key(id)
  redis.call('HSET', key, 'created_ms', NOW, 'state', 'waiting', 'counted', 1, unpack(ARGV, first, last))
  local job = {id = id, state = 'waiting', waits_for = 0}
  for field = first, last, 2 do job[ARGV[field]] = ARGV[field + 1] end
  if generation and job.item then
    redis.call('HSET', key, 'of_generation', generation)
    if generation ~= '0' then redis.call('HSET', key, 'generation', generation) end
    stand_alone(parent.id, parent.batch)
  elseif parent then -- an item lives a life of its own
    label(key)
    redis.call('HSET', job_key(ARGV[1]), 'holds', 1)
  end
  if job.batch then
    local of_batch = by_batch[job.batch] or {ids = {}, items = 0, named = {}}
    by_batch[job.batch] = of_batch
    of_batch.ids[#of_batch.ids + 1] = id
    if not job.item then of_batch.named[#of_batch.named + 1] = id end
    if not job.item then of_batch.items = of_batch.items + 1 end
  end
  if job.deadline_in_ms then
    local due = NOW + tonumber(job.deadline_in_ms)
    redis.call('HSET', key, 'deadline_ms', due)
    redis.call('ZADD', P .. 'deadlines', due, id)
  end
  for blob in string.gmatch(job.shared_blobs or '', '%S+') do redis.call('HINCRBY', P .. 'shared', blob, 1) end
  if job.bulk then depth(job.queue .. '|bulk', 1) end
  by_queue[job.queue] = (by_queue[job.queue] or 0) + 1
  pair(job, key)
  if tonumber(job.waits_for) == 0 then enqueue(job, false) end
  taken, taken_by[job.tenant] = taken + 1, (taken_by[job.tenant] or 0) + 1
end

local refused, most_of_them = nil, #fresh
for at, span in ipairs(room and fresh or {}) do
  local short = draw(account, room, span[4], span[3])
  if short then
    refused = {short, account[short].of, account[short].most, wait_ms(account, short, room, span[3]), span[3], NOW, lane}
    most_of_them = span[4] == 'b' and at - 1 or 0
    break
  end
end
for at = 1, most_of_them do
  local span = fresh[at]
  local id = ARGV[span[1]]
  -- The same id may stand twice in one call.
  if #fresh == 1 or redis.call('EXISTS', job_key(id)) == 0 then
    take(id, span[1] + 2, span[2])
    if account then put_on_account(id, span[3], span[4], span[5]) end
  end
end
if account then charge_account(account, payer, lane, NOW, requests, tokens, monthly, month) end
for queue, more in pairs(by_queue) do
  depth(queue .. '|waiting', more)
  count('submitted', queue, more)
end
for batch, of_batch in pairs(by_batch) do
  redis.call('RPUSH', batch_key(batch) .. ':jobs', unpack(of_batch.ids))
  if #of_batch.named > 0 then redis.call('RPUSH', batch_key(batch) .. ':items', unpack(of_batch.named)) end
  if of_batch.items > 0 then
    redis.call('HINCRBY', batch_key(batch), 'items', of_batch.items)
    if parent then
      redis.call('HINCRBY', batch_key(batch), 'total', of_batch.items)
      tell(batch, 'row')
    end
  end
end
for tenant, more in pairs(taken_by) do redis.call('HINCRBY', P .. 'load', tenant, more) end
if refused then return {taken, unpack(refused)} end
return taken
