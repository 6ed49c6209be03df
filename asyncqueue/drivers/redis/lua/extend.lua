-- Renew leases, and keep the progress that the extensions carry.
--
-- ARGV     now, lease, then for each extension: number, claims, progress (empty: none), message (empty:
--          none, else '=' and the text).
-- Answers  for each: 0 lost, 1 held, 2 held and its cancellation was asked for.

-- include: common
-- include: full
-- include: scores
-- include: states

even_when_full()

local until_then = score_of(now + tonumber(ARGV[2]))
local numbers = {}
for at = 3, #ARGV, 4 do numbers[#numbers + 1] = ARGV[at] end
local states = values(P .. 'state', numbers)

local answers, leased, progress, messages = {}, {}, {}, {}
for n = 1, #numbers do
  local at = 3 + (n - 1) * 4
  local s = states[n] and read_state(states[n])
  if s and s.phase == 'p' and s.claims % CLAIMS == tonumber(ARGV[at + 1]) then
    answers[n] = s.mark >= 0 and 2 or 1
    local queue = leased[s.queue]
    if not queue then
      queue = {}
      leased[s.queue] = queue
    end
    queue[#queue + 1] = until_then
    queue[#queue + 1] = numbers[n]
    if ARGV[at + 2] ~= '' then
      progress[#progress + 1] = numbers[n]
      progress[#progress + 1] = ARGV[at + 2]
    end
    if ARGV[at + 3] ~= '' then
      messages[#messages + 1] = numbers[n]
      messages[#messages + 1] = string.sub(ARGV[at + 3], 2)
    end
  else
    answers[n] = 0
  end
end
for queue, renewed in pairs(leased) do each('ZADD', P .. 'leased:' .. queue, renewed) end
each('HSET', P .. 'progress', progress)
each('HSET', P .. 'message', messages)
return answers
