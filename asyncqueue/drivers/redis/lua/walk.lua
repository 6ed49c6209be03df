-- Look at jobs in the order of their numbers, the newest first.
--
-- ARGV     now, the number to begin before (empty: the newest), how many numbers to look at.
-- Answers  now, the number to begin before next time (empty: that was all), then the rows of what
--          was found (see rows).

-- include: common
-- include: empty_blocks
-- include: numbering
-- include: rows

local before = ARGV[2] == '' and math.huge or tonumber(ARGV[2])
local most = tonumber(ARGV[3])
local numbers = {}
local answer = { string.format('%.17g', now), '' }
while #numbers < most do
  local highest = before == math.huge and '+inf' or math.floor((before - 1) / 1000)
  local block, score = unpack(call('ZREVRANGEBYSCORE', P .. 'blocks', highest, '-inf', 'WITHSCORES', 'LIMIT', 0, 1))
  if not block then
    before = nil
    break
  end
  local lowest = tonumber(score) * 1000
  if not is_block(block, score) then
    call('ZREM', P .. 'blocks', block) -- It would be met again and again.
  elseif forget_empty(block) then
    before = lowest
  else
    local first = math.min(before - 1, lowest + 999)
    local last = math.max(lowest, first - (most - #numbers) + 1)
    for number = first, last, -1 do numbers[#numbers + 1] = number_text(number) end
    before = last
  end
end
if before then answer[2] = number_text(before) end
add_rows(answer, numbers)
return answer
