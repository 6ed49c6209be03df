-- Put claimed jobs aside whose bodies clients cannot read.
--
-- ARGV     now, numbers.
-- Answers  how many went.

-- include: common
-- include: full
-- include: states
-- include: bodies
-- include: forgetting
-- include: ties
-- include: wants

even_when_full()

local gone = 0
for at = 2, #ARGV do
  local number = ARGV[at]
  local body, state = call('HGET', P .. 'body', number), call('HGET', P .. 'state', number)
  local s = state and read_state(state)
  if s then call('ZREM', P .. 'leased:' .. s.queue, number) end
  if body then
    gone = gone + 1
    call('HSET', P .. 'damaged', number, body)
    local content = read_body(body)
    local id = body and read_body(body)
    if id and id.wants then give_back(number, id.id) end
    tied_ended(number, 'x')
    untie({ number })
    forget({ number }, { content and content.id or '' })
  end
end
write_latches()
return_all()
return gone
