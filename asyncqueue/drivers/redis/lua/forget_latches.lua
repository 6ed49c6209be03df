-- Forget latches with all that they hold back; their members stay.
--
-- ARGV     now, ids.
-- Answers  how many there were.

-- include: common
-- include: full
-- include: ties

even_when_full()

local known, count = {}, 0
for at = 2, #ARGV do
  if call('HEXISTS', P .. 'latches', ARGV[at]) == 1 then
    known[#known + 1] = ARGV[at]
    local over = call('ZSCORE', P .. 'latch_ends', ARGV[at])
    if not over or tonumber(over) > now then count = count + 1 end
  end
end
forget_latches(known)
return count
