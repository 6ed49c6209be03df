-- End claims. Each counts only if it is the newest of its job, and once.
--
-- ARGV     now, then for each settlement: id; number; phase to go to (w, d: later, c, x, f), claims,
--          attempts, exceptions, delay and retention, packed; outcome (empty for none).
-- Answers  for each 1 if it was still held, else 0.

-- include: common
-- include: full
-- include: ending
-- include: returning

even_when_full()

local ids, numbers = {}, {}
for at = 2, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
  numbers[#numbers + 1] = ARGV[at + 1]
end
local states = values(P .. 'state', numbers)

local answers, ended_here = {}, {}
local freed, outcomes, no_outcomes = {}, {}, {}

local function settle(n, number, id, s, phase, delay, retention)
  local called_off = s.mark >= 0
  if (phase == 'w' or phase == 'd') and called_off then
    finish(number, id, s, 'x', s.mark)
  elseif phase == 'w' then
    put_back(number, s, due_time(number, s))
  elseif phase == 'd' then
    put_back(number, s, now + math.max(0, delay))
  else
    finish(number, id, s, phase, retention)
  end
  local outcome = ARGV[5 + (n - 1) * 4]
  if outcome == '' then
    no_outcomes[#no_outcomes + 1] = number
  else
    outcomes[#outcomes + 1] = number
    outcomes[#outcomes + 1] = outcome
  end
end

-- What is made when the first job ends that wanted something.
local wanting
local function give_permits_back(number, id)
  if not wanting then
-- include: wants
    wanting = give_back
  end
  wanting(number, id)
end

local held, wanted = {}, {}
for n = 1, #ids do
  local number, s = numbers[n], states[n] and read_state(states[n])
  local phase, claims, attempts, exceptions, delay, retention =
    unpack_text('>c1I4I4I4dd', ARGV[4 + (n - 1) * 4])
  answers[n] = 0
  if s and s.phase == 'p' and s.claims % CLAIMS == claims and not ended_here[number] then
    answers[n] = 1
    ended_here[number] = true
    s.attempts, s.exceptions = attempts, exceptions
    local leased = freed[s.queue]
    if not leased then
      leased = {}
      freed[s.queue] = leased
    end
    leased[#leased + 1] = number
    if s.mark ~= -1 then wanted[#wanted + 1] = n end -- Or its cancellation was asked for.
    held[#held + 1] = { n, number, ids[n], s, phase, delay, retention }
  end
end

for queue, leased in pairs(freed) do each('ZREM', P .. 'leased:' .. queue, leased) end
for _, one in ipairs(held) do settle(unpack(one)) end
each('HSET', P .. 'outcome', outcomes)
each('HDEL', P .. 'outcome', no_outcomes)
for _, n in ipairs(wanted) do give_permits_back(numbers[n], ids[n]) end
finish_all()
return_all()
return answers
