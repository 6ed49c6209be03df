-- Return jobs whose lease ran out; forget ended ones whose retention is over.
--
-- ARGV     now, how many jobs to look at in each set at most.
-- Answers  how many were returned, and 1 if there is more to do; then the numbers of those that were put
--          aside, as they cannot be read.

-- include: common
-- include: full
-- include: scores
-- include: ending
-- include: returning
-- include: expiring
-- include: damaging

even_when_full()

local most = tonumber(ARGV[2])
local count, more, damaged = 0, 0, {}
local swept = {} -- By queue. They leave its set when all of it is written: an error loses none.

local function sweep_leased(queue)
  local over = call('ZRANGEBYSCORE', P .. 'leased:' .. queue, '-inf', score_of(now), 'LIMIT', 0, most)
  if #over == 0 then return end
  if #over == most then more = 1 end
  swept[queue] = over
  local states, bodies = values(P .. 'state', over), values(P .. 'body', over)
  for n = 1, #over do
    local s = states[n] and read_state(states[n])
    local body = bodies[n] and read_body(bodies[n])
    if s and body and s.phase == 'p' then
      if body.wants then give_back(over[n], body.id) end
      if s.mark >= 0 then
        if body.tied then tied_ended(over[n], 'x') end
        if body.tied and s.mark <= 0 then untie({ over[n] }) end
        finish(over[n], body.id, s, 'x', s.mark)
      else
        count = count + 1
        put_back(over[n], s, s.available >= 0 and s.available or body.available)
      end
    elseif bodies[n] and states[n] and not (s and body) then
      damaged[#damaged + 1] = over[n]
      put_aside(over[n], bodies[n], states[n])
    end
  end
end

for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  sweep_leased(queue)
  if expire(P .. 'ended:' .. queue .. ':c', score_of(now), most) == most then more = 1 end
  if expire(P .. 'ended:' .. queue .. ':x', score_of(now), most) == most then more = 1 end
end
if forget_old_latches(most) == most then more = 1 end
write_latches()
finish_all()
return_all()
for queue, over in pairs(swept) do each('ZREM', P .. 'leased:' .. queue, over) end
return { count, more, unpack(damaged) }
