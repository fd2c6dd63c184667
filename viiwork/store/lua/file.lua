#!lua
-- Makes the record of a file whose blob is on disk; one that is there already is left as it is.
-- ARGV: file id, tenant, blob id, milliseconds that it is kept for (0: for ever), then field, value, … of it.

if redis.call('EXISTS', P .. 'file:' .. ARGV[1]) == 0 then
  local keep_ms = tonumber(ARGV[4])
  make_file(ARGV[1], ARGV[2], ARGV[3], keep_ms > 0 and NOW + keep_ms or 0, {unpack(ARGV, 5)})
end
return 1
