-- Pause or resume queues.
--
-- ARGV     now, 1 to pause or 0 to resume, queues.
-- Answers  those that changed.

-- include: common
-- include: rings

local changed, rung = {}, {}
for at = 3, #ARGV do
  local queue = ARGV[at]
  if call(ARGV[2] == '1' and 'SADD' or 'SREM', P .. 'paused', queue) == 1 then
    changed[#changed + 1] = queue
    rung[queue] = true
  end
end
ring_all('queue:', rung)
return changed
