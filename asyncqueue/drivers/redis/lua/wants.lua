-- include: levels
-- include: rings
-- include: turns

-- What a job wants: its fair key (empty: none), and for each limit key, how many permits there are,
-- and for how long one is used up (negative: as long as the job is being processed).
local function wants_of(text)
  local w = { limits = {} }
  local count, at
  w.fair, count, at = unpack_text('>I2c0B', text)
  for n = 1, count do
    local limit = {}
    limit.key, limit.most, limit.per, at = unpack_text('>I2c0I4d', text, at)
    if limit.most < 1 or limit.per ~= limit.per then error('no limit') end
    w.limits[n] = limit
  end
  if count == 0 and w.fair == '' then error('nothing') end
  return w
end

-- Nil where there is nothing, or what cannot be read: such a job wants nothing.
local function read_wants(number)
  local text = call('HGET', P .. 'wants', number)
  local fine, w = pcall(wants_of, text or '')
  return fine and w or nil
end

local function limit_in(w, key)
  for _, limit in ipairs(w and w.limits or {}) do
    if limit.key == key then return limit end
  end
  return nil
end

local function permits_taken(key)
  call('ZREMRANGEBYSCORE', P .. 'permits:' .. key, '-inf', now)
  return call('ZCARD', P .. 'permits:' .. key)
end

-- Seconds until there is a permit: 0 now, infinity when that depends on others.
local function wait_for(key, most)
  local taken = permits_taken(key)
  if taken < most then return 0 end
  local first = call('ZRANGE', P .. 'permits:' .. key, taken - most, taken - most, 'WITHSCORES')
  return tonumber(first[2]) - now
end

-- Unless that is done earlier anyway.
local function look_again_at(key, time)
  local known = tonumber(call('ZSCORE', P .. 'opening', key) or math.huge)
  if time < known then call('ZADD', P .. 'opening', time, key) end
end

local function aside_for(key, place)
  return P .. 'aside_for:' .. key .. ':' .. place
end

-- Jobs that lack a permit wait apart, by queue and priority.
local function set_aside(number, queue, priority, due, limit, wait)
  local place = queue .. ':' .. priority
  call('HSET', P .. 'aside', number, limit.key)
  call('ZADD', P .. 'aside:' .. place, due, number)
  call('ZADD', aside_for(limit.key, place), due, number)
  call('SADD', P .. 'aside_at:' .. limit.key, place)
  look_again_at(limit.key, now + wait)
end

local function come_back(number, key, place)
  call('HDEL', P .. 'aside', number)
  call('ZREM', P .. 'aside:' .. place, number)
  local set = aside_for(key, place)
  call('ZREM', set, number)
  if call('EXISTS', set) == 0 then call('SREM', P .. 'aside_at:' .. key, place) end
end

-- The first of those who wait for a permit of this key here. Others are among them where names meet: those
-- of a:b in queue c are a namesake of those of a in queue b:c.
local function first_aside(key, place, most)
  local set, found, at = aside_for(key, place), {}, 0
  while true do
    local some = call('ZRANGE', set, at, at + most - 1, 'WITHSCORES')
    for n = 1, #some, 2 do
      if #found < 2 * most and call('HGET', P .. 'aside', some[n]) == key then
        found[#found + 1], found[#found + 2] = some[n], some[n + 1]
      end
    end
    if #some < 2 * most or #found == 2 * most then return found end
    at = at + most
  end
end

-- Let as many try again as there are permits, of each queue and priority.
local function refill(limit)
  local places = call('SMEMBERS', P .. 'aside_at:' .. limit.key)
  if #places == 0 then return end
  local room = limit.most - permits_taken(limit.key)
  if room <= 0 then return end
  for _, place in ipairs(places) do
    local unsure
    repeat
      local first = first_aside(limit.key, place, room)
      if #first == 0 then call('SREM', P .. 'aside_at:' .. limit.key, place) end
      unsure = false
      for n = 1, #first, 2 do
        call('ZADD', P .. 'later:' .. place, first[n + 1], first[n])
        come_back(first[n], limit.key, place)
        local w = read_wants(first[n])
        if w and w.fair ~= '' then open_turns(place) end
        unsure = unsure or not limit_in(w, limit.key)
      end
    until not unsure -- Who does not say so any more takes no permit, and lets nobody in when it ends.
    local queue, priority = string.match(place, '^(.*):(-?%d+)$')
    if queue then
      open_level(queue, priority)
      ring('queue:' .. queue)
    end
  end
end

-- The limit of a key as one of those says who wait for it.
local function limit_of(key)
  for _, place in ipairs(call('SMEMBERS', P .. 'aside_at:' .. key)) do
    local first = first_aside(key, place, 10)
    for n = 1, #first, 2 do
      local limit = limit_in(read_wants(first[n]), key)
      if limit then return limit end
    end
  end
  return nil
end

-- Take all permits that a job needs to be claimed, or set it aside; answers whether it has them, and
-- true where it cannot be read which they are.
local function admit(number, id, claims, queue, priority, due)
  local w = read_wants(number)
  if not w then return true, true end
  for _, limit in ipairs(w.limits) do
    local wait = wait_for(limit.key, limit.most)
    if wait > 0 then
      set_aside(number, queue, priority, due, limit, wait)
      -- Others may try in its place that need no more than the others of its permits.
      for _, other in ipairs(w.limits) do
        if other.key ~= limit.key then refill(other) end
      end
      return false
    end
  end
  for _, limit in ipairs(w.limits) do
    if limit.per < 0 then
      call('ZADD', P .. 'permits:' .. limit.key, 'inf', id)
    else
      call('ZADD', P .. 'permits:' .. limit.key, now + limit.per, id .. '/' .. number .. '/' .. claims)
    end
  end
  return true
end

-- A job is no longer being processed.
local function give_back(number, id)
  local w = read_wants(number)
  for _, limit in ipairs(w and w.limits or {}) do
    if limit.per < 0 then call('ZREM', P .. 'permits:' .. limit.key, id) end
    refill(limit)
  end
end

-- As leave_turn, of turns as earlier versions kept them, see adopting.
local function leave_old_turn(number, fair, place)
  local list = P .. 'turn:' .. place .. ':' .. fair
  if call('LREM', list, 1, number) == 0 then return false end
  count_some('turning', place, -1)
  if call('EXISTS', list) == 0 then
    call('SREM', P .. 'turns:' .. place, fair)
    local in_line = call('LREM', P .. 'ready:' .. place, 0, '~' .. fair) > 0
    if not in_line then count_some('turning', place, -1) end
  end
  return true
end

-- A job waits no longer, and was not claimed: it leaves where it stands, and another may try.
-- Answers false where it stands in a line like any other.
local function leave_apart(number, queue, priority)
  local w = read_wants(number)
  if not w then return false end
  local place = queue .. ':' .. priority
  local key = call('HGET', P .. 'aside', number)
  local left = key ~= false
  if key and (key ~= turn_key(w.fair, place) or not leave_turn(number, w.fair, place)) then
    come_back(number, key, place)
  elseif not key and w.fair ~= '' then
    left = leave_old_turn(number, w.fair, place)
  end
  for _, limit in ipairs(w.limits) do refill(limit) end
  return left
end

-- Let those try whose permits have expired by now.
local function open_due()
  for _, key in ipairs(call('ZRANGEBYSCORE', P .. 'opening', '-inf', now, 'LIMIT', 0, 100)) do
    call('ZREM', P .. 'opening', key)
    local limit = limit_of(key)
    if limit then
      refill(limit)
      if call('EXISTS', P .. 'aside_at:' .. key) == 1 then
        local wait = wait_for(key, limit.most)
        if wait == 0 then wait = limit.per < 0 and math.huge or limit.per end
        look_again_at(key, now + wait)
      end
    end
  end
end
