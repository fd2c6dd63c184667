-- What keys and tenants have here for longer: files, their bytes, and batches that have not ended. A part of every
-- script, before lib.lua. Each counts for its tenant, and for the key that it came with, if there was one.

local UNSURE_MS = 60000 -- how long a batch may be counted before its record is made

local function stored_key(kind, whose) return KEYS[1] .. 'stored:' .. kind .. ':' .. whose end
local function open_key(kind, whose) return KEYS[1] .. 'open:' .. kind .. ':' .. whose end

local function add_stored(key, files, bytes)
  if bytes ~= 0 then redis.call('HINCRBY', key, 'bytes', string.format('%.0f', bytes)) end -- `-0` would be no integer
  if redis.call('HINCRBY', key, 'files', files) <= 0 then redis.call('DEL', key) end
end

-- Files of before there was a count are added up once, when the next of their tenant comes.
local function count_earlier(tenant)
  local key = stored_key('t', tenant)
  if redis.call('EXISTS', key) == 1 then return end
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'files:' .. tenant, 0, -1)) do
    add_stored(key, 1, tonumber(redis.call('HGET', KEYS[1] .. 'file:' .. id, 'bytes') or 0))
  end
end

local function count_stored(tenant, payer, files, bytes)
  local of_tenant = stored_key('t', tenant)
  if files > 0 or redis.call('EXISTS', of_tenant) == 1 then add_stored(of_tenant, files, bytes) end
  if payer and payer ~= '' then add_stored(stored_key('k', payer), files, bytes) end
end

-- Whether a file of so many bytes fits beside what is there: nil, or what there is too much of, for whom, and how much
-- there is. `most`: for files and bytes each k or t, and the most (0: any number).
local function too_much(tenant, payer, bytes, most)
  count_earlier(tenant)
  for _, what in ipairs({'files', 'bytes'}) do
    local of, limit = most[what][1], tonumber(most[what][2])
    local there = tonumber(redis.call('HGET', stored_key(of, of == 'k' and payer or tenant), what) or 0)
    if limit > 0 and there + (what == 'files' and 1 or bytes) > limit then
      return {what, of, string.format('%.0f', there)}
    end
  end
  return nil
end

-- Batches are kept by their ids: a count would be wrong for ever once one end was not counted off.
local function forget_open(batch, tenant, payer)
  redis.call('ZREM', open_key('t', tenant or ''), batch)
  if payer and payer ~= '' then redis.call('ZREM', open_key('k', payer), batch) end
end

-- Those that are over, whatever was lost on the way, are counted no more.
local function mend_open(key, now)
  local entries = redis.call('ZRANGE', key, 0, 999, 'WITHSCORES')
  for at = 1, #entries, 2 do
    local known = redis.call('HMGET', KEYS[1] .. 'batch:' .. entries[at], 'state', 'refused_ms')
    local begins = not known[1] and tonumber(entries[at + 1]) > now - UNSURE_MS
    local runs = (known[1] == 'uploading' or known[1] == 'running') and not known[2]
    if not begins and not runs then redis.call('ZREM', key, entries[at]) end
  end
end
