-- Keep a worker visible, and forget those who were not seen for too long.
--
-- ARGV     now, id, seconds to stay visible, presence.

-- include: common
-- include: full

even_when_full()

local all = call('HGETALL', P .. 'workers')
for n = 1, #all, 2 do
  if #all[n + 1] < 8 or unpack_text('>d', all[n + 1]) <= now then
    call('HDEL', P .. 'workers', all[n])
  end
end
local seen = pack('>dd', now + tonumber(ARGV[3]), now)
return call('HSET', P .. 'workers', ARGV[2], seen .. ARGV[4])
