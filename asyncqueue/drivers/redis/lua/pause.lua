-- Pause or resume queues.
--
-- ARGV     now, 1 to pause or 0 to resume, queues.
-- Answers  those that changed.

-- include: common
-- include: rings

local changed, resumed = {}, {}
for at = 3, #ARGV do
  local queue = ARGV[at]
  if call(ARGV[2] == '1' and 'SADD' or 'SREM', P .. 'paused', queue) == 1 then
    changed[#changed + 1] = queue
    if ARGV[2] == '0' then resumed[queue] = true end
  end
end
ring_all('queue:', resumed)
return changed
