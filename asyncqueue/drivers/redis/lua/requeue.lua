-- Move failed jobs back to their queues, as if they were dispatched now. Their tokens go on.
--
-- ARGV     now, places (see numbering), ids in the order in which they are to wait.
-- Answers  the ids that were moved, and the highest number.

-- include: common
-- include: forgetting
-- include: numbering
-- include: returning
-- include: ties
-- include: wants

local ids = {}
for at = 3, #ARGV do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
for n = 1, #numbers do numbers[n] = numbers[n] or '' end
local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)

local moved, chosen, standings, met = {}, {}, {}, {}
for n = 1, #ids do
  local s = bodies[n] and states[n] and read_state(states[n])
  if s and s.phase == 'f' and read_body(bodies[n]) and not met[ids[n]] then
    met[ids[n]] = true
    moved[#moved + 1], chosen[#chosen + 1] = ids[n], n
    standings[n] = s
  end
end
if #moved == 0 then return { moved, 0 } end

local fresh, highest = take_numbers(ARGV[2], chosen)
for m, n in ipairs(chosen) do
  local s, old, number = standings[n], numbers[n], fresh[m]
  local content = read_body(bodies[n])
  call('HSET', P .. 'body', number,
    body_text(now, now, (content.tied and 4 or 0) + (content.wants and 8 or 0), s.priority, ids[n], s.queue, '', content.rest))
  call('ZREM', P .. 'ended:' .. s.queue .. ':f', old)
  local tie = content.tied and read_tie(old)
  local wants = content.wants and call('HGET', P .. 'wants', old)
  untie({ old })
  forget({ old }, { ids[n] })
  if tie then bind_again(number, tie) end
  if wants then call('HSET', P .. 'wants', number, wants) end
  call('HSET', P .. 'ids', ids[n], number)
  count_blocks({ number }, 1)
  s.attempts, s.exceptions, s.started, s.finished, s.mark = 0, 0, -1, 0, -1
  put_back(number, s, now)
end
write_latches()
return_all()
return { moved, highest }
