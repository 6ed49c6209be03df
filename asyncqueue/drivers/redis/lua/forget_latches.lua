-- Forget latches with all that they hold back; their members stay.
--
-- ARGV     now, ids.
-- Answers  how many there were.

-- include: common
-- include: full
-- include: ties

even_when_full()

local known = {}
for at = 2, #ARGV do
  if call('HEXISTS', P .. 'latches', ARGV[at]) == 1 then known[#known + 1] = ARGV[at] end
end
forget_latches(known)
return #known
