-- Call latches off that have not opened.
--
-- ARGV     now, ids.
-- Answers  those that were not called off before.

-- include: common
-- include: full
-- include: ties

even_when_full()

local changed = {}
for at = 2, #ARGV do
  local l = latch_of(ARGV[at])
  if l and not l.called_off and l.opened < 0 then
    l.called_off, l.changed = true, true
    changed[#changed + 1] = ARGV[at]
  end
end
write_latches()
return changed
