-- Cancel what waits, ask for the cancellation of what runs.
--
-- ARGV     now, retention, states that are meant (w waiting and due, d delayed, p, c, x, f), ids.
-- Answers  for each id the state that was met, or empty where it is none of these.

-- include: common
-- include: full
-- include: waiting
-- include: ending
-- include: rings
-- include: ties
-- include: wants

even_when_full()

local retention, meant = tonumber(ARGV[2]), ARGV[3]
local ids = {}
for at = 4, #ARGV do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
for n = 1, #numbers do numbers[n] = numbers[n] or '' end
local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)

local function cancel(number, id, s, letter)
  if letter == 'p' then
    s.mark = retention
    call('HSET', P .. 'state', number, state_text(s))
    call('HSET', P .. 'called_off', number, s.worker .. '\0' .. id)
    ring('worker:' .. s.worker)
  elseif letter == 'w' or letter == 'd' then
    finish(number, id, s, 'x', retention)
  end
end

-- Those that are held back go first: else the end of a member may let go of them in between.
local order, others = {}, {}
for n = 1, #ids do
  local content = bodies[n] and read_body(bodies[n])
  table.insert(content and content.tied and is_held(numbers[n]) and order or others, n)
end
for _, n in ipairs(others) do order[#order + 1] = n end

local answers = {}
for _, n in ipairs(order) do
  local number, content = numbers[n], bodies[n] and read_body(bodies[n])
  local known = states[n]
  local s = known and read_state(known) or content and not known and new_state(content)
  answers[n] = ''
  if content and s then
    local letter = content.tied and is_held(number) and 'd' or letter_of(s, content)
    if string.find(meant, letter, 1, true) then
      answers[n] = letter
      local waits = letter == 'w' or letter == 'd'
      local held = content.tied and is_held(number)
      local apart = waits and not held and content.wants and leave_apart(number, s.queue, s.priority)
      if waits and not held and not apart then
        leave_line(number, content, known, s.queue, s.priority)
      end
      if held then s.available = content.created + read_tie(number).delay end
      if waits and content.tied then
        tied_ended(number, 'x')
        if retention <= 0 then untie({ number }) end
      end
      cancel(number, ids[n], s, letter)
    end
  end
end
write_latches()
finish_all()
return_all()
return answers
