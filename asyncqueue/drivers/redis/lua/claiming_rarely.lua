-- include: bodies
-- include: states

-- Claiming jobs of which there are few: those with a key, a latch or limits, those that take turns, were
-- delayed or returned, and those that cannot be read.

local DAMAGED = '!' -- told instead of a state; the client puts such jobs aside

-- Nil where the body cannot be read.
local function state_with_key(body, plain)
-- include: holders
  local content = read_body(body)
  if not content then return nil end
  if content.mode == 2 then
    free_key(content.key, content.id)
  else
    plain.key = content.key
  end
  local text = state_text(plain)
  plain.key = ''
  return text
end

-- The state of a claimed job: the one it had before, or a new one. Nil where it cannot be read.
local function claimed_state(body, before, plain, plain_text, wanting_text)
  local mode = string.byte(body, 17)
  if not before then
    if mode == 0 or mode == 4 then return plain_text end
    if mode == 8 or mode == 12 then return wanting_text end
    return mode and state_with_key(body, plain)
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
  wanting = { admit = admit, open_due = open_due, read = read_wants, take_turns = take_turns }
  return wanting
end

-- Of these jobs those that may be claimed: others are set aside, or sent to wait for their turn.
local function admitted(queue, priority, numbers, bodies, states, from_later)
  local kept, kept_bodies, kept_states = {}, {}, {}
  for n = 1, #numbers do
    local number, body, before = numbers[n], bodies[n], states[n] or false
    local content = (string.byte(body, 17) or 0) >= 8 and read_body(body)
    local fine = true
    if content then
      local s = before and read_state(before)
      local due = s and s.available >= 0 and s.available or content.available
      local wants = from_later and from_later[number] and about_wants().read(number)
      if wants and wants.fair ~= '' then
        about_wants().take_turns(number, wants.fair, queue, priority)
        fine = false
      elseif not about_wants().admit(number, content.id, s and s.claims or 0, queue, priority, due) then
        fine = false
      end
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
  return kept, kept_bodies, kept_states
end

-- Lease these jobs, in this order, and tell of them.
local function hand_out(queue, priority, numbers, bodies, states, from_later)
  numbers, bodies, states = admitted(queue, priority, numbers, bodies, states, from_later)
  local plain = { phase = 'p', claims = 1, attempts = 1, exceptions = 0, priority = priority,
    available = -1, started = now, finished = 0, mark = -1, queue = queue, worker = worker,
    key = '' }
  local plain_text = state_text(plain)
  plain.mark = -2
  local wanting_text = state_text(plain)
  local leased, texts, told = {}, {}, {}
  for n = 1, #numbers do
    local number, body, before = numbers[n], bodies[n], states[n] or false
    local mode = string.byte(body, 17) or 0
    local text = claimed_state(body, before, plain, plain_text, wanting_text)
    if text then
      leased[#leased + 1], texts[#texts + 1] = number, text
    else
      before = DAMAGED
    end
    if text and mode % 8 >= 4 then before = told_of_tie(number, before) end
    told[n] = before
  end
  if #leased > 0 then lease_all(queue, leased, texts) end
  tell(numbers, bodies, told)
end

-- Of numbers from a list, those that are no gaps.
local function without_gaps(list, numbers, of_turns)
  local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
  local kept, kept_bodies, kept_states, count = {}, {}, {}, 0
  for n = 1, #numbers do
    local turn = of_turns and of_turns[numbers[n]]
    if bodies[n] and (turn or not states[n]) then
      count = count + 1
      kept[count], kept_bodies[count], kept_states[count] = numbers[n], bodies[n], turn and states[n]
    end
  end
  local gaps = #numbers - count
  if gaps > 0 and call('HINCRBY', P .. 'gaps', list, -gaps) <= 0 then call('HDEL', P .. 'gaps', list) end
  return kept, kept_bodies, kept_states
end

-- For each turn that a list tells of the next number of that key. Who is alone takes all turns.
local function without_turns(queue, priority, list, numbers, room)
  local found = false
  for n = 1, #numbers do found = found or string.sub(numbers[n], 1, 1) == '~' end
  if not found then return numbers, nil end
  local place = queue .. ':' .. priority
  local alone = #numbers == 1 and call('EXISTS', list) == 0
  local kept, of_turns = {}, {}
  for _, number in ipairs(numbers) do
    if string.sub(number, 1, 1) ~= '~' then
      kept[#kept + 1] = number
    else
      local fair = string.sub(number, 2)
      local turn = P .. 'turn:' .. place .. ':' .. fair
      local next = call('LPOP', turn, alone and room or 1) or {}
      for _, one in ipairs(next) do
        kept[#kept + 1] = one
        of_turns[one] = true
      end
      if call('HINCRBY', P .. 'turning', place, -#next) <= 0 then call('HDEL', P .. 'turning', place) end
      if call('EXISTS', turn) == 1 then
        call('RPUSH', list, number)
      else
        call('SREM', P .. 'turns:' .. place, fair)
      end
    end
  end
  return kept, of_turns
end

-- Hand out what was taken from a list.
local function hand_out_list(queue, priority, list, numbers, room)
  local of_turns
  numbers, of_turns = without_turns(queue, priority, list, numbers, room)
  local kept, bodies, states = without_gaps(list, numbers, of_turns)
  hand_out(queue, priority, kept, bodies, states)
end

-- Take at least so many from a list that are no gaps, as far as it has them. Answers also whether there
-- may be more of them: behind a crowd of gaps the next round looks on.
local function take_first(list, count)
  local kept, kept_bodies, look = {}, {}, count
  while #kept < count do
    local numbers = call('LPOP', list, look)
    if not numbers then return kept, kept_bodies, false end
    local some, some_bodies = without_gaps(list, numbers)
    for n = 1, #some do
      local at = #kept + 1
      kept[at], kept_bodies[at] = some[n], some_bodies[n]
    end
    if look >= MOST then break end
    look = math.min(2 * look, MOST)
  end
  return kept, kept_bodies, true
end

-- Some are due that stood in no list: they go between the others by the time when they became due,
-- then by number.
local function take_merged(queue, priority, due)
  local list, later = P .. 'ready:' .. queue .. ':' .. priority, P .. 'later:' .. queue .. ':' .. priority
  local room = #due / 2
  -- What is not claimed of them comes back to the front below.
  local kept, kept_bodies, more = take_first(list, room)
  local numbers, bodies, from_later = {}, {}, {}
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
      from_later[#from_later + 1] = due[b]
      b = b + 2
    else
      numbers[#numbers + 1] = kept[a]
      bodies[#numbers] = kept_bodies[a]
      a = a + 1
    end
  end
  local back = {}
  for n = #kept, a, -1 do back[#back + 1] = kept[n] end
  if #back > 0 then each('LPUSH', list, back) end
  if #from_later > 0 then
    each('ZREM', later, from_later)
    local found = values(P .. 'body', from_later)
    local m = 0
    for n = 1, #numbers do
      if not bodies[n] then
        m = m + 1
        bodies[n] = found[m]
      end
    end
  end
  local states = values(P .. 'state', numbers)
  local whole, whole_bodies, whole_states = {}, {}, {}
  for n = 1, #numbers do
    if bodies[n] then
      whole[#whole + 1] = numbers[n]
      whole_bodies[#whole], whole_states[#whole] = bodies[n], states[n]
    end
  end
  local came_later = {}
  for _, number in ipairs(from_later) do came_later[number] = true end
  hand_out(queue, priority, whole, whole_bodies, whole_states, came_later)
end

-- Where keys take turns, those that became due go before: to their turns, or to be claimed.
local function take_later(queue, priority, due)
  local numbers, came_later = {}, {}
  for n = 1, #due, 2 do
    numbers[#numbers + 1] = due[n]
    came_later[due[n]] = true
  end
  each('ZREM', P .. 'later:' .. queue .. ':' .. priority, numbers)
  local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)
  local whole, whole_bodies, whole_states = {}, {}, {}
  for n = 1, #numbers do
    if bodies[n] then
      whole[#whole + 1] = numbers[n]
      whole_bodies[#whole], whole_states[#whole] = bodies[n], states[n]
    end
  end
  hand_out(queue, priority, whole, whole_bodies, whole_states, came_later)
end

-- Take those who are due, and who stood in no list.
local function take_due(queue, priority, room)
  local place = queue .. ':' .. priority
  local due = call('ZRANGEBYSCORE', P .. 'later:' .. place, '-inf', now, 'WITHSCORES', 'LIMIT', 0, room)
  local take = call('EXISTS', P .. 'turns:' .. place) == 1 and take_later or take_merged
  take(queue, priority, due)
end

local function open_due_permits()
  about_wants().open_due()
end
