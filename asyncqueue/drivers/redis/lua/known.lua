-- Say which ids are taken: by jobs that live, and by ended ones whose retention is not over.
--
-- ARGV     now, ids.
-- Answers  for each 1 if it is taken, else 0.

-- include: common
-- include: states

local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
local answers = {}
for n = 1, #ids do
  local text = numbers[n] and call('HGET', P .. 'state', numbers[n])
  local s = text and read_state(text)
  local expired = s and (s.phase == 'c' or s.phase == 'x') and s.mark <= now
  answers[n] = numbers[n] and not expired and 1 or 0
end
return answers
