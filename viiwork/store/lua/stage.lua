#!lua flags=allow-oom
-- The stages of a batch that came as a file, beside the life that `batch` gives it. ARGV: verb, batch id, then
-- listed: its tenant. It is in that one's list from now on.
-- held: why no more of its lines become jobs just now, in a sentence; empty: they do again.
-- checked: its model and the number of its lines: they are jobs from now on. Said once only.
-- refused: what is wrong with its lines, as JSON. Said once only; `batch cancel` ends it then.
-- concluded: the closing job's id, attempt and token, how it ended, and for the output and the error file: id (empty: none),
--   blob, bytes, name, SHA-256, and for how many milliseconds it is kept (0: for ever). The files, the record and the callbacks that
--   tell of it come into being together.
-- Answers 1, or 0 where that was said before or can no longer be; `concluded` -1 where the job's fence is down.

local verb, id = ARGV[1], ARGV[2]
local key = batch_key(id)
local known = redis.call('HMGET', key, 'state', 'tenant', 'in_progress_ms', 'refused_ms', 'concluded_ms', 'callback_url',
  'payer')

local function file_of(at, field)
  if ARGV[at] == '' then return end
  local keep_ms = tonumber(ARGV[at + 5])
  make_file(ARGV[at], known[2], ARGV[at + 1], keep_ms > 0 and NOW + keep_ms or 0,
    {'bytes', ARGV[at + 2], 'filename', ARGV[at + 3], 'sha256', ARGV[at + 4], 'purpose', 'batch_output'}, known[7])
  redis.call('HSET', key, field, ARGV[at])
end

local function conclude()
  local closer = load(ARGV[3])
  local holds = closer and closer.state == 'running' and closer.attempt == tonumber(ARGV[4]) and closer.token == ARGV[5]
  if not holds then return -1 end
  if known[5] then return 0 end
  redis.call('HSET', key, 'concluded_ms', NOW, 'outcome', ARGV[6])
  forget_open(id, known[2], known[7])
  -- The file of its lines is of no use to anybody any more.
  local source = redis.call('HGET', job_key(closer.id), 'document_blob')
  if source then
    redis.call('HDEL', job_key(closer.id), 'document_blob')
    redis.call('SADD', P .. 'unlinking', source)
  end
  file_of(7, 'output_file')
  file_of(13, 'error_file')
  local kind, subject = 'batch.' .. ARGV[6], (string.gsub(id, '^an_', 'batch_'))
  tell_url(known[6], kind, subject, known[2], {})
  tell_endpoints(kind, subject, known[2], {})
  tell(id, ARGV[6])
  return 1
end

if not known[1] or redis.call('HEXISTS', key, 'removed') == 1 then return 0 end
if verb == 'listed' then
  redis.call('ZADD', P .. 'filebatches:' .. known[2], 0, id)
  -- However long it takes until its last line is a job: it has a deadline.
  redis.call('ZREM', P .. 'uploading', id)
  return 1
end
if verb == 'concluded' then return conclude() end
if verb == 'held' and known[1] == 'uploading' then
  if ARGV[3] == '' then redis.call('HDEL', key, 'held') else redis.call('HSET', key, 'held', ARGV[3]) end
  return 1
end
if known[1] ~= 'uploading' or known[3] or known[4] then return 0 end
if verb == 'checked' then
  redis.call('HSET', key, 'in_progress_ms', NOW, 'model', ARGV[3], 'lines', ARGV[4])
else
  redis.call('HSET', key, 'refused_ms', NOW, 'errors', ARGV[3])
  forget_open(id, known[2], known[7])
end
return 1
