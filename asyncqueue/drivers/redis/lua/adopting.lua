-- include: bodies
-- include: states
-- include: wants

-- Earlier versions kept turns in lists: turn:Q:P:F of numbers, ready:Q:P with ~F for its next turn,
-- turns:Q:P, a set, with F then, and turning as `fair`. What they left, and what one that still runs
-- adds, takes turns with all others.

-- Lists of two queues may have one name, see turns: who stands in one says where it belongs.
local function adopt(number, body, state, fair, place)
  if not body then return end
  local content, s, w = read_body(body), state and read_state(state), read_wants(number)
  if s and s.phase ~= 'w' then return end
  if not content or not w or w.fair == '' then return take_turns(number, fair, place, now) end
  local due = s and s.available >= 0 and s.available or content.available
  take_turns(number, w.fair, content.queue .. ':' .. content.priority, due)
end

local function adopt_turns(place)
  for _, fair in ipairs(call('SMEMBERS', P .. 'turns:' .. place)) do
    call('LREM', P .. 'ready:' .. place, 0, '~' .. fair)
    local list = P .. 'turn:' .. place .. ':' .. fair
    while true do
      local numbers = call('LPOP', list, MOST)
      if not numbers then break end
      local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
      for n = 1, #numbers do adopt(numbers[n], bodies[n], states[n], fair, place) end
    end
  end
  call('DEL', P .. 'turns:' .. place)
  call('HDEL', P .. 'turning', place)
end
