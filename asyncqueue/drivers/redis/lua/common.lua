-- What every script begins with. Pieces beside it are put in where `include` names them, each once:
-- making a function takes Redis a fifth of a microsecond, so scripts have those they use.
--
-- KEYS[1]  the hash tag of the shard, such as {asyncqueue:0}. All keys begin with it, so that they
--          are in one slot of a Cluster; scripts put the names together themselves.
-- ARGV[1]  the time in seconds, or empty: then the server's own clock counts.
--
-- A job is known by its number, which is given in order of dispatch and always has 13 digits, so
-- that numbers sort as text, too. Several shards give numbers of their own, see numbering.
--
--   about      hash   shards: how many there are
--   seq        the number that was given last
--   ids        hash   id -> number
--   body       hash   number -> what never changes, see bodies
--   state      hash   number -> what does, see states; none until a job is first claimed
--   outcome    hash   number -> result, error and traceback, packed by the client
--   progress, message   hashes by number
--   holders    hash   uniqueness key -> who holds it until when, see holders
--   blocks     zset   numbers of blocks (number / 1000) with a job in them; live: hash, how many and 1
--   queues     set    names of queues; paused: set
--   levels:Q   zset   priorities of a queue that may have somebody waiting, the highest first
--   ready:Q:P  list   numbers of jobs that were due when they came. One is a gap once its job was
--                     taken out of turn: then it has a state, or no body. gaps: hash, how many
--   later:Q:P  zset   all others that wait, by the time when they are due
--   leased:Q   zset   jobs that are being processed, by the end of their lease, in milliseconds
--   ended:Q:c, ended:Q:x   zsets   completed and cancelled jobs, by the end of their retention, likewise
--   ended:Q:f  zset   failed jobs, by the time when they failed
--   called_off hash   number -> worker and id, where the cancellation of what runs was asked for
--   history    hash   number -> what settlements told of attempts
--   latches    hash   id -> a latch, see latch_rules; latch_ends: zset, when each may go
--   wants      hash   number -> the limits and the fair key of a job, see wants
--   permits:K  zset   who holds a permit of a key, by when it expires; opening: zset, keys that somebody
--                     waits for by when there may be one
--   aside      hash   number -> key of the permit that it waits for; aside:Q:P, aside_for:K:Q:P: zsets of
--                     these by due time; aside_at:K: set of their Q:P
--   fair:Q:P   zset   fair keys by their next turn, and the empty one, as long as anybody with a key waits
--                     here, due or not; fair: hash, how many are due by Q:P, see turns
--   ties       hash   number -> what binds a job to its latch, see ties
--   members:L  zset   numbers of the members of a latch, by number; held:L: hash, those it holds back
--   workers    hash   id -> presence, packed by the client
--   damaged    hash   number -> a body that cannot be read

-- include: beginning

-- A command with any number of arguments after the key; answers its last reply. MOST is even: pairs
-- stay together.
local function each(command, key, arguments)
  local reply
  for first = 1, #arguments, MOST do
    reply = call(command, key, unpack(arguments, first, math.min(first + MOST - 1, #arguments)))
  end
  return reply
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
