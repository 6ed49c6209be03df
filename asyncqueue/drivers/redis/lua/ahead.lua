-- Count the jobs that are claimed before one of the same queue, of the first ten thousand of each line.
--
-- ARGV     now, id.
-- Answers  how many, or -1 where it is not due.

-- include: common
-- include: bodies
-- include: states
-- include: waiting
-- include: ties

local MANY = 10000
local number = call('HGET', P .. 'ids', ARGV[2])
local body = number and read_body(call('HGET', P .. 'body', number) or '')
if not body then return -1 end
local text = call('HGET', P .. 'state', number)
local s = text and read_state(text) or new_state(body)
if letter_of(s, body) ~= 'w' or (body.tied and is_held(number)) then return -1 end
local mine = s.available >= 0 and s.available or body.available

local function before(due, other)
  return due < mine or (due == mine and other < number)
end

local function count_list(list, all)
  local numbers = call('LRANGE', list, 0, MANY - 1)
  local bodies, states, count = values(P .. 'body', numbers), values(P .. 'state', numbers), 0
  for n = 1, #numbers do
    if bodies[n] and #bodies[n] >= 8 and not states[n] and (all or before(unpack_text('>d', bodies[n]), numbers[n])) then
      count = count + 1
    end
  end
  return count
end

local function count_later(later, all)
  if all then return call('ZCOUNT', later, '-inf', now) end
  local due, count = call('ZRANGEBYSCORE', later, '-inf', mine, 'WITHSCORES', 'LIMIT', 0, MANY), 0
  for n = 1, #due, 2 do
    if before(tonumber(due[n + 1]), due[n]) then count = count + 1 end
  end
  return count
end

local count = 0
for _, priority in ipairs(call('ZRANGEBYSCORE', P .. 'levels:' .. s.queue, '-inf', -s.priority)) do
  local place = s.queue .. ':' .. priority
  local all = (tonumber(priority) or s.priority) > s.priority
  count = count + count_list(P .. 'ready:' .. place, all) + count_later(P .. 'later:' .. place, all)
  for _, fair in ipairs(call('ZRANGE', P .. 'fair:' .. place, 0, MOST - 1)) do
    count = count + count_later(turn_of(fair, place), all)
  end
end
return count
