-- The end of jobs that were just taken from where they stood.

local ending = { numbers = {}, ids = {}, states = {}, rung = {} }

-- End a job as `phase`. Its state is written, or the job forgotten, by finish_all.
local function finish(number, id, s, phase, retention)
  if s.key ~= '' then free_key(s.key, id) end
  if s.phase == 'p' and s.mark >= 0 then call('HDEL', CALLED_OFF, number) end
  ending.rung[#ending.rung + 1] = id
  if phase ~= 'f' and retention <= 0 then
    ending.numbers[#ending.numbers + 1] = number
    ending.ids[#ending.ids + 1] = id
    return
  end
  s.phase, s.key, s.finished = phase, '', now
  s.mark = phase == 'f' and math.huge or now + retention
  local states = ending.states
  states[#states + 1] = number
  states[#states + 1] = state_text(s)
  call('ZADD', ended_key(s.queue, phase), phase == 'f' and now or s.mark, number)
end

local function finish_all()
  each('HSET', STATE, ending.states)
  forget(ending.numbers, ending.ids)
  for n = 1, #ending.rung do ring('job:' .. ending.rung[n]) end
end
