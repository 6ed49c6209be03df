-- Claim jobs: take them from their lines and lease them, in one step.
--
-- ARGV     now, limit, lease, worker, how many to look at of those that are left (0: none), then for
--          each source: queue, lowest and highest priority.
-- Answers  seconds until the next delayed job is due (empty: there is none; where the limit was
--          reached, it is told only with what is left); what is left for each source: its index from
--          0, priority, and how many or more, with spaces between; the time in milliseconds; then for
--          each group of jobs three lists: their numbers, their bodies, and the states that they had before (false: it was never
--          claimed; a lone ! where body or state cannot be read: such a job is not leased; a ? before it
--          where it runs without what it wants, as that cannot be read; an empty list where none was
--          claimed).

-- include: common
-- include: full
-- include: scores
-- include: states

local limit, lease, worker = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local look_at = tonumber(ARGV[5])
local answer = { '', '', math.floor(now * 1000) }
local claimed = 0
local next_due
local until_then = score_of(now + lease)
local taken -- the numbers of those who stand nowhere at the moment

local function lease_all(queue, numbers, texts)
  local leased, written = {}, {}
  for n = 1, #numbers do
    local number, at = numbers[n], 2 * n
    leased[at - 1], leased[at] = until_then, number
    written[at - 1], written[at] = number, texts[n] or texts.all
  end
  each('ZADD', P .. 'leased:' .. queue, leased)
  each('HSET', P .. 'state', written)
  claimed = claimed + #numbers
  taken = nil
end

local function tell(numbers, bodies, states)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3] = numbers, bodies, states
end

local function due_at(time)
  if not next_due or time < next_due then next_due = time end
end

-- Whether a script that ran for long enough left somebody behind who may be claimed now.
local tired = false

-- What is made when the first job comes that is not like most.
local rarely
local function rare()
  if not rarely then
    even_when_full()
-- include: claiming_rarely
    rarely = { take_due = take_due, take_in_turns = take_in_turns, hand_out_list = hand_out_list,
      open_due = open_due_permits, adopt = adopt_old_turns, give_back = give_permits_back,
      read_body = read_body }
  end
  return rarely
end

-- Most jobs have nothing but a body, and were never claimed.
local function are_plain(numbers, bodies)
  for n = 1, #numbers do
    local body = bodies[n]
    if not body or string.byte(body, 17) ~= 0 then return false end
  end
  return true
end

-- Whether no queue is paused, no list has gaps, and nobody waits for a permit or a turn.
local is_simple = call('EXISTS', P .. 'paused', P .. 'gaps', P .. 'opening', P .. 'fair', P .. 'turning') == 0

local function has_numbers_only(list)
  return is_simple or not call('HGET', P .. 'gaps', list)
end

-- Somebody who came back in this very call may have opened them.
local function keys_take_turns(place)
  return (rarely or not is_simple) and call('EXISTS', P .. 'fair:' .. place) == 1
end

-- Answers false where the list is empty then.
local function take_from_list(queue, priority, room)
  local place = queue .. ':' .. priority
  local list = P .. 'ready:' .. place
  local numbers = call('LPOP', list, room)
  if not numbers then return false end
  taken = numbers
  local bodies = has_numbers_only(list) and values(P .. 'body', numbers)
  if not bodies or not are_plain(numbers, bodies) then
    rare().hand_out_list(queue, priority, list, numbers)
    return true
  end
  local text = state_text({ phase = 'p', claims = 1, attempts = 1, exceptions = 0, priority = priority,
    available = -1, started = now, finished = 0, mark = -1, queue = queue, worker = worker, key = '' })
  lease_all(queue, numbers, { all = text })
  tell(numbers, bodies, {})
  return #numbers == room
end

local function take(queue, priority)
  local place = queue .. ':' .. priority
  local later = P .. 'later:' .. place
  for _ = 1, 100 do -- Gaps may make a round fruitless; there is no end of rounds, but of patience.
    local room = limit - claimed
    if room <= 0 then return end
    if tired then return due_at(now) end
    local first = tonumber(call('ZRANGE', later, 0, 0, 'WITHSCORES')[2])
    if first and first > now then due_at(first) end
    local before, more = claimed, true
    if keys_take_turns(place) then
      more = rare().take_in_turns(queue, priority, room)
    elseif first and first <= now then
      rare().take_due(queue, priority, room)
    else
      more = take_from_list(queue, priority, room)
    end
    if not more then
      if claimed == before and not first and call('EXISTS', P .. 'aside:' .. place) == 0 then
        call('ZREM', P .. 'levels:' .. queue, priority)
      end
      return
    end
  end
  tired = true
  due_at(now)
end

-- Those who can be claimed now. Gaps in a list count, too: whoever comes for them learns better.
local left, seen = {}, 0
local function look_at_rest(source, queue, priority)
  local place = queue .. ':' .. priority
  local later = P .. 'later:' .. place
  local due = call('ZCOUNT', later, '-inf', now)
  local count = call('LLEN', P .. 'ready:' .. place) + due
  if keys_take_turns(place) then count = count + (tonumber(call('HGET', P .. 'fair', place) or 0) or 0) end
  if count > 0 then
    seen = seen + count
    left[#left + 1] = string.format('%d %s %d', source, priority, count)
  end
  local first = call('ZRANGE', later, due, due, 'WITHSCORES')
  if first[2] then due_at(tonumber(first[2])) end
end

local function next_opening()
  return tonumber(call('ZRANGE', P .. 'opening', 0, 0, 'WITHSCORES')[2])
end

local paused = {}
if not is_simple then
  for _, queue in ipairs(call('SMEMBERS', P .. 'paused')) do paused[queue] = true end
  local opens = next_opening()
  if opens and opens <= now then rare().open_due() end
  if call('EXISTS', P .. 'turning') == 1 and rare().adopt() then due_at(now) end
end

for at = 6, #ARGV, 3 do
  local queue = ARGV[at]
  if not paused[queue] then
    local low, high = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local levels = call('ZRANGEBYSCORE', P .. 'levels:' .. queue, -high, -low)
    for _, priority in ipairs(levels) do
      if claimed < limit and not tired then
        local fine, why = pcall(take, queue, priority)
        if not fine then
-- include: standing_again
          stand_again(taken or {}, queue, priority, rare())
          if claimed == 0 then error(why, 0) end
          -- Those that are claimed are told of; the next call will meet the error.
          tired = true
          due_at(now)
        end
      end
    end
    if look_at > 0 then
      for _, priority in ipairs(levels) do
        if seen < look_at then look_at_rest((at - 6) / 3, queue, priority) end
      end
    end
  end
end

local opens = (rarely or not is_simple) and next_opening()
if opens then due_at(opens) end
if next_due and (claimed < limit or look_at > 0) then
  answer[1] = string.format('%.17g', next_due - now)
end
answer[2] = table.concat(left, ' ')
return answer
