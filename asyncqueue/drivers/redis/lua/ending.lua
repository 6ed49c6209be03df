-- include: holders
-- include: scores
-- include: states
-- include: forgetting
-- include: ringing_jobs

-- The end of jobs that were just taken from where they stood.

local ending = { numbers = {}, ids = {}, states = {}, sets = {}, rung = {} }

-- End a job as `phase`. Where it is to stand is written, or it is forgotten, by finish_all.
local function finish(number, id, s, phase, retention)
  if s.key ~= '' then free_key(s.key, id) end
  if s.phase == 'p' and s.mark >= 0 then call('HDEL', P .. 'called_off', number) end
  ending.rung[#ending.rung + 1] = id
  if phase ~= 'f' and retention <= 0 then
    ending.numbers[#ending.numbers + 1] = number
    ending.ids[#ending.ids + 1] = id
    return
  end
  s.phase, s.key, s.finished = phase, '', now
  s.mark = phase == 'f' and math.huge or now + retention
  local states = ending.states
  local at = #states
  states[at + 1], states[at + 2] = number, state_text(s)
  local key = P .. 'ended:' .. s.queue .. ':' .. phase
  local set = ending.sets[key]
  if not set then
    set = {}
    ending.sets[key] = set
    call('SADD', P .. 'queues', s.queue) -- One that was held back may be the first here.
  end
  at = #set
  set[at + 1], set[at + 2] = phase == 'f' and now or score_of(s.mark), number
end

local function finish_all()
  for key, set in pairs(ending.sets) do each('ZADD', key, set) end
  each('HSET', P .. 'state', ending.states)
  forget(ending.numbers, ending.ids)
  ring_jobs(ending.rung)
end
