-- Look at the permits of a key that are taken.
--
-- ARGV     now, key.
-- Answers  now, then holders and when their permits expire, the first to expire first.

-- include: common

local answer = { string.format('%.17g', now) }
local told = call('ZRANGEBYSCORE', P .. 'permits:' .. ARGV[2], string.format('(%.17g', now), '+inf', 'WITHSCORES')
for n = 1, #told do answer[n + 1] = told[n] end
return answer
