#!lua
-- What a worker says of an answer while it writes it, as long as somebody listens. ARGV: job id, attempt, token, the byte
-- of the attempt's text at which the piece begins, the piece; an empty piece only asks.
-- Answers up to which byte this attempt's text is said, which is where to go on: so a call may be repeated, and what was
-- lost is said again. -1 when nobody listens; -2 when nothing more is to be said: the fence is down, or it is too much.
-- No allow-oom: on a server that is full the text comes with the answer.

local NOBODY, OVER = -1, -2
local MOST_BYTES = 1048576
local MOST_PIECES = 1000 -- each takes 18 bytes besides its text (measured); then all is said again in large pieces
local KEPT_MS = 120000

local id, at, text = ARGV[1], tonumber(ARGV[4]), ARGV[5]
local held = redis.call('HMGET', job_key(id), 'state', 'attempt', 'token')
if held[1] ~= 'running' or held[2] ~= ARGV[2] or held[3] ~= ARGV[3] then return OVER end
if redis.call('EXISTS', P .. 'ears:' .. id) == 0 then return NOBODY end

local key = P .. 'said:' .. id
local function said()
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if not last then return 0 end
  local attempt, begins, piece = last[2][2], last[2][4], last[2][6]
  if attempt == ARGV[2] and redis.call('XLEN', key) < MOST_PIECES then return tonumber(begins) + #piece end
  redis.call('XTRIM', key, 'MAXLEN', 0) -- not DEL: a stream that begins anew might count from before where a reader is
  return 0
end

local known = said()
if known >= MOST_BYTES then return OVER end
if at > known or at + #text <= known then return known end
local before = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local piece = string.sub(text, known - at + 1)
local entry = redis.call('XADD', key, '*', 'attempt', ARGV[2], 'at', known, 'text', piece)
redis.call('PEXPIRE', key, KEPT_MS)
-- The piece goes along: whoever has heard the one before it need not ask for it.
tell(id, table.concat({'said', before and before[1] or '', entry, ARGV[2], known, piece}, ' '))
return at + #text
