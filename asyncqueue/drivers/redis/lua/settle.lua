-- End claims. Each counts only if it is the newest of its job; none may be told twice.
--
-- ARGV     now, then runs of settlements that are alike but for job and outcome: phase to go to (w, d:
--          later, c, x, f), claims, attempts, exceptions, delay and retention, packed; their ids and
--          their numbers, each a MessagePack array of texts; 1 if there are outcomes, else 0; and if
--          so an outcome for each (empty for none).
-- Answers  how many there are if all were still held, else for each 1 if it was, or 0.

-- include: common
-- include: forgetting
-- include: ringing_jobs
-- include: scores
-- include: states

local runs, numbers, at = {}, {}, 2
while at <= #ARGV do
  local ids, of_run = cmsgpack.unpack(ARGV[at + 1]), cmsgpack.unpack(ARGV[at + 2])
  local run = { terms = ARGV[at], ids = ids, numbers = of_run, outcomes = ARGV[at + 3] == '1' and at + 3 }
  for n = 1, #of_run do numbers[#numbers + 1] = of_run[n] end
  at = at + 4 + (run.outcomes and #ids or 0)
  runs[#runs + 1] = run
end
local texts = values(P .. 'state', numbers)

local freed, sets = {}, {} -- lists by queue, and by the key of the set
local written, outcomes, no_outcomes, rung = {}, {}, {}, {}
local gone = { numbers = {}, ids = {} }
local gone_again = { numbers = {}, ids = {} } -- those that were claimed more than once

local function list_in(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

-- What is to be done with all jobs of a run that have this state: all jobs of one claim have the same.
-- False where it is no longer held.
local function way_of(text, phase, claims, attempts, exceptions, retention)
  local s = read_state(text)
  if not s or s.phase ~= 'p' or s.claims % CLAIMS ~= claims then return false end
  local way = { state = s, freed = list_in(freed, s.queue) }
  way.plain = s.key == '' and s.mark == -1 and (phase == 'c' or phase == 'x' or phase == 'f')
  if not way.plain then return way end
  way.gone = phase ~= 'f' and retention <= 0 and (s.claims == 1 and gone or gone_again)
  if not way.gone then
    s.phase, s.attempts, s.exceptions, s.finished = phase, attempts, exceptions, now
    s.mark = phase == 'f' and math.huge or now + retention
    way.text = state_text(s)
    way.score = phase == 'f' and string.format('%.17g', now) or score_of(s.mark)
    way.set = list_in(sets, P .. 'ended:' .. s.queue .. ':' .. phase)
  end
  return way
end

local function end_plain(number, id, way, outcome)
  rung[#rung + 1] = id
  local left = way.gone
  if left then
    local n = #left.numbers + 1
    left.numbers[n], left.ids[n] = number, id
    return
  end
  local n = #written
  written[n + 1], written[n + 2] = number, way.text
  n = #way.set
  way.set[n + 1], way.set[n + 2] = way.score, number
  if outcome then
    n = #outcomes
    outcomes[n + 1], outcomes[n + 2] = number, outcome
  elseif way.state.claims > 1 then
    no_outcomes[#no_outcomes + 1] = number
  end
end

local answers, lost = {}, false
local rarely = {} -- those that wait again, have a key, are called off, or wanted something
local n = 0
for _, run in ipairs(runs) do
  local phase, claims, attempts, exceptions, delay, retention = unpack_text('>c1I4I4I4dd', run.terms)
  local ways = {}
  for job = 1, #run.ids do
    n = n + 1
    local text = texts[n]
    local way = text and ways[text]
    if way == nil then
      way = way_of(text, phase, claims, attempts, exceptions, retention)
      ways[text] = way
    end
    if not way then
      answers[n], lost = 0, true
    else
      answers[n] = 1
      local id, number = run.ids[job], run.numbers[job]
      local at_outcome = run.outcomes and run.outcomes + job
      local outcome = at_outcome and ARGV[at_outcome] ~= '' and ARGV[at_outcome]
      way.freed[#way.freed + 1] = number
      if way.plain then
        end_plain(number, id, way, outcome)
      else
        rarely[#rarely + 1] = { number, id, text, outcome, phase, attempts, exceptions, delay, retention }
      end
    end
  end
end

-- The first write: it is possible where memory is used up, and lets all others be.
for queue, list in pairs(freed) do each('ZREM', P .. 'leased:' .. queue, list) end

if #rarely > 0 then
-- include: ending
-- include: returning
-- include: wants
  local wanted = {}
  for _, one in ipairs(rarely) do
    local number, id, text, outcome, phase, attempts, exceptions, delay, retention = unpack(one)
    local s = read_state(text)
    s.attempts, s.exceptions = attempts, exceptions
    if s.mark ~= -1 then wanted[#wanted + 1] = { number, id } end
    if (phase == 'w' or phase == 'd') and s.mark >= 0 then
      finish(number, id, s, 'x', s.mark)
    elseif phase == 'w' then
      put_back(number, s, due_time(number, s))
    elseif phase == 'd' then
      put_back(number, s, now + math.max(0, delay))
    else
      finish(number, id, s, phase, retention)
    end
    if outcome then
      outcomes[#outcomes + 1] = number
      outcomes[#outcomes + 1] = outcome
    else
      no_outcomes[#no_outcomes + 1] = number
    end
  end
  each('HSET', P .. 'outcome', outcomes)
  each('HDEL', P .. 'outcome', no_outcomes)
  outcomes, no_outcomes = {}, {}
  for _, one in ipairs(wanted) do give_back(one[1], one[2]) end
  finish_all()
  return_all()
end

each('HSET', P .. 'outcome', outcomes)
each('HDEL', P .. 'outcome', no_outcomes)
each('HSET', P .. 'state', written)
for set, list in pairs(sets) do each('ZADD', set, list) end
-- Nothing but an extension has told anything of a job that was claimed once.
forget(gone.numbers, gone.ids, { 'progress', 'message' })
forget(gone_again.numbers, gone_again.ids)
ring_jobs(rung)
return lost and answers or n
