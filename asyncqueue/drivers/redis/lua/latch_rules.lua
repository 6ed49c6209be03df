-- A latch: its flags, instants and counts (see asyncqueue.drivers.latching, whose rules these are),
-- the error of the first member that failed, and what only clients read.
local LATCH = '>BBBBdddi4i4i4i4i4i4i4BI4c0I4c0'

local function read_latch(id, text)
  local l = { id = id }
  local fine, breaks, called_off, broken, ended, has_error, error
  fine, breaks, called_off, broken, ended, l.retention, l.created, l.opened, l.total, l.completed, l.failed,
    l.skipped, l.guards, l.success_guards, l.failure_guards, has_error, error, l.data =
    pcall(unpack_text, LATCH, text)
  if not fine then return nil end
  l.breaks, l.called_off, l.broken, l.ended = breaks == 1, called_off == 1, broken == 1, ended == 1
  l.error = has_error == 1 and error or nil
  return l
end

local function latch_text(l)
  local function bit(flag) return flag and 1 or 0 end
  local error = l.error or ''
  return pack(LATCH, bit(l.breaks), bit(l.called_off), bit(l.broken), bit(l.ended), l.retention, l.created,
    l.opened, l.total, l.completed, l.failed, l.skipped, l.guards, l.success_guards, l.failure_guards,
    bit(l.error), #error, error, #l.data, l.data)
end

local function new_latch(id, data, breaks, retention)
  return { id = id, data = data, breaks = breaks, retention = retention, created = now, opened = -1,
    total = 0, completed = 0, failed = 0, skipped = 0, guards = 0, success_guards = 0,
    failure_guards = 0, called_off = false, broken = false, ended = false }
end

local function at_end(l)
  return l.opened >= 0 and l.guards <= 0 and not l.ended
end

-- What each of these answers: the letters of those to let go of, of those to drop, and whether it
-- broke and whether it opened.

local function open_latch(l, let_go, broke)
  l.opened = now
  local drop = ''
  if l.failed > 0 or l.skipped > 0 then
    drop = 's'
  else
    let_go = let_go .. 's'
    l.guards = l.guards + l.success_guards
  end
  -- Also whoever came after the first failure.
  if not string.find(let_go, 'f', 1, true) then drop = drop .. 'f' end
  if at_end(l) then
    l.ended = true
    let_go = let_go .. 'e'
  end
  return let_go, drop, broke, true
end

-- A member ended as c, f or x, which stands for removed as well.
local function member_ended(l, phase, error)
  local let_go, broke = '', false
  if phase == 'c' then
    l.completed = l.completed + 1
  elseif phase == 'f' then
    l.failed = l.failed + 1
    broke = l.breaks and not l.called_off and l.opened < 0
    l.called_off = l.called_off or broke
    if not l.broken and l.opened < 0 then
      l.broken, l.error = true, error
      let_go = 'f'
      l.guards = l.guards + l.failure_guards
    end
  else
    l.skipped = l.skipped + 1
  end
  local pending = l.total - l.completed - l.failed - l.skipped
  if pending > 0 or l.opened >= 0 then return let_go, '', broke, false end
  return open_latch(l, let_go, broke)
end

local function guard_ended(l)
  l.guards = l.guards - 1
  if not at_end(l) then return '', '', false, false end
  l.ended = true
  return 'e', '', false, false
end

local function hold(l, on, guards)
  if on == 's' then
    l.success_guards = l.success_guards + guards
  elseif on == 'f' then
    l.failure_guards = l.failure_guards + guards
  end
end
