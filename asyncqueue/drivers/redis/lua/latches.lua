-- Look at latches.
--
-- ARGV     now, then their ids; none: all of them.
-- Answers  now, then for each that is there its id and itself (see latch_rules).

-- include: common

local answer = { string.format('%.17g', now) }
local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
if #ids == 0 then
  for _, word in ipairs(call('HGETALL', P .. 'latches')) do answer[#answer + 1] = word end
else
  local texts = values(P .. 'latches', ids)
  for n = 1, #ids do
    if texts[n] then
      answer[#answer + 1], answer[#answer + 2] = ids[n], texts[n]
    end
  end
end
return answer
