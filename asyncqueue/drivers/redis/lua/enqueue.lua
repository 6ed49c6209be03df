-- Store jobs, all of them or none.
--
-- ARGV     now; places, empty where this is the only shard (see numbering); then runs of jobs
--          that differ in id, key and content only: queue, priority, delay, how many, 1 if all are new:
--          then nobody can have their ids, and they have no keys; else 0. Then for each job id; key,
--          unless they are new; body after its two times (see read_body).
--          key: empty, or the seconds for which it is held (8 bytes, infinity for no limit) and the key.
-- Answers  0 if all were stored, else for each job false or the id that is in its way; where there
--          are other shards, this and the highest number.

-- include: beginning
-- include: block
-- include: levels
-- include: number_text

-- Most calls store one new job that is due, in the only shard. They do as below, without what that takes;
-- where numbers are not as usual, nothing is stored here.
if #ARGV == 9 and ARGV[2] == '' and ARGV[5] == '0.0' and ARGV[7] == '1' then
  local last = redis.pcall('INCRBY', P .. 'seq', '1')
  if type(last) == 'number' and last > 1e12 then
    local queue, priority, number = ARGV[3], ARGV[4], number_text(last)
    local length = call('RPUSH', P .. 'ready:' .. queue .. ':' .. priority, number)
    if length == 1 then open_level(queue, priority) end
    call('HSET', P .. 'body', number, pack('>dd', now, now) .. ARGV[9])
    call('HSET', P .. 'ids', ARGV[8], number)
    if #number == 13 then change_block(string.sub(number, 1, 10), 1) end
    call('PUBLISH', P .. 'queue:' .. queue, priority .. ' 1 ')
    return 0
  end
end

-- include: common
-- include: blocks
-- include: numbering
-- include: rings

local RUN = 5
local count, at, all_new = 0, 3, true
while at <= #ARGV do
  local many, is_new = tonumber(ARGV[at + 3]), ARGV[at + 4] == '1'
  all_new = all_new and is_new
  count = count + many
  at = at + RUN + many * (is_new and 2 or 3)
end

-- The places of the jobs to store; for all jobs false or who is in the way, unless nobody is; the keys
-- that they take.
local chosen, answers, keys = {}, nil, nil
if all_new then
  for n = 1, count do chosen[n] = n end
else
-- include: looking_for_known
  chosen, answers, keys = look_for_known(count)
end

local highest = 0
if #chosen > 0 then
  -- The first write that can fail: where memory is used up, nothing is stored yet.
  local numbers
  numbers, highest = take_numbers(ARGV[2], chosen)
  local bodies, ids, rung = {}, {}, {}
  local n, k = 0, 0
  at = 3
  while at <= #ARGV do
    local queue, priority, delay = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    local many, width = tonumber(ARGV[at + 3]), ARGV[at + 4] == '1' and 2 or 3
    local due = delay > 0 and now + delay or now
    local score = due > now and string.format('%.17g', due)
    local head = pack('>dd', now, due)
    local standing, stored = {}, 0
    for job = at + RUN, at + RUN + (many - 1) * width, width do
      n = n + 1
      if not answers or not answers[n] then
        k, stored = k + 1, stored + 1
        local number = numbers[k]
        bodies[2 * k - 1], bodies[2 * k] = number, head .. ARGV[job + width - 1]
        ids[2 * k - 1], ids[2 * k] = ARGV[job], number
        if score then standing[#standing + 1] = score end
        standing[#standing + 1] = number
      end
    end
    if stored > 0 then
      local place = queue .. ':' .. priority
      if score then
        each('ZADD', P .. 'later:' .. place, standing)
        open_level(queue, priority)
      else
        local length = each('RPUSH', P .. 'ready:' .. place, standing)
        -- A list in which somebody stands has its level.
        if length == stored then open_level(queue, priority) end
      end
      local before = rung[queue]
      rung[queue] = (score or before == true) and true
        or (before or '') .. priority .. ' ' .. stored .. ' '
    end
    at = at + RUN + many * width
  end
  each('HSET', P .. 'body', bodies)
  each('HSET', P .. 'ids', ids)
  if keys then each('HSET', P .. 'holders', keys) end
  count_blocks(numbers, 1)
  ring_all('queue:', rung)
end
local answer = answers or 0
if ARGV[2] == '' then return answer end
return { answer, highest }
