-- Forget what stands in a set of ended jobs up to a score; answers how many that were.
local function expire(set, score, most)
  local old = call('ZRANGEBYSCORE', set, '-inf', score, 'LIMIT', 0, most)
  if #old == 0 then return 0 end
  each('ZREM', set, old)
  local bodies, ids = values(BODY, old), {}
  for n = 1, #old do
    local body = bodies[n] and read_body(bodies[n])
    ids[n] = body and body.id or ''
  end
  forget(old, ids)
  return #old
end
