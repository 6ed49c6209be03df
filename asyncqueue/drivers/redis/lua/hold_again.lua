-- Claims that were about to end in a script that met an error: those that stand nowhere now are held as
-- before, for long enough that they are renewed, or ended once more. What else is in the way is passed
-- over here, as it may be the very key of which the error told.
--
-- ARGV     now, then of each claim: id, number, claims.
-- Answers  how many are held again.

-- include: common
-- include: full
-- include: scores
-- include: bodies
-- include: states

local SECONDS = 10

even_when_full()

local function stands(set, number)
  return type(redis.pcall('ZSCORE', P .. set, number)) == 'string'
end

local function is_lost(s, number)
  if s.phase == 'p' then return not stands('leased:' .. s.queue, number) end
  if s.phase == 'w' then return not stands('later:' .. s.queue .. ':' .. s.priority, number) end
  return not stands('ended:' .. s.queue .. ':' .. s.phase, number)
end

local count = 0
for at = 2, #ARGV, 3 do
  local id, number, claims = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local text, body = redis.pcall('HGET', P .. 'state', number), redis.pcall('HGET', P .. 'body', number)
  local s = type(text) == 'string' and read_state(text)
  if s and s.claims % CLAIMS == claims and body and is_lost(s, number) then
    local content = type(body) == 'string' and read_body(body)
    if s.phase ~= 'p' then
      s.phase, s.worker, s.finished = 'p', '', 0
      s.mark = content and content.wants and -2 or -1
      redis.pcall('HSET', P .. 'state', number, state_text(s))
    end
    redis.pcall('HSET', P .. 'ids', id, number)
    redis.pcall('ZADD', P .. 'leased:' .. s.queue, score_of(now + SECONDS), number)
    count = count + 1
  end
end
return count
