-- What keys and tenants may use and have used: a part of every script, before lib.lua.
-- A job's account is one line, `<key or -> r<of><most> t<of><most> f… b… m…`: requests and tokens a minute, jobs on
-- their own and those of batches that have not ended, tokens a month. `of` is k where that counts for the key, t where
-- it counts for the tenant; `most` is 0 where there is no bound. The record keeps the line, so that the job's end can
-- settle what its beginning took, whatever is said of the key meanwhile.

local MINUTE = 60000 -- a bucket's level is in 60,000ths: a millisecond adds a whole number of them, and nothing is rounded
local MONTH_KEPT_S = 400 * 86400
local ACCOUNT = '^(%S+) r(%a)(%d+) t(%a)(%d+) f(%a)(%d+) b(%a)(%d+) m(%a)(%d+)$'
local ACCOUNTS = {} -- by their lines, taken apart once a call

local function account_of(said)
  if not said or said == '' then return nil end
  if not ACCOUNTS[said] then
    local key, r, r_most, t, t_most, f, f_most, b, b_most, m, m_most = string.match(said, ACCOUNT)
    ACCOUNTS[said] = {key = key, r = {of = r, most = tonumber(r_most)}, t = {of = t, most = tonumber(t_most)},
      f = {of = f, most = tonumber(f_most)}, b = {of = b, most = tonumber(b_most)},
      m = {of = m, most = tonumber(m_most)}}
  end
  return ACCOUNTS[said]
end

local function subject_of(account, of, tenant) return of == 'k' and 'k:' .. account.key or 't:' .. tenant end
local function rate_key(account, what, tenant, lane)
  return KEYS[1] .. 'rate:' .. subject_of(account, account[what].of, tenant) .. '|' .. lane .. '|' .. what
end

-- What is in a bucket that takes `most` a minute, in 60,000ths; below zero where more was used than there was. One that
-- is full is not kept. A clock that was put back neither fills a bucket nor keeps it empty.
local function level_of(key, most, now)
  local bucket = redis.call('HMGET', key, 'level', 'at')
  if not bucket[1] then return most * MINUTE end
  return math.min(most * MINUTE, tonumber(bucket[1]) + math.max(0, now - tonumber(bucket[2])) * most)
end

local function fill_to(key, most, level, now)
  if level >= most * MINUTE then
    redis.call('DEL', key)
    return
  end
  redis.call('HSET', key, 'level', string.format('%.0f', level), 'at', string.format('%.0f', now), 'most', most)
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((most * MINUTE - level) / most)))
end

-- The calendar month of a moment in UTC: `2026-11` (H. Hinnant, days_from_civil the other way round).
local function month_of(now) -- seldom
  local day = math.floor(now / 86400000) + 719468
  local era = math.floor(day / 146097)
  local of_era = day - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  month = month < 10 and month + 3 or month - 9
  return string.format('%04d-%02d', year + era * 400 + (month <= 2 and 1 or 0), month)
end

-- Tokens of a month. A key's count for it in any case, to be told; the tenant's only where its limit is the key's too.
local function spend(account, tenant, month, tokens)
  if tokens == 0 then return end
  local key = KEYS[1] .. 'month:' .. month
  local function count(subject)
    if redis.call('HINCRBY', key, subject, string.format('%.0f', tokens)) == tokens then
      redis.call('EXPIRE', key, MONTH_KEPT_S)
    end
  end
  if account.key ~= '-' then count('k:' .. account.key) end
  if account.m.of == 't' then count('t:' .. tenant) end
end

-- Jobs that have not ended, by their ids and only where they are bounded: `f` on their own, `b` in batches. A count would
-- be wrong for ever once one end was not counted off, such as by a worker of an earlier version.
local function held_key(account, what, tenant, lane)
  return KEYS[1] .. 'held:' .. subject_of(account, account[what].of, tenant) .. '|' .. lane .. '|' .. what
end

local function hold(verb, account, what, tenant, lane, id)
  if account[what].most > 0 then redis.call(verb, held_key(account, what, tenant, lane), id) end
end

local OVER = {succeeded = true, failed = true, cancelled = true, expired = true, dead = true}
local LOOKED_AT = 50
local function count_held(account, what, tenant, lane, mends)
  local key = held_key(account, what, tenant, lane)
  local count = redis.call('SCARD', key)
  if not mends or count < account[what].most then return count end
  for _, id in ipairs(redis.call('SRANDMEMBER', key, LOOKED_AT)) do
    local state = redis.call('HGET', KEYS[1] .. 'job:' .. id, 'state')
    if not state or OVER[state] then count = count - redis.call('SREM', key, id) end
  end
  return count
end

-- How much there is now, of what is bounded: {r, t, f, b, m}. Buckets in 60,000ths, counts as they are. `mends` lets it
-- remove what should not be counted any more.
local function room_of(account, tenant, lane, now, mends)
  local room = {}
  for _, what in ipairs({'r', 't'}) do
    local most = account[what].most
    if most > 0 then room[what] = level_of(rate_key(account, what, tenant, lane), most, now) end
  end
  for _, what in ipairs({'f', 'b'}) do
    local most = account[what].most
    if most > 0 then room[what] = most - count_held(account, what, tenant, lane, mends) end
  end
  if account.m.most > 0 then
    local used = redis.call('HGET', KEYS[1] .. 'month:' .. month_of(now), subject_of(account, account.m.of, tenant))
    room.m = account.m.most - tonumber(used or 0)
  end
  return room
end

-- What a job of this cost takes out of the bucket of tokens before it has run: at most all there can be, or what asks for
-- an answer of any length would never be taken in. Its end settles it.
local function ahead(account, cost)
  return account.t.most > 0 and math.min(cost, account.t.most) or 0
end

-- Takes one job out of what there is. Answers the limit that has no room for it, and then takes nothing.
local function draw(account, room, what, cost)
  local tokens = ahead(account, cost) * MINUTE
  if room.m and room.m < cost then return 'm' end
  if room[what] and room[what] < 1 then return what end
  if room.r and room.r < MINUTE then return 'r' end
  if room.t and room.t < tokens then return 't' end
  if room.m then room.m = room.m - cost end
  if room[what] then room[what] = room[what] - 1 end
  if room.r then room.r = room.r - MINUTE end
  if room.t then room.t = room.t - tokens end
  return nil
end

-- When a bucket will have enough; 0 where time alone does not tell.
local function wait_ms(account, what, room, cost)
  if what ~= 'r' and what ~= 't' then return 0 end
  local needed = what == 'r' and 1 or ahead(account, cost)
  return math.ceil((needed * MINUTE - room[what]) / account[what].most)
end

-- Writes down what jobs have taken: `requests`, and `tokens` of the minute and `monthly` of the month. Below zero they are
-- given back.
local function charge_account(account, tenant, lane, now, requests, tokens, monthly, month)
  if account.r.most > 0 and requests > 0 then
    local key = rate_key(account, 'r', tenant, lane)
    fill_to(key, account.r.most, level_of(key, account.r.most, now) - requests * MINUTE, now)
  end
  if account.t.most > 0 and tokens ~= 0 then
    local key = rate_key(account, 't', tenant, lane)
    -- Only who sends requests knows the limit of today: a job that ends may be older.
    local most = requests == 0 and tonumber(redis.call('HGET', key, 'most')) or account.t.most
    fill_to(key, most, level_of(key, most, now) - tokens * MINUTE, now)
  end
  spend(account, tenant, month, monthly)
end

-- What a record keeps of that.
local function reservation(account, cost, month)
  return string.format('%.0f %.0f %s', ahead(account, cost), cost, month)
end

local function kind_of(batch) return batch and 'b' or 'f' end

-- A job has ended, and what it took in the end is known: what was reserved beyond that goes back, and what it took
-- beyond that is charged. It counts in the month in which it was reserved.
local function close_account(job, now) -- seldom
  local account = account_of(job.account)
  if not account then return end
  local lane = string.match(job.queue, '^%l+')
  local tokens, monthly, month = string.match(job.reserved or '', '^(%d+) (%d+) (%S+)$')
  local used = job.used or 0
  charge_account(account, job.tenant, lane, now, 0, used - tonumber(tokens or 0), used - tonumber(monthly or 0),
    month or month_of(now))
  hold('SREM', account, kind_of(job.batch), job.tenant, lane, job.id)
end

-- It is started again: nothing is reserved, and its end charges what it takes.
local function reopen_account(job) -- seldom
  local account = account_of(job.account)
  if not account then return end
  hold('SADD', account, kind_of(job.batch), job.tenant, string.match(job.queue, '^%l+'), job.id)
end
