-- Store jobs, all of them or none.
--
-- ARGV     now; places, empty where this is the only shard (see numbering); then runs of jobs
--          that differ in id, key and content only: queue, priority, delay, how many, and for
--          each job: id, key, body after its two times (see read_body).
--          key: empty, or the seconds for which it is held (8 bytes, infinity for no limit) and the key.
-- Answers  0 if all were stored, else for each job false or the id that is in its way; where there
--          are other shards, this and the highest number.

-- include: common
-- include: blocks
-- include: levels
-- include: numbering
-- include: rings

local RUN, JOB = 4, 3
local count, at = 0, 3
local ids = {}
while at <= #ARGV do
  local many = tonumber(ARGV[at + 3])
  for n = 0, many - 1 do
    count = count + 1
    ids[count] = ARGV[at + RUN + n * JOB]
  end
  at = at + RUN + many * JOB
end

-- What follows is rare, and made only when it is needed.

-- A finished job whose retention is over has its id no longer, whether or not somebody swept.
local function expired(number)
-- include: states
  local text = call('HGET', P .. 'state', number)
  local s = text and read_state(text)
  if not s or (s.phase ~= 'c' and s.phase ~= 'x') or s.mark > now then return false end
  call('ZREM', P .. 'ended:' .. s.queue .. ':' .. s.phase, number)
  return true
end

local function forget_expired(numbers, ids)
-- include: forgetting
  forget(numbers, ids)
end

local function holder_of(key)
-- include: holders
  return read_holder(key)
end

local known = values(P .. 'ids', ids)
local here, held = {}, {} -- ids and keys that earlier jobs of this call have taken
local answers, refused = {}, false
local bodies, pairs_of_ids, taken_keys, numbers, lines, rung = {}, {}, {}, {}, {}, {}
local gone, gone_ids = {}, {}
local places = {}
local stored = 0
local highest = 0

local function in_the_way(n, id, key)
  if here[id] then return id end
  if known[n] then
    if not expired(known[n]) then return id end
    gone[#gone + 1], gone_ids[#gone_ids + 1] = known[n], id
  end
  if key == '' then return nil end
  local name = string.sub(key, 9)
  local holder = held[name] or holder_of(name)
  if holder then return holder end
  held[name] = id
  taken_keys[#taken_keys + 1] = name
  taken_keys[#taken_keys + 1] = pack('>d', now + unpack_text('>d', key)) .. id
  return nil
end

local n = 0
at = 3
while at <= #ARGV do
  local queue, priority, delay = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local many = tonumber(ARGV[at + 3])
  local due = delay > 0 and now + delay or now
  local head = pack('>dd', now, due)
  local line = { queue = queue, priority = priority, due = due > now and due, first = stored + 1 }
  for job = at + RUN, at + RUN + (many - 1) * JOB, JOB do
    n = n + 1
    local id = ARGV[job]
    local other = in_the_way(n, id, ARGV[job + 1])
    answers[n] = other or false
    if other then
      refused = true
    else
      stored = stored + 1
      here[id] = true
      bodies[stored] = head .. ARGV[job + 2]
      numbers[stored] = id
      places[stored] = n
    end
  end
  line.last = stored
  lines[#lines + 1] = line
  at = at + RUN + many * JOB
end

if #gone > 0 then forget_expired(gone, gone_ids) end
if stored > 0 then
  -- The first write that can fail: where memory is used up, nothing is stored yet.
  local given
  given, highest = take_numbers(ARGV[2], places)
  local into_body, into_ids = {}, {}
  for k = 1, stored do
    local number = given[k]
    into_body[2 * k - 1], into_body[2 * k] = number, bodies[k]
    into_ids[2 * k - 1], into_ids[2 * k] = numbers[k], number
    numbers[k] = number
  end
  each('HSET', P .. 'body', into_body)
  each('HSET', P .. 'ids', into_ids)
  each('HSET', P .. 'holders', taken_keys)
  count_blocks(numbers, 1)
  for _, line in ipairs(lines) do
    local standing = {}
    for k = line.first, line.last do
      if line.due then standing[#standing + 1] = line.due end
      standing[#standing + 1] = numbers[k]
    end
    if #standing > 0 then
      if line.due then
        each('ZADD', P .. 'later:' .. line.queue .. ':' .. line.priority, standing)
        open_level(line.queue, line.priority)
      else
        local length = each('RPUSH', P .. 'ready:' .. line.queue .. ':' .. line.priority, standing)
        -- A list in which somebody stands has its level.
        if length == #standing then open_level(line.queue, line.priority) end
      end
      local before = rung[line.queue]
      rung[line.queue] = (line.due or before == true)
        or (before or '') .. line.priority .. ' ' .. #standing .. ' '
    end
  end
  ring_all('queue:', rung)
end
local answer = refused and answers or 0
if ARGV[2] == '' then return answer end
return { answer, highest }
