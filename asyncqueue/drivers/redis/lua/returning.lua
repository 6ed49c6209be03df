-- include: bodies
-- include: states
-- include: levels
-- include: rings
-- include: wants

-- Jobs that go back to their line.

local returned = { numbers = {}, places = {}, states = {}, rung = {} }

local function due_time(number, s)
  if s.available >= 0 then return s.available end
  local body = read_body(call('HGET', P .. 'body', number) or '')
  return body and body.available or now
end

-- A job that was just taken from where it stood waits again. Its state is written by return_all.
local function put_back(number, s, due)
  s.phase, s.worker, s.available = 'w', '', due
  local states, at = returned.states, #returned.numbers + 1
  states[#states + 1] = number
  states[#states + 1] = state_text(s)
  returned.numbers[at], returned.places[at] = number, s.queue .. ':' .. s.priority
  call('ZADD', P .. 'later:' .. returned.places[at], due, number)
  open_level(s.queue, s.priority)
  returned.rung[s.queue] = true
end

local function return_all()
  each('HSET', P .. 'state', returned.states)
  if #returned.numbers > 0 and call('EXISTS', P .. 'wants') == 1 then
    for n, number in ipairs(returned.numbers) do
      local w = read_wants(number)
      if w and w.fair ~= '' then open_turns(returned.places[n]) end
    end
  end
  ring_all('queue:', returned.rung)
end
