-- Claim jobs: take them from their lines and lease them, in one step.
--
-- ARGV     now, limit, lease, worker, how many to look at of those that are left (0: none), then for
--          each source: queue, lowest and highest priority.
-- Answers  seconds until the next delayed job is due (empty: there is none; where the limit was
--          reached, it means something only with what is left); what is left for each source: its index
--          from 0, priority, and how many or more, with spaces between; the time in milliseconds; then
--          for each group of jobs three lists: their numbers, their bodies, and the states that they had
--          before (false: it was never claimed; a lone ! where body or state cannot be read: such a job
--          is not leased; a ? before it where it runs without what it wants, as that cannot be read; an
--          empty list where none was claimed).

-- include: common
-- include: minus
-- include: scores

local limit, lease, worker = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local look_at = tonumber(ARGV[5])
-- include: first_states
local answer = { '', '', math.floor(now * 1000) }
local claimed = 0
local next_due
local taken -- the numbers of those who stand nowhere at the moment

-- Whether no queue is paused, no list has gaps, and nobody waits for a permit or a turn. Somebody who comes
-- back in this very call may have changed that.
local is_simple = call('EXISTS', P .. 'paused', P .. 'gaps', P .. 'opening', P .. 'fair', P .. 'turning') == 0

-- Without `texts`, their states, they are plain.
local function lease_all(queue, priority, numbers, texts)
  local leased, written = {}, {}
  local until_then = score_of(now + lease)
  local plain = not texts and first_state(queue, priority, -1, '')
  for n = 1, #numbers do
    local number, at = numbers[n], 2 * n
    leased[at - 1], leased[at] = until_then, number
    written[at - 1], written[at] = number, plain or texts[n]
  end
  each('ZADD', P .. 'leased:' .. queue, leased)
  each('HSET', P .. 'state', written)
  claimed = claimed + #numbers
  taken = nil
end

-- Most jobs have nothing but a body, and were never claimed.
local function are_plain(bodies)
  for n = 1, #bodies do
    local body = bodies[n]
    if not body or string.byte(body, 17) ~= 0 then return false end
  end
  return true
end

-- Nobody stands there in any line.
local function close_level(queue, priority)
  if call('EXISTS', P .. 'aside:' .. queue .. ':' .. priority) == 0 then
    call('ZREM', P .. 'levels:' .. queue, priority)
  end
end

-- Most calls ask for jobs of one queue, where those that wait have one priority and are plain. All others are
-- for what comes below, and what is in the way of these: with the numbers that were taken meanwhile.
local met
if is_simple and #ARGV == 8 and limit > 0 then
  local queue = ARGV[6]
  local levels = call('ZRANGEBYSCORE', P .. 'levels:' .. queue, minus(ARGV[8]), minus(ARGV[7]))
  local priority = levels[1]
  if not priority then return answer end
  local place = queue .. ':' .. priority
  local first = call('ZRANGE', P .. 'later:' .. place, '0', '0', 'WITHSCORES')[2]
  local wait = first and tonumber(first) - now
  if #levels == 1 and (not wait or wait > 0) then
    if wait then answer[1] = string.format('%.17g', wait) end
    local line = P .. 'ready:' .. place
    met = call('LPOP', line, ARGV[2])
    if not met then
      if not first then close_level(queue, priority) end
      return answer
    end
    local fine, bodies = pcall(values, P .. 'body', met)
    if fine and are_plain(bodies) and pcall(lease_all, queue, priority, met) then
      answer[4], answer[5], answer[6] = met, bodies, {}
      local left = look_at > 0 and call('LLEN', line) or 0
      if left > 0 then answer[2] = string.format('0 %s %d', priority, left) end
      return answer
    end
  end
end

-- Whether a script that ran for long enough left somebody behind who may be claimed now.
local tired = false

local function tell(numbers, bodies, states)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3] = numbers, bodies, states
end

local function due_at(time)
  if not next_due or time < next_due then next_due = time end
end

-- What is made when the first job comes that is not like most.
local rarely
local function rare()
  if not rarely then
    is_simple = false
-- include: full
    even_when_full()
-- include: claiming_rarely
    rarely = { take_due = take_due, take_in_turns = take_in_turns, hand_out_list = hand_out_list,
      open_due = open_due_permits, adopt = adopt_old_turns, give_back = give_permits_back,
      read_body = read_body, read_state = read_state }
  end
  return rarely
end

-- Answers false where the list is empty then.
local function take_from_list(queue, priority, room)
  local list = P .. 'ready:' .. queue .. ':' .. priority
  local numbers = met or call('LPOP', list, string.format('%d', room))
  if not numbers then return false end
  met, taken = nil, numbers
  local bodies = (is_simple or not call('HGET', P .. 'gaps', list)) and values(P .. 'body', numbers)
  if not bodies or not are_plain(bodies) then
    rare().hand_out_list(queue, priority, list, numbers)
    return true
  end
  lease_all(queue, priority, numbers)
  tell(numbers, bodies, {})
  return #numbers == room
end

local function take(queue, priority)
  local place = queue .. ':' .. priority
  for _ = 1, 100 do -- Gaps may make a round fruitless; there is no end of rounds, but of patience.
    local room = limit - claimed
    if room <= 0 then return end
    if tired then break end
    local first = call('ZRANGE', P .. 'later:' .. place, '0', '0', 'WITHSCORES')[2]
    first = first and tonumber(first)
    if first and first > now then due_at(first) end
    local before, more = claimed, true
    if not is_simple and call('EXISTS', P .. 'fair:' .. place) == 1 then
      more = rare().take_in_turns(queue, priority, room)
    elseif first and first <= now then
      rare().take_due(queue, priority, room)
    else
      more = take_from_list(queue, priority, room)
    end
    if not more then
      if claimed == before and not first then close_level(queue, priority) end
      return
    end
  end
  tired, next_due = true, now
end

local left, seen = {}, 0
local paused = {}
if not is_simple then
  for _, queue in ipairs(call('SMEMBERS', P .. 'paused')) do paused[queue] = true end
  local opens = tonumber(call('ZRANGE', P .. 'opening', 0, 0, 'WITHSCORES')[2])
  if opens and opens <= now then rare().open_due() end
  if call('EXISTS', P .. 'turning') == 1 and rare().adopt() then next_due = now end
end

for at = 6, #ARGV, 3 do
  local queue = ARGV[at]
  if not paused[queue] then
    local levels = call('ZRANGEBYSCORE', P .. 'levels:' .. queue, minus(ARGV[at + 2]), minus(ARGV[at + 1]))
    for _, priority in ipairs(levels) do
      if claimed < limit and not tired then
        local fine, why = pcall(take, queue, priority)
        if not fine then
-- include: standing_again
          stand_again(taken or {}, queue, priority, rare())
          if claimed == 0 then error(why, 0) end
          -- Those that are claimed are told of; the next call will meet the error.
          tired, next_due = true, now
        end
      end
    end
    if look_at > 0 then
-- include: looking_at_rest
      for _, priority in ipairs(levels) do
        if seen < look_at then look_at_rest((at - 6) / 3, queue, priority) end
      end
    end
  end
end

local opens = not is_simple and tonumber(call('ZRANGE', P .. 'opening', 0, 0, 'WITHSCORES')[2])
if opens then due_at(opens) end
if next_due and (claimed < limit or look_at > 0) then
  answer[1] = string.format('%.17g', next_due - now)
end
answer[2] = table.concat(left, ' ')
return answer
