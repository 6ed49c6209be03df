-- include: bodies
-- include: counters
-- include: states
-- include: wants

-- Jobs that wait, and taking them out of turn.

-- The number in a list becomes a gap; a list of nothing but gaps goes.
local function leave_gap(queue, priority)
  local list = P .. 'ready:' .. queue .. ':' .. priority
  local gaps = count_some('gaps', list, 1)
  if gaps >= call('LLEN', list) then
    call('DEL', list)
    call('HDEL', P .. 'gaps', list)
  end
end

-- A job without a state stands in its list, unless it was delayed from the beginning.
local function leave_line(number, body, state, queue, priority)
  if state or body.available > body.created then
    local place = queue .. ':' .. priority
    if call('ZREM', P .. 'later:' .. place, number) == 0 then leave_turn(number, '', place) end
  else
    leave_gap(queue, priority)
  end
end

-- The state of a job that was never claimed.
local function new_state(content)
  return { phase = 'w', claims = 0, attempts = 0, exceptions = 0, priority = content.priority,
    available = content.available, started = -1, finished = 0, mark = -1, queue = content.queue,
    worker = '', key = content.key }
end

-- The letter of a state as it is told outside: w is due, d is not.
local function letter_of(s, content)
  if s.phase ~= 'w' then return s.phase end
  return (s.available >= 0 and s.available or content.available) > now and 'd' or 'w'
end
