-- include: latch_rules
-- include: bodies
-- include: states
-- include: forgetting
-- include: holders
-- include: returning
-- include: ringing_jobs

-- What binds a job to a latch: m a member, e one that nobody calls off, g a job that guards, n any other;
-- - or, while it is held back, until when (s, f, e); its delay from then; the id of the latch.
local function read_tie(number)
  local text = call('HGET', P .. 'ties', number)
  if not text or #text < 10 then return nil end
  local kind, on, delay = unpack_text('>c1c1d', text)
  return { kind = kind, on = on, delay = delay, latch = string.sub(text, 11) }
end

local function write_tie(number, tie)
  call('HSET', P .. 'ties', number, pack('>c1c1d', tie.kind, tie.on, tie.delay) .. tie.latch)
end

local function is_held(number)
  local tie = read_tie(number)
  return tie ~= nil and tie.on ~= '-'
end

-- Latches that this script has looked at; those that changed are written by write_latches.
local met_latches = {}
local forget_latches

-- One whose retention is over is known no longer, whether or not somebody swept.
local function latch_of(id)
  local l = met_latches[id]
  if l == nil then
    local text = call('HGET', P .. 'latches', id)
    l = text and read_latch(id, text) or false
    if l and l.ended and l.opened + l.retention <= now then
      forget_latches({ id })
      l = false
    end
    met_latches[id] = l
  end
  return l or nil
end

local function write_latches()
  local texts = {}
  for id, l in pairs(met_latches) do
    if l and l.changed then
      texts[#texts + 1], texts[#texts + 2] = id, latch_text(l)
      if l.ended then call('ZADD', P .. 'latch_ends', l.opened + l.retention, id) end
    end
  end
  each('HSET', P .. 'latches', texts)
end

-- Nothing binds these jobs any more: they are about to be forgotten.
local function untie(numbers)
  for _, number in ipairs(numbers) do
    local tie = read_tie(number)
    if tie then
      call('HDEL', P .. 'ties', number)
      call('ZREM', P .. 'members:' .. tie.latch, number)
    end
  end
end

-- Keep what cannot be read apart from all others.
local function set_apart(number, body, id)
  call('HSET', P .. 'damaged', number, body)
  untie({ number })
  forget({ number }, { id })
end

-- Answers false where it cannot be read.
local function let_go_of(number, tie)
  local text = call('HGET', P .. 'body', number)
  local body = text and read_body(text)
  if not tie or not body then
    if text then set_apart(number, text, body and body.id or '') end
    return false
  end
  tie.on = '-'
  write_tie(number, tie)
  put_back(number, { phase = 'w', claims = 0, attempts = 0, exceptions = 0, priority = body.priority,
    available = -1, started = -1, finished = 0, mark = -1, queue = body.queue, worker = '',
    key = body.key }, now + tie.delay)
  return true
end

local function drop_held(number)
  local body = read_body(call('HGET', P .. 'body', number) or '')
  untie({ number })
  if body and body.key ~= '' then free_key(body.key, body.id) end
  forget({ number }, { body and body.id or '' })
  if body then ring_jobs({ body.id }) end
end

local function take_effect(l, let_go, drop)
  l.changed = true
  if let_go == '' and drop == '' then return end
  local key = P .. 'held:' .. l.id
  local held = call('HGETALL', key)
  local numbers = {}
  for n = 1, #held, 2 do numbers[#numbers + 1] = { held[n], held[n + 1] } end
  table.sort(numbers, function(one, other) return one[1] < other[1] end)
  local guards = 0
  for _, one in ipairs(numbers) do
    local number, tie = one[1], read_tie(one[1])
    local on = tie and tie.on or one[2]
    if #on == 1 and string.find(let_go, on, 1, true) then
      call('HDEL', key, number)
      if not let_go_of(number, tie) and (not tie or tie.kind == 'g') then guards = guards + 1 end
    elseif #on == 1 and string.find(drop, on, 1, true) then
      call('HDEL', key, number)
      drop_held(number)
    end
  end
  -- Nobody waits for one that never runs.
  for _ = 1, guards do take_effect(l, guard_ended(l), '') end
end

-- A job that is bound ended, or went before it did; answers its latch, and whether it broke and
-- opened, where a member was counted.
local function tied_ended(number, phase, error)
  local tie = read_tie(number)
  local l = tie and latch_of(tie.latch)
  if not l then return nil end
  if tie.on ~= '-' then
    call('HDEL', P .. 'held:' .. tie.latch, number)
    hold(l, tie.on, tie.kind == 'g' and -1 or 0)
    l.changed = true
    tie.on, tie.kind = '-', 'n'
    write_tie(number, tie)
  elseif tie.kind == 'm' or tie.kind == 'e' then
    local let_go, drop, broke, opened = member_ended(l, phase, error)
    take_effect(l, let_go, drop)
    return l, broke, opened
  elseif tie.kind == 'g' then
    tie.kind = 'n'
    write_tie(number, tie)
    local let_go, drop = guard_ended(l)
    take_effect(l, let_go, drop)
  end
  return nil
end

-- A failed job that is bound waits again, under another number.
local function bind_again(number, tie)
  local l = latch_of(tie.latch)
  if tie.kind == 'm' or tie.kind == 'e' then
    tie.kind = 'e'
    if l then
      l.failed, l.changed = l.failed - 1, true
      call('ZADD', P .. 'members:' .. tie.latch, number, number)
    end
  else
    tie.kind = 'n'
  end
  write_tie(number, tie)
end

-- Forget latches, with those that they hold back.
forget_latches = function(ids)
  for _, id in ipairs(ids) do
    for _, number in ipairs(call('HKEYS', P .. 'held:' .. id)) do drop_held(number) end
    call('DEL', P .. 'held:' .. id, P .. 'members:' .. id)
    call('HDEL', P .. 'latches', id)
    call('ZREM', P .. 'latch_ends', id)
    met_latches[id] = false
  end
end

local function forget_old_latches(most)
  local old = call('ZRANGEBYSCORE', P .. 'latch_ends', '-inf', now, 'LIMIT', 0, most)
  forget_latches(old)
  return #old
end
