-- include: bodies
-- include: states
-- include: levels
-- include: rings

-- Jobs that go back to their line.

local returned = { states = {}, rung = {} }

local function due_time(number, s)
  if s.available >= 0 then return s.available end
  local body = read_body(call('HGET', P .. 'body', number) or '')
  return body and body.available or now
end

-- A job that was just taken from where it stood waits again. Its state is written by return_all.
local function put_back(number, s, due)
  s.phase, s.worker, s.available = 'w', '', due
  local states = returned.states
  states[#states + 1] = number
  states[#states + 1] = state_text(s)
  call('ZADD', P .. 'later:' .. s.queue .. ':' .. s.priority, due, number)
  open_level(s.queue, s.priority)
  returned.rung[s.queue] = true
end

local function return_all()
  each('HSET', P .. 'state', returned.states)
  ring_all('queue:', returned.rung)
end
