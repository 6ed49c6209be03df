-- Renew leases, and keep the progress that the extensions carry.
--
-- ARGV     now, lease, then for each extension: id, number, claims, progress (empty: none), message (empty:
--          none, else '=' and the text).
-- Answers  for each: 0 lost, 1 held, 2 held and its cancellation was asked for.

-- include: common
-- include: full
-- include: states

even_when_full()

local until_then = now + tonumber(ARGV[2])
local ids = {}
for at = 3, #ARGV, 5 do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
for n = 1, #numbers do numbers[n] = numbers[n] or '' end
local states = values(P .. 'state', numbers)

local answers, leased, progress, messages = {}, {}, {}, {}
for n = 1, #ids do
  local at = 3 + (n - 1) * 5
  local s = states[n] and read_state(states[n])
  if s and s.phase == 'p' and numbers[n] == ARGV[at + 1] and s.token == tonumber(ARGV[at + 2]) then
    answers[n] = s.mark >= 0 and 2 or 1
    local queue = leased[s.queue]
    if not queue then
      queue = {}
      leased[s.queue] = queue
    end
    queue[#queue + 1] = until_then
    queue[#queue + 1] = numbers[n]
    if ARGV[at + 3] ~= '' then
      progress[#progress + 1] = numbers[n]
      progress[#progress + 1] = ARGV[at + 3]
    end
    if ARGV[at + 4] ~= '' then
      messages[#messages + 1] = numbers[n]
      messages[#messages + 1] = string.sub(ARGV[at + 4], 2)
    end
  else
    answers[n] = 0
  end
end
for queue, renewed in pairs(leased) do each('ZADD', P .. 'leased:' .. queue, renewed) end
each('HSET', P .. 'progress', progress)
each('HSET', P .. 'message', messages)
return answers
