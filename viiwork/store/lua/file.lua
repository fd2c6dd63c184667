#!lua
-- Makes the record of a file whose blob is on disk; one that is there already is left as it is.
-- ARGV: file id, tenant, blob id, milliseconds that it is kept for (0: for ever), bytes, the key that it came with
-- (empty: none), k or t for whose and the most (0: any number) of files, the same of bytes, then field, value, … of it.
-- Answers 1, or where there would be too much: {files or bytes, k or t for whose, how much there is}.

if redis.call('EXISTS', P .. 'file:' .. ARGV[1]) == 0 then
  local keep_ms = tonumber(ARGV[4])
  local most = {files = {ARGV[7], ARGV[8]}, bytes = {ARGV[9], ARGV[10]}}
  local short = too_much(ARGV[2], ARGV[6], tonumber(ARGV[5]), most)
  if short then return short end
  local about = {'bytes', ARGV[5], unpack(ARGV, 11)}
  make_file(ARGV[1], ARGV[2], ARGV[3], keep_ms > 0 and NOW + keep_ms or 0, about, ARGV[6])
end
return 1
