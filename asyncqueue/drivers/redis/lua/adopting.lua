-- include: bodies
-- include: states
-- include: wants

-- Earlier versions kept turns in lists: turn:Q:P:F of numbers, ready:Q:P with ~F for its next turn,
-- turns:Q:P, a set, with F then, and turning as `fair`. What they left, and what one that still runs
-- adds, takes turns with all others; a part of it with each claim, so that none takes long.
--
-- adopting:Q:P is a list of those F of which somebody is left and whose ~F is gone, after +; after ? it may
-- be there yet. Each with + is counted in turning like a job, as counts of jobs take the set from it.
local JOBS, FAIR_KEYS = 500, 100

-- Lists of two queues may have one name, see turns: who stands in one says where it belongs.
local function adopt(number, body, state, fair, place)
  if not body then return end
  local content, s, w = read_body(body), state and read_state(state), read_wants(number)
  if s and s.phase ~= 'w' then return end
  if not content or not w or w.fair == '' then return take_turns(number, fair, place, now) end
  local due = s and s.available >= 0 and s.available or content.available
  take_turns(number, w.fair, content.queue .. ':' .. content.priority, due)
end

local function old_turn(fair, place)
  return P .. 'turn:' .. place .. ':' .. fair
end

-- The turn of this key was taken from its line.
local function adopt_key(fair, place)
  if call('EXISTS', old_turn(fair, place)) == 0 then return end
  call('RPUSH', P .. 'adopting:' .. place, '+' .. fair)
  count_by('turning', place, 1)
end

-- Take the next turns from a line; those behind many others only when all before are done.
local function adopt_keys(place)
  local line, adopting = P .. 'ready:' .. place, P .. 'adopting:' .. place
  for _, many in ipairs({ FAIR_KEYS, 10000 }) do
    local found = 0
    for _, word in ipairs(call('LRANGE', line, 0, many - 1)) do
      if string.sub(word, 1, 1) == '~' and found < FAIR_KEYS then
        found = found + call('LREM', line, 1, word)
        adopt_key(string.sub(word, 2), place)
      end
    end
    if call('EXISTS', adopting) == 1 then return end
  end
  for _, fair in ipairs(call('SMEMBERS', P .. 'turns:' .. place)) do call('RPUSH', adopting, '?' .. fair) end
end

-- Adopt so many of one key; who is left of it waits for another time.
local function adopt_some(word, place, most)
  local fair = string.sub(word, 2)
  local list = old_turn(fair, place)
  local numbers = call('LRANGE', list, 0, most - 1)
  local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
  for n = 1, #numbers do adopt(numbers[n], bodies[n], states[n], fair, place) end
  call('LTRIM', list, #numbers, -1)
  local gone = #numbers
  if call('EXISTS', list) == 1 then
    call('RPUSH', P .. 'adopting:' .. place, word)
  else
    call('SREM', P .. 'turns:' .. place, fair)
    if string.sub(word, 1, 1) == '+' or call('LREM', P .. 'ready:' .. place, 0, '~' .. fair) == 0 then
      gone = gone + 1
    end
  end
  if gone > 0 then count_some('turning', place, -gone) end
end

-- Answers whether somebody is left.
local function adopt_turns(place)
  local adopting, turns = P .. 'adopting:' .. place, P .. 'turns:' .. place
  if call('LLEN', adopting) < FAIR_KEYS then adopt_keys(place) end
  local words = call('LPOP', adopting, FAIR_KEYS) or {}
  for _, word in ipairs(words) do adopt_some(word, place, math.floor(JOBS / #words)) end
  if call('EXISTS', turns, adopting) > 0 then
    count_by('turning', place, 0) -- As long as it is there, somebody looks.
    return true
  end
  call('HDEL', P .. 'turning', place)
  return false
end
