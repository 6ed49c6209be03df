-- include: bodies
-- include: states
-- include: holders
-- include: ties
-- include: wants

-- Jobs that cannot be read: what they hold is free for others.

-- The id of a job whose body does not tell it, if it holds something under its id.
local function id_of(number, key)
  local ids = { key ~= '' and string.sub(call('HGET', P .. 'holders', key) or '', 9) or '' }
  local w = read_wants(number)
  for _, limit in ipairs(w and w.limits or {}) do
    for _, holder in ipairs(call('ZRANGE', P .. 'permits:' .. limit.key, 0, MOST - 1)) do
      ids[#ids + 1] = holder
    end
  end
  for _, id in ipairs(ids) do
    if call('HGET', P .. 'ids', id) == number then return id end
  end
  return ''
end

local function put_aside(number, body, state)
  local content, s = read_body(body), state and read_state(state)
  local key = content and content.key or s and s.key or ''
  local id = content and content.id or id_of(number, key)
  if key ~= '' then free_key(key, id) end
  tied_ended(number, 'x')
  give_back(number, id)
  set_apart(number, body, id)
end
