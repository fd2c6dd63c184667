#!lua
-- What an account has left; writes nothing. ARGV: account, tenant, lane. Answers {now, in the bucket of requests, of
-- tokens (both in 60,000ths), jobs on their own that may come, jobs of batches, tokens of the month left, tokens used in
-- the month}: '' for what has no bound.

local account = account_of(ARGV[1])
local room = room_of(account, ARGV[2], ARGV[3], NOW, false)
local said = {string.format('%.0f', NOW)}
for _, what in ipairs({'r', 't', 'f', 'b', 'm'}) do
  said[#said + 1] = room[what] and string.format('%.0f', room[what]) or ''
end
local used = redis.call('HGET', P .. 'month:' .. month_of(NOW), subject_of(account, account.m.of, ARGV[2]))
said[#said + 1] = used or '0'
return said
