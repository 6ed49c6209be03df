-- Who is present, and what each of them holds.
--
-- ARGV     now.
-- Answers  two lists: for each present worker its id and presence; for each job that is being
--          processed its worker and id.

-- include: common
-- include: states
-- include: bodies

local present, held = {}, {}
local all = call('HGETALL', P .. 'workers')
for n = 1, #all, 2 do
  if #all[n + 1] >= 8 and unpack_text('>d', all[n + 1]) > now then
    present[#present + 1] = all[n]
    present[#present + 1] = string.sub(all[n + 1], 9)
  end
end
if #present == 0 then return { present, held } end
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  local numbers = call('ZRANGE', P .. 'leased:' .. queue, 0, -1)
  local states, bodies = values(P .. 'state', numbers), values(P .. 'body', numbers)
  for n = 1, #numbers do
    local s, body = states[n] and read_state(states[n]), bodies[n] and read_body(bodies[n])
    if s and body then
      held[#held + 1] = s.worker
      held[#held + 1] = body.id
    end
  end
end
return { present, held }
