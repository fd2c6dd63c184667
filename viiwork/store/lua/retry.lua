#!lua
-- Starts a dead job again with a clean slate; a dead part of a document starts its whole document again, under a new
-- generation of part names. ARGV: job id; `row` where it is a document's, or a job's on its own, whose row says that
-- it failed, expired or died; and what request this is, if it may come twice: then it starts the job once. Answers {state afterwards, id of the job that starts, its queue}, or {why not}: 'gone',
-- 'over' (its batch was cancelled or has expired), or the state of one that need not be started again.

local KEYS_KEPT = 20 -- requests that a record remembers
local AGAIN = {failed = true, expired = true, dead = true}
local job = load(ARGV[1])
if not job then return {'gone'} end
local ended_by = ''
if ARGV[2] == 'row' then
  local ended = redis.call('HMGET', job_key(job.id), 'item_state', 'item_by')
  if not AGAIN[ended[1]] then return {ended[1] or job.state} end
  ended_by = ended[2] or ''
elseif job.state ~= 'dead' then
  return {job.state}
end
local batch = batch_of(job)
if is_over(batch) or (job.batch and not batch.state) then return {'over'} end
-- What came of it is written to a file by now, which says what it says.
if batch.state == 'completed' and redis.call('HEXISTS', batch_key(job.batch), 'closer') == 1 then return {'over'} end
-- Its time is over, and it is being cleared away.
local until_ms = tonumber(job.batch and redis.call('HGET', batch_key(job.batch), 'expires_ms') or 0)
if until_ms > 0 and until_ms <= NOW then return {'gone'} end

local root = job
if job.item and job.item ~= job.id then root = load(job.item) end
local once = ARGV[3] or ''
if root and TERMINAL[root.state] and once ~= '' then
  local came = {}
  for one in string.gmatch(redis.call('HGET', job_key(root.id), 'retried_by') or '', '%S+') do
    if one == once then return {root.state, root.id} end
    came[#came + 1] = one
  end
  came[#came + 1] = once
  redis.call('HSET', job_key(root.id), 'retried_by', table.concat(came, ' ', math.max(1, #came - KEYS_KEPT + 1)))
  if job.batch then redis.call('HINCRBY', batch_key(job.batch), 'retried.' .. once, 1) end
end

redis.call('ZREM', P .. 'dead', job.id, ended_by)
if not root then return {'gone'} end
if not TERMINAL[root.state] then return {root.state, root.id} end

local function unsettle(id)
  local item = redis.call('HMGET', job_key(id), 'item_state', 'row')
  if not item[1] then return end
  if job.batch then
    local key = batch_key(job.batch)
    -- Its row is taken out without moving the others: whoever has read up to some row goes on from there.
    if item[2] then redis.call('LSET', key .. ':rows', item[2], '') end
    redis.call('HINCRBY', key, COUNTER[item[1]] or 'failed', -1)
    redis.call('HSET', key, 'state', batch.state == 'completed' and 'running' or batch.state)
    redis.call('HDEL', key, 'finished_ms', 'expires_ms')
    redis.call('ZREM', P .. 'expiry', job.batch)
    redis.call('SREM', P .. 'cancelling', job.batch) -- or the sweep of what it had left behind would take this too
    BATCHES[job.batch] = nil
    tell(job.batch, 'running')
  else
    redis.call('ZREM', P .. 'expiry', id)
  end
end

unsettle(root.id)
local blob = redis.call('HGET', job_key(root.id), 'result_blob')
if blob and blob ~= '' then redis.call('SADD', P .. 'unlinking', blob) end -- no record names it any more
redis.call('HDEL', job_key(root.id), 'item_state', 'item_by', 'item_ms', 'row', 'expires_ms', 'finished_ms', 'result',
  'result_blob', 'last_result', 'fault_code', 'fault_message', 'strikes', 'suspect', 'marks', 'verdict', 'commits',
  'parent', 'card')
if root.id ~= job.id or job.parent then
  redis.call('HINCRBY', job_key(root.id), 'generation', 1)
  if job.batch then redis.call('HSET', batch_key(job.batch), 'strays', 1) end -- the earlier generation may still be at it
end
redis.call('HSET', job_key(root.id), 'counted', 1)
redis.call('HINCRBY', P .. 'load', root.tenant, 1)
reopen_account(root)
root.state, root.suspect, root.parent = false, false, false

-- It was asked by itself the last time, perhaps; whether it is again is seen anew.
local function pair_again()
  local first = root.batch and redis.call('HGET', job_key(root.id), 'same_as')
  if not first then return end
  local document = redis.call('HGET', job_key(first), 'document') or ''
  if redis.call('HSETNX', job_key(root.id), 'same_document', document) == 1 then
    redis.call('HINCRBY', batch_key(root.batch), 'same', 1)
  end
end

pair_again()
if await_first(root) then return {'waiting', root.id} end
move(root, 'waiting')
enqueue(root, true)
return {'waiting', root.id, root.queue}
