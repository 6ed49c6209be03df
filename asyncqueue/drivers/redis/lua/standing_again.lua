-- Jobs that were taken from their line and, for an error, not leased: they are due there once more. What
-- else is in the way is passed over here, as it may be the very key of which the error tells.
local function stand_again(numbers, queue, priority, rare)
  for _, number in ipairs(numbers) do
    redis.pcall('ZREM', P .. 'leased:' .. queue, number)
    local body = redis.pcall('HGET', P .. 'body', number)
    local text = redis.pcall('HGET', P .. 'state', number)
    local content = type(body) == 'string' and rare.read_body(body)
    local s = type(text) == 'string' and rare.read_state(text)
    if content and content.wants then pcall(rare.give_back, number, content.id) end
    -- Gaps have no body, or a state of somebody who stands elsewhere.
    if body and (not s or s.phase == 'w') then
      local due = s and s.available >= 0 and s.available or content and content.available or now
      redis.pcall('ZADD', P .. 'later:' .. queue .. ':' .. priority, due, number)
    end
  end
end
