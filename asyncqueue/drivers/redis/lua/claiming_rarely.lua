-- include: bodies
-- include: counters
-- include: states

-- Claiming jobs of which there are few: those with a key, a latch or limits, those that take turns, were
-- delayed or returned, and those that cannot be read.

local DAMAGED = '!' -- told instead of a state; the client puts such jobs aside
local UNREAD = '?' -- told before it, where it cannot be read what a job wants

-- Nil where the body cannot be read.
local function state_with_key(body, queue, priority)
-- include: holders
  local content = read_body(body)
  if not content then return nil end
  local mark = content.wants and -2 or -1
  if content.mode ~= 2 then return first_state(queue, priority, mark, content.key) end
  free_key(content.key, content.id)
  return first_state(queue, priority, mark, '')
end

-- The state of a claimed job: the one it had before, or a new one. Nil where it cannot be read.
local function claimed_state(body, before, queue, priority, plain_text, wanting_text)
  local mode = string.byte(body, 17)
  if not before then
    if mode == 0 or mode == 4 then return plain_text end
    if mode == 8 or mode == 12 then return wanting_text end
    return mode and state_with_key(body, queue, priority)
  end
  local s = mode and read_state(before)
  if not s then return nil end
  s.phase, s.claims, s.attempts = 'p', s.claims + 1, s.attempts + 1
  s.started, s.mark, s.worker = now, mode >= 8 and -2 or -1, worker
  return state_text(s)
end

-- What is told of a job that a latch binds, before its state: + and 1 if it is called off, else 0; the
-- length of the latch's id, and this.
local function told_of_tie(number, before)
-- include: latch_rules
  local text = call('HGET', P .. 'ties', number)
  if not text or #text < 10 then return before end
  local id = string.sub(text, 11)
  local stored = string.sub(text, 1, 1) == 'm' and call('HGET', P .. 'latches', id)
  local l = stored and read_latch(id, stored)
  return '+' .. (l and l.called_off and 1 or 0) .. pack('>I2', #id) .. id .. (before or '')
end

-- What is made when the first job comes that wants something.
local wanting
local function about_wants()
  if wanting then return wanting end
-- include: wants
-- include: adopting
  wanting = { admit = admit, open_due = open_due, read = read_wants, take_turns = take_turns,
    give_back = give_back, turn_of = turn_of, go_last = go_last, leave_sets = leave_sets, adopt = adopt_turns,
    adopt_key = adopt_key }
  return wanting
end

-- These do not stand any more where they stood.
local function took(numbers)
  taken = taken or {}
  for n = 1, #numbers do taken[#taken + 1] = numbers[n] end
end

-- Of these jobs those that may be claimed: others are set aside. Answers also of which it cannot be read
-- what they want.
local function admitted(queue, priority, numbers, bodies, states)
  local kept, kept_bodies, kept_states, unread = {}, {}, {}, {}
  for n = 1, #numbers do
    local number, body, before = numbers[n], bodies[n], states[n] or false
    local content = (string.byte(body, 17) or 0) >= 8 and read_body(body)
    local fine = true
    if content then
      local s = before and read_state(before)
      local due = s and s.available >= 0 and s.available or content.available
      fine, unread[number] = about_wants().admit(number, content.id, s and s.claims or 0, queue, priority, due)
      if not fine and not before then
        call('HSET', P .. 'state', number, state_text({ phase = 'w', claims = 0, attempts = 0,
          exceptions = 0, priority = priority, available = due, started = -1, finished = 0, mark = -1,
          queue = queue, worker = '', key = content.key }))
      end
    end
    if fine then
      local at = #kept + 1
      kept[at], kept_bodies[at], kept_states[at] = number, body, before
    end
  end
  return kept, kept_bodies, kept_states, unread
end

-- Lease these jobs, in this order, and tell of them.
local function hand_out(queue, priority, numbers, bodies, states)
  local unread
  numbers, bodies, states, unread = admitted(queue, priority, numbers, bodies, states)
  local plain_text = first_state(queue, priority, -1, '')
  local wanting_text = first_state(queue, priority, -2, '')
  local leased, texts, told = {}, {}, {}
  for n = 1, #numbers do
    local number, body, before = numbers[n], bodies[n], states[n] or false
    local mode = string.byte(body, 17) or 0
    local text = claimed_state(body, before, queue, priority, plain_text, wanting_text)
    if text then
      leased[#leased + 1], texts[#texts + 1] = number, text
    else
      before = DAMAGED
    end
    if text and mode % 8 >= 4 then before = told_of_tie(number, before) end
    if text and unread[number] then before = UNREAD .. (before or '') end
    told[n] = before
  end
  if #leased > 0 then lease_all(queue, priority, leased, texts) end
  tell(numbers, bodies, told)
  taken = nil
end

-- Of numbers from a list, those that are no gaps; nor turns of an earlier version, see adopting.
local function without_gaps(list, numbers)
  local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
  local kept, kept_bodies, count, gaps = {}, {}, 0, 0
  for n = 1, #numbers do
    if bodies[n] and not states[n] then
      count = count + 1
      kept[count], kept_bodies[count] = numbers[n], bodies[n]
    elseif string.sub(numbers[n], 1, 1) == '~' then
      tired = true -- There may be any number of them.
      about_wants().adopt_key(string.sub(numbers[n], 2), string.sub(list, #P + #'ready:' + 1))
    else
      gaps = gaps + 1
    end
  end
  if gaps > 0 then count_some('gaps', list, -gaps) end
  return kept, kept_bodies
end

-- Hand out what was taken from a list.
local function hand_out_list(queue, priority, list, numbers)
  local kept, bodies = without_gaps(list, numbers)
  hand_out(queue, priority, kept, bodies, {})
end

-- Hand out what is there yet of these, and waits. Others may stand in sets of which earlier versions do
-- not know, which removed them.
local function hand_out_known(queue, priority, numbers)
  local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
  local whole, whole_bodies, whole_states = {}, {}, {}
  for n = 1, #numbers do
    local s = states[n] and read_state(states[n])
    if bodies[n] and (not s or s.phase == 'w') then
      whole[#whole + 1] = numbers[n]
      whole_bodies[#whole], whole_states[#whole] = bodies[n], states[n]
    end
  end
  hand_out(queue, priority, whole, whole_bodies, whole_states)
end

-- Take at least so many from a list that are no gaps, as far as it has them. Answers also whether there
-- may be more of them: behind a crowd of gaps the next round looks on.
local function take_first(list, count)
  local kept, kept_bodies, look = {}, {}, count
  while #kept < count do
    local numbers = call('LPOP', list, look)
    if not numbers then return kept, kept_bodies, false end
    took(numbers)
    local some, some_bodies = without_gaps(list, numbers)
    for n = 1, #some do
      local at = #kept + 1
      kept[at], kept_bodies[at] = some[n], some_bodies[n]
    end
    if look >= MOST or tired then break end
    look = math.min(2 * look, MOST)
  end
  return kept, kept_bodies, true
end

-- Take so many from a list and a set with times, of which `due` are the first: they go between the others
-- by the time when they became due, then by number. Answers also those of them who were in the set, and
-- whether there may be more in the list.
local function take_merged(list, set, due, room)
  local before = taken and #taken or 0
  -- What is not claimed of them comes back to the front below.
  local kept, kept_bodies, more = take_first(list, room)
  local numbers, from_set = {}, {}
  local a, b = 1, 1
  while #numbers < room and (a <= #kept or b < #due and not more) do
    local take_later = a > #kept
    if not take_later and b < #due then
      local created = #kept_bodies[a] >= 8 and unpack_text('>d', kept_bodies[a]) or 0
      local score = tonumber(due[b + 1])
      take_later = score < created or (score == created and due[b] < kept[a])
    end
    if take_later then
      numbers[#numbers + 1] = due[b]
      from_set[#from_set + 1] = due[b]
      b = b + 2
    else
      numbers[#numbers + 1] = kept[a]
      a = a + 1
    end
  end
  local back = {}
  for n = #kept, a, -1 do back[#back + 1] = kept[n] end
  if #back > 0 then each('LPUSH', list, back) end
  for n = taken and #taken or 0, before + 1, -1 do taken[n] = nil end
  took(numbers)
  if #from_set > 0 then each('ZREM', set, from_set) end
  return numbers, from_set, more
end

-- Take those who are due, and who stood in no list.
local function take_due(queue, priority, room)
  local place = queue .. ':' .. priority
  local later = P .. 'later:' .. place
  local due = call('ZRANGEBYSCORE', later, '-inf', now, 'WITHSCORES', 'LIMIT', 0, room)
  hand_out_known(queue, priority, (take_merged(P .. 'ready:' .. place, later, due, #due / 2)))
end

-- Where keys take turns, those that became due wait for theirs. Answers whether any did.
local function send_to_turns(place)
  local later = P .. 'later:' .. place
  local due = call('ZRANGEBYSCORE', later, '-inf', now, 'WITHSCORES', 'LIMIT', 0, MOST)
  local numbers = {}
  for n = 1, #due, 2 do numbers[#numbers + 1] = due[n] end
  local bodies = values(P .. 'body', numbers)
  for n = 1, #numbers do
    if bodies[n] then
      local wants = (string.byte(bodies[n], 17) or 0) >= 8 and about_wants().read(numbers[n])
      about_wants().take_turns(numbers[n], wants and wants.fair or '', place, due[2 * n])
    end
  end
  each('ZREM', later, numbers)
  return #numbers > 0
end

-- The next of those without a key.
local function take_keyless(place, room)
  local set = about_wants().turn_of('', place)
  local due = call('ZRANGE', set, 0, room - 1, 'WITHSCORES')
  local numbers, from_set, more = take_merged(P .. 'ready:' .. place, set, due, room)
  if #numbers > 0 then about_wants().go_last('', place) end
  return numbers, from_set, more
end

-- The next of a key.
local function take_of_key(place, room, fair)
  local set, turns = about_wants().turn_of(fair, place), P .. 'fair:' .. place
  local first = call('ZRANGE', set, 0, room - 1)
  if #first > 0 then call('ZREM', set, unpack(first)) end
  took(first)
  if call('EXISTS', set) == 1 then
    about_wants().go_last(fair, place)
  else
    call('ZREM', turns, fair)
  end
  return first, first
end

-- Nobody who has a key waits here any more: turns are at an end.
local function close_turns(place)
  local turns, set = P .. 'fair:' .. place, about_wants().turn_of('', place)
  if call('ZCARD', turns) > 1 or call('EXISTS', set, P .. 'later:' .. place) > 0 then return false end
  call('DEL', turns)
  call('HDEL', P .. 'fair', place)
  return true
end

-- One of each key in turn; who is alone takes all turns. Answers false where nothing was left to do.
local function take_in_turns(queue, priority, room)
  local place = queue .. ':' .. priority
  local turns, numbers, from_sets = P .. 'fair:' .. place, {}, {}
  local did_something = send_to_turns(place)
  local keyless = call('EXISTS', P .. 'ready:' .. place, about_wants().turn_of('', place)) > 0
  local nobody_left = false
  while #numbers < room do
    local keys = call('ZRANGE', turns, 0, 2)
    local fair = keys[1] ~= '' and keys[1] or not keyless and keys[2] or keys[1]
    local alone = #keys == 1 or (#keys == 2 and not keyless)
    nobody_left = fair == '' and not keyless
    if nobody_left then break end
    local take_next = fair == '' and take_keyless or take_of_key
    local some, from_set, more = take_next(place, alone and math.min(room - #numbers, MOST) or 1, fair)
    for n = 1, #some do numbers[#numbers + 1] = some[n] end
    for n = 1, #from_set do from_sets[#from_sets + 1] = from_set[n] end
    if #some == 0 and fair == '' then
      -- Nothing but gaps so far.
      did_something = true
      if more and not tired then break end
      keyless = false
    end
  end
  about_wants().leave_sets(from_sets, place)
  -- Versions that know of no turns remove without counting.
  if nobody_left then call('HSET', P .. 'fair', place, 0) end
  hand_out_known(queue, priority, numbers)
  return did_something or #numbers > 0 or close_turns(place)
end

local function give_permits_back(number, id)
  about_wants().give_back(number, id)
end

local function open_due_permits()
  about_wants().open_due()
end

-- Answers whether some are left for another time.
local function adopt_old_turns()
  local left = false
  for _, place in ipairs(call('HKEYS', P .. 'turning')) do left = about_wants().adopt(place) or left end
  return left
end
