-- Forget ended jobs whose retention is over, and failed ones that are old.
--
-- ARGV     now, seconds for which a failed job is kept, how many to forget in each set at most.
-- Answers  how many went, and 1 if there is more to do.

-- include: common
-- include: empty_blocks
-- include: full
-- include: scores
-- include: expiring

even_when_full()

local most = tonumber(ARGV[3])
local count, more = 0, 0
local function take(gone)
  count = count + gone
  if gone == most then more = 1 end
end

for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  local levels = P .. 'levels:' .. queue
  local completed, cancelled = P .. 'ended:' .. queue .. ':c', P .. 'ended:' .. queue .. ':x'
  local failed, leased = P .. 'ended:' .. queue .. ':f', P .. 'leased:' .. queue
  take(expire(completed, score_of(now), most))
  take(expire(cancelled, score_of(now), most))
  take(expire(failed, now - tonumber(ARGV[2]), most))
  if call('EXISTS', levels, completed, cancelled, failed, leased) == 0 then
    call('SREM', P .. 'queues', queue)
  end
end
local blocks = call('ZRANGE', P .. 'blocks', 0, most - 1, 'WITHSCORES')
for n = 1, #blocks, 2 do
  if is_block(blocks[n], blocks[n + 1]) then
    forget_empty(blocks[n])
  else
    call('ZREM', P .. 'blocks', blocks[n])
  end
end
if forget_old_latches(most) == most then more = 1 end
return { count, more }
