-- include: states
-- include: forgetting
-- include: holders

-- Jobs whose ids others may have, or that have keys.

-- A finished job whose retention is over has its id no longer, whether or not somebody swept.
local function expired(number)
  local text = call('HGET', P .. 'state', number)
  local s = text and read_state(text)
  if not s or (s.phase ~= 'c' and s.phase ~= 'x') or s.mark > now then return false end
  call('ZREM', P .. 'ended:' .. s.queue .. ':' .. s.phase, number)
  return true
end

-- Answers as the script says.
local function look_for_known(count)
  local ids, keys, n, at = {}, {}, 0, 3
  while at <= #ARGV do
    local width = ARGV[at + 4] == '1' and 2 or 3
    local after = at + RUN + tonumber(ARGV[at + 3]) * width
    for job = at + RUN, after - 1, width do
      n = n + 1
      ids[n], keys[n] = ARGV[job], width == 3 and ARGV[job + 1] or ''
    end
    at = after
  end
  local known = values(P .. 'ids', ids)
  local here, held = {}, {} -- ids and keys that earlier jobs of this call have taken
  local chosen, answers, refused, taken = {}, {}, false, {}
  local gone, gone_ids = {}, {}

  local function in_the_way(id, key, number)
    if here[id] then return id end
    if number then
      if not expired(number) then return id end
      gone[#gone + 1], gone_ids[#gone_ids + 1] = number, id
    end
    if key == '' then return false end
    local name = string.sub(key, 9)
    local holder = held[name] or read_holder(name)
    if holder then return holder end
    held[name] = id
    taken[#taken + 1] = name
    taken[#taken + 1] = pack('>d', now + unpack_text('>d', key)) .. id
    return false
  end

  for n = 1, count do
    local id = ids[n]
    answers[n] = in_the_way(id, keys[n], known[n])
    if answers[n] then
      refused = true
    else
      here[id] = true
      chosen[#chosen + 1] = n
    end
  end
  if #gone > 0 then forget(gone, gone_ids) end
  return chosen, refused and answers or nil, taken
end
