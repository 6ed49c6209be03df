-- include: counters

-- Where somebody with a fair key waits, due or not, all who are due wait for the turn of their key, by the
-- time when they became due; those without one have the empty key.
--
-- They are written down as set aside for want of a permit, of a key that no permit has: so versions that
-- do not know of these turns can count and remove them. Numbers in names keep a:b in c from a in b:c.
local function turn_key(fair, place)
  return 'fair:' .. #place .. ':' .. fair
end

local function turn_of(fair, place)
  return P .. 'aside_for:' .. turn_key(fair, place) .. ':' .. place
end

-- From now on keys take turns here.
local function open_turns(place)
  if call('ZADD', P .. 'fair:' .. place, 'NX', 0, '') == 1 then call('HSET', P .. 'fair', place, 0) end
end

-- Who has just had a turn, or has come, is the last to have one.
local function go_last(fair, place)
  local last = call('ZRANGE', P .. 'fair:' .. place, -1, -1, 'WITHSCORES')
  call('ZADD', P .. 'fair:' .. place, (last[2] or 0) + 1, fair)
end

local function take_turns(number, fair, place, due)
  open_turns(place)
  local turn = turn_of(fair, place)
  if fair ~= '' and call('EXISTS', turn) == 0 then go_last(fair, place) end
  call('ZADD', turn, due, number)
  call('ZADD', P .. 'aside:' .. place, due, number)
  call('HSET', P .. 'aside', number, turn_key(fair, place))
  count_by('fair', place, 1)
end

-- These were taken from the sets of their keys.
local function leave_sets(numbers, place)
  if #numbers == 0 then return end
  each('HDEL', P .. 'aside', numbers)
  each('ZREM', P .. 'aside:' .. place, numbers)
  count_by('fair', place, -#numbers)
end

-- Answers false where the job does not wait for a turn.
local function leave_turn(number, fair, place)
  local turn = turn_of(fair, place)
  if call('ZREM', turn, number) == 0 then return false end
  leave_sets({ number }, place)
  if fair ~= '' and call('EXISTS', turn) == 0 then call('ZREM', P .. 'fair:' .. place, fair) end
  return true
end
