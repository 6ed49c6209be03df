-- Remove jobs that are not being processed.
--
-- ARGV     now, states that are meant (w waiting and due, d delayed, c, x, f), ids.
-- Answers  how many went.

-- include: common
-- include: full
-- include: waiting
-- include: holders
-- include: forgetting
-- include: ringing_jobs
-- include: ties
-- include: wants

even_when_full()

local meant = ARGV[2]
local ids = {}
for at = 3, #ARGV do ids[#ids + 1] = ARGV[at] end
local numbers = values(P .. 'ids', ids)
for n = 1, #numbers do numbers[n] = numbers[n] or '' end
local bodies, states = values(P .. 'body', numbers), values(P .. 'state', numbers)

local gone, gone_ids, seen = {}, {}, {}
for n = 1, #ids do
  local number, content, known = numbers[n], bodies[n] and read_body(bodies[n]), states[n]
  local s = known and read_state(known) or content and not known and new_state(content)
  if content and s and not seen[number] then
    local held = content.tied and is_held(number)
    local letter = held and 'd' or letter_of(s, content)
    if letter ~= 'p' and string.find(meant, letter, 1, true) then
      seen[number] = true
      if letter == 'w' or letter == 'd' then
        local apart = not held and content.wants and leave_apart(number, s.queue, s.priority)
        if not held and not apart then leave_line(number, content, known, s.queue, s.priority) end
        if content.tied then tied_ended(number, 'x') end
        if s.key ~= '' then free_key(s.key, ids[n]) end
      else
        call('ZREM', P .. 'ended:' .. s.queue .. ':' .. s.phase, number)
      end
      if content.tied then untie({ number }) end
      gone[#gone + 1], gone_ids[#gone_ids + 1] = number, ids[n]
    end
  end
end
write_latches()
return_all()
forget(gone, gone_ids)
ring_jobs(gone_ids)
return #gone
