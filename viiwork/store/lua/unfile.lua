#!lua flags=allow-oom
-- Removes files' records: the one named, of this tenant; or without a name those whose time is over, a slice at a time.
-- ARGV: file id and tenant, or nothing. Answers the blobs that nothing names any more, which stand in `unlinking` until
-- whoever removes them says so; for a file that is named, false where the tenant has none such.

if ARGV[1] then
  if redis.call('HGET', P .. 'file:' .. ARGV[1], 'tenant') ~= ARGV[2] then return false end
  return {drop_file(ARGV[1])}
end
local blobs = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'files.expiry', '-inf', NOW, 'LIMIT', 0, SLICE)) do
  blobs[#blobs + 1] = drop_file(id)
end
return blobs
