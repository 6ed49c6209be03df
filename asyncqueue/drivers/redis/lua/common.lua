-- What every script begins with: names of keys, the clock, and the two texts that make a job.
--
-- KEYS[1]  the hash tag of the shard, such as {asyncqueue:0}. All keys begin with it, so that they
--          are in one slot of a Cluster; scripts put the names together themselves.
-- ARGV[1]  the time in seconds, or empty: then the server's own clock counts.
--
-- A job is known by its number, which is given in order of dispatch and always has 13 digits, so
-- that numbers sort as text, too.
--
--   ids        hash   id -> number
--   body       hash   number -> what never changes, see read_body
--   state      hash   number -> what does, see read_state; none until a job is first claimed
--   outcome    hash   number -> result, error and traceback, packed by the client
--   progress, message   hashes by number
--   holders    hash   uniqueness key -> who holds it until when, see read_holder
--   blocks     zset   numbers of blocks (number / 1000) with a job in them; live: hash, how many
--   queues     set    names of queues; paused: set
--   levels:Q   zset   priorities of a queue that may have somebody waiting, the highest first
--   ready:Q:P  list   numbers of jobs that were due when they came. One is a gap once its job was
--                     taken out of turn: then it has a state, or no body. gaps: hash, how many
--   later:Q:P  zset   all others that wait, by the time when they are due
--   leased:Q   zset   jobs that are being processed, by the end of their lease
--   ended:Q:c, ended:Q:x   zsets   completed and cancelled jobs, by the end of their retention
--   ended:Q:f  zset   failed jobs, by the time when they failed
--   called_off hash   number -> worker and id, where the cancellation of what runs was asked for
--   workers    hash   id -> presence, packed by the client
--   damaged    hash   number -> a body that cannot be read

local P = KEYS[1] .. ':'
local IDS, BODY, STATE, OUTCOME = P .. 'ids', P .. 'body', P .. 'state', P .. 'outcome'
local PROGRESS, MESSAGE, HOLDERS = P .. 'progress', P .. 'message', P .. 'holders'
local GAPS, CALLED_OFF, QUEUES = P .. 'gaps', P .. 'called_off', P .. 'queues'
local MOST = 1000 -- arguments that are handed to one command: Lua's stack is small

local call, pack, unpack_text = redis.call, struct.pack, struct.unpack

local now
if ARGV[1] ~= '' then
  now = tonumber(ARGV[1])
else
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- A script whose first write can only shrink the store may go on when maxmemory is reached. Those
-- that make, renew or end claims need that: a full server could never get rid of anything otherwise.
local function even_when_full()
  call('DEL', P .. 'nothing')
end

-- A command with any number of arguments after the key. MOST is even: pairs stay together.
local function each(command, key, arguments)
  for first = 1, #arguments, MOST do
    call(command, key, unpack(arguments, first, math.min(first + MOST - 1, #arguments)))
  end
end

-- The values of many fields; false where there is none.
local function values(key, fields)
  if #fields <= MOST then
    return #fields == 0 and {} or call('HMGET', key, unpack(fields))
  end
  local found = {}
  for first = 1, #fields, MOST do
    local some = call('HMGET', key, unpack(fields, first, math.min(first + MOST - 1, #fields)))
    for n = 1, #some do
      found[first + n - 1] = some[n]
    end
  end
  return found
end

-- A body: created_at, available_at, key_mode (0: no key, 1: held until finished, 2: until claimed),
-- priority, the lengths of id, queue and key, these three, and then what only clients read. Nil
-- where it is no body.
local BODY_HEAD, HEAD_LENGTH = '>ddBi2I2I2I2', 25

local function read_body(text)
  local b = {}
  local fine, of_id, of_queue, of_key
  fine, b.created, b.available, b.mode, b.priority, of_id, of_queue, of_key =
    pcall(unpack_text, BODY_HEAD, text)
  local after_id = fine and HEAD_LENGTH + of_id
  local after_queue = fine and after_id + of_queue
  local after_key = fine and after_queue + of_key
  if not fine or after_key > #text then return nil end
  b.id = string.sub(text, HEAD_LENGTH + 1, after_id)
  b.queue = string.sub(text, after_id + 1, after_queue)
  b.key = string.sub(text, after_queue + 1, after_key)
  b.rest = string.sub(text, after_key + 1)
  return b
end

local function body_text(created, available, mode, priority, id, queue, key, rest)
  return pack(BODY_HEAD, created, available, mode, priority, #id, #queue, #key)
    .. id .. queue .. key .. rest
end

-- A state: phase (w waiting, p processing, c completed, x cancelled, f failed), token, attempts,
-- exceptions, priority, available_at (negative: as the body says), started_at, finished_at, mark
-- (processing: the retention to cancel it with, negative if nobody asked; ended: when it may go),
-- queue, worker, key (empty: it holds none).
local function read_state(text)
  local s = {}
  local fine
  fine, s.phase, s.token, s.attempts, s.exceptions, s.priority, s.available, s.started, s.finished,
    s.mark, s.queue, s.worker, s.key = pcall(unpack_text, '>c1I4I4I4i2ddddI2c0I2c0I2c0', text)
  return fine and s or nil
end

local function state_text(s)
  return pack('>c1I4I4I4i2ddddI2c0I2c0I2c0', s.phase, s.token, s.attempts, s.exceptions, s.priority,
    s.available, s.started, s.finished, s.mark, #s.queue, s.queue, #s.worker, s.worker,
    #s.key, s.key)
end

-- The holder of a key: until when, and the id. Nil where nobody holds it now.
local function read_holder(key)
  local text = call('HGET', HOLDERS, key)
  if not text or #text < 8 then return nil end
  if unpack_text('>d', text) <= now then return nil end
  return string.sub(text, 9)
end

local function free_key(key, id)
  local text = call('HGET', HOLDERS, key)
  if text and string.sub(text, 9) == id then
    call('HDEL', HOLDERS, key)
  end
end

local function ready_key(queue, priority) return P .. 'ready:' .. queue .. ':' .. priority end
local function later_key(queue, priority) return P .. 'later:' .. queue .. ':' .. priority end
local function leased_key(queue) return P .. 'leased:' .. queue end
local function ended_key(queue, phase) return P .. 'ended:' .. queue .. ':' .. phase end

local function open_level(queue, priority)
  call('ZADD', P .. 'levels:' .. queue, -priority, priority)
  call('SADD', QUEUES, queue)
end

local function ring(topic)
  call('PUBLISH', P .. topic, '')
end

local function ring_all(kind, names)
  for name in pairs(names) do ring(kind .. name) end
end

-- Nearly all jobs end without anybody waiting for them: those are asked for together.
local function ring_jobs(ids)
  for first = 1, #ids, MOST do
    local channels = {}
    for n = first, math.min(first + MOST - 1, #ids) do
      channels[n - first + 1] = P .. 'job:' .. ids[n]
    end
    local told = call('PUBSUB', 'NUMSUB', unpack(channels))
    for n = 2, #told, 2 do
      if told[n] > 0 then call('PUBLISH', told[n - 1], '') end
    end
  end
end

-- How many jobs there are in each block of numbers.
local function count_blocks(numbers, step)
  local change = {}
  for n = 1, #numbers do
    local number = tonumber(numbers[n])
    if number then -- None of ours otherwise.
      local block = math.floor(number / 1000)
      change[block] = (change[block] or 0) + step
    end
  end
  for block, by in pairs(change) do
    local left = call('HINCRBY', P .. 'live', block, by)
    if left <= 0 then
      call('HDEL', P .. 'live', block)
      call('ZREM', P .. 'blocks', block)
    elseif left == by then
      call('ZADD', P .. 'blocks', block, block)
    end
  end
end

-- Forget jobs that stand nowhere any more.
local function forget(numbers, ids)
  if #numbers == 0 then return end
  each('HDEL', IDS, ids)
  each('HDEL', BODY, numbers)
  each('HDEL', STATE, numbers)
  each('HDEL', OUTCOME, numbers)
  each('HDEL', PROGRESS, numbers)
  each('HDEL', MESSAGE, numbers)
  count_blocks(numbers, -1)
end
