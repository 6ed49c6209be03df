-- Give permits back.
--
-- ARGV     now, key, then = and the holder, or nothing: then all of the key.
-- Answers  how many there were.

-- include: common
-- include: full
-- include: wants

even_when_full()

local key, holder = ARGV[2], ARGV[3]
local count = permits_taken(key)
if holder == '' then
  call('DEL', P .. 'permits:' .. key)
else
  count = call('ZREM', P .. 'permits:' .. key, string.sub(holder, 2))
end
local limit = limit_of(key)
if limit then refill(limit) end
return count
