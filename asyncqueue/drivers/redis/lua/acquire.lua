-- Take a permit.
--
-- ARGV     now, key, holder, how many there are, seconds for which it is taken.
-- Answers  0, or the seconds until one expires as text.

-- include: common
-- include: wants

local permits = P .. 'permits:' .. ARGV[2]
local wait = wait_for(ARGV[2], tonumber(ARGV[4]))
if wait > 0 and not call('ZSCORE', permits, ARGV[3]) then return string.format('%.17g', wait) end
call('ZADD', permits, now + tonumber(ARGV[5]), ARGV[3])
return 0
