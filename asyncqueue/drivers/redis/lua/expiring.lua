-- include: bodies
-- include: forgetting
-- include: ties

-- Forget what stands in a set of ended jobs up to a score; answers how many that were.
local function expire(set, score, most)
  local old = call('ZRANGEBYSCORE', set, '-inf', score, 'LIMIT', 0, most)
  if #old == 0 then return 0 end
  each('ZREM', set, old)
  local bodies, there, ids, bound = values(P .. 'body', old), {}, {}, {}
  for n = 1, #old do
    if bodies[n] then
      local body = read_body(bodies[n])
      there[#there + 1], ids[#ids + 1] = old[n], body and body.id or ''
      if body and body.tied then bound[#bound + 1] = old[n] end
    end
  end
  untie(bound)
  forget(there, ids)
  return #old
end
