-- Look at certain jobs.
--
-- ARGV     now, 'ids' or 'numbers', which.
-- Answers  now, an empty text, then rows (see rows).

-- include: common
-- include: rows

local numbers = {}
for at = 3, #ARGV do numbers[#numbers + 1] = ARGV[at] end
if ARGV[2] == 'ids' then
  local known = values(P .. 'ids', numbers)
  numbers = {}
  for n = 1, #known do
    if known[n] then numbers[#numbers + 1] = known[n] end
  end
end
local answer = { string.format('%.17g', now), '' }
add_rows(answer, numbers)
return answer
