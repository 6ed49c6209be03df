-- Count jobs by queue and state.
--
-- ARGV     now, then nothing, or the queues to look at with the lowest and highest priority of each.
-- Answers  now, then for each queue: name, pending, delayed, processing, completed, failed, cancelled, and the
--          time when the oldest of those that are due became due (empty: none is).

-- include: common
-- include: counters
-- include: scores

-- The time when the first of a list came. Gaps that stand before it go.
local function first_in(place)
  local list = P .. 'ready:' .. place
  while true do
    local number = call('LINDEX', list, 0)
    if not number then return nil end
    local turn = string.sub(number, 1, 1) == '~' -- See adopting.
    if turn then number = call('LINDEX', P .. 'turn:' .. place .. ':' .. string.sub(number, 2), 0) end
    local body = number and call('HGET', P .. 'body', number)
    if turn then return body and #body >= 8 and (unpack_text('>d', body)) or nil end
    if body and #body >= 8 and call('HEXISTS', P .. 'state', number) == 0 then
      return (unpack_text('>d', body))
    end
    call('LPOP', list)
    count_some('gaps', list, -1)
  end
end

-- By how many more than the list tells wait for turns as earlier versions kept them, see adopting.
local function old_turns(place)
  return (tonumber(call('HGET', P .. 'turning', place) or 0) or 0) - call('SCARD', P .. 'turns:' .. place)
end

local function count(queue, low, high)
  local pending, delayed, oldest = 0, 0, nil
  for _, priority in ipairs(call('ZRANGEBYSCORE', P .. 'levels:' .. queue, -high, -low)) do
    local list, later = P .. 'ready:' .. queue .. ':' .. priority, P .. 'later:' .. queue .. ':' .. priority
    local place = queue .. ':' .. priority
    local came = first_in(place)
    local gaps = tonumber(call('HGET', P .. 'gaps', list) or 0) or 0
    local first = call('ZRANGE', later, 0, 0, 'WITHSCORES')
    local due = call('ZCOUNT', later, '-inf', now)
    local apart = call('ZCARD', P .. 'aside:' .. place) + old_turns(place)
    pending = pending + math.max(0, call('LLEN', list) - gaps + apart) + due
    local aside = call('ZRANGE', P .. 'aside:' .. place, 0, 0, 'WITHSCORES')[2]
    delayed = delayed + call('ZCARD', later) - due
    for _, time in ipairs({ came or math.huge, tonumber(first[2]) or math.huge, tonumber(aside) or math.huge }) do
      if time <= now and (not oldest or time < oldest) then oldest = time end
    end
  end
  local later_than_now = '(' .. score_of(now)
  return { queue, pending, delayed, call('ZCARD', P .. 'leased:' .. queue),
    call('ZCOUNT', P .. 'ended:' .. queue .. ':c', later_than_now, '+inf'),
    call('ZCARD', P .. 'ended:' .. queue .. ':f'),
    call('ZCOUNT', P .. 'ended:' .. queue .. ':x', later_than_now, '+inf'),
    oldest and string.format('%.17g', oldest) or '' }
end

local answer = {}
if #ARGV > 1 then
  for at = 2, #ARGV, 3 do
    answer[#answer + 1] = count(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  end
else
  for _, queue in ipairs(call('SUNION', P .. 'queues', P .. 'paused')) do
    answer[#answer + 1] = count(queue, -32768, 32767)
  end
end
return { string.format("%.17g", now), answer }
