-- Put claimed jobs aside whose bodies clients cannot read.
--
-- ARGV     now, numbers.
-- Answers  how many went.

-- include: common
-- include: full
-- include: damaging

even_when_full()

local gone = 0
for at = 2, #ARGV do
  local number = ARGV[at]
  local body, state = call('HGET', P .. 'body', number), call('HGET', P .. 'state', number)
  local s = state and read_state(state)
  if s then call('ZREM', P .. 'leased:' .. s.queue, number) end
  if body then
    gone = gone + 1
    put_aside(number, body, state)
  end
end
write_latches()
return_all()
return gone
