-- Move failed jobs back to their queues, as if they were dispatched now. Their tokens go on.
--
-- ARGV     now, ids in the order in which they are to wait.
-- Answers  the ids that were moved.

-- include: common
-- include: forgetting
-- include: returning

local ids = {}
for at = 2, #ARGV do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
for n = 1, #numbers do numbers[n] = numbers[n] or '' end
local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)

local moved, fresh = {}, {}
for n = 1, #ids do
  local old, content = numbers[n], bodies[n] and read_body(bodies[n])
  local s = states[n] and read_state(states[n])
  if content and s and s.phase == 'f' and not fresh[ids[n]] then
    local number = string.format('%.0f', call('INCR', P .. 'seq'))
    fresh[ids[n]] = true
    moved[#moved + 1] = ids[n]
    call('HSET', P .. 'body', number,
      body_text(now, now, 0, s.priority, ids[n], s.queue, '', content.rest))
    call('ZREM', P .. 'ended:' .. s.queue .. ':f', old)
    forget({ old }, { ids[n] })
    call('HSET', P .. 'ids', ids[n], number)
    count_blocks({ number }, 1)
    s.attempts, s.exceptions, s.started, s.finished, s.mark = 0, 0, -1, 0, -1
    put_back(number, s, now)
  end
end
return_all()
return moved
