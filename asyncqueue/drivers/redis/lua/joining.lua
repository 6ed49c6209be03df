-- include: ties
-- include: blocks
-- include: levels
-- include: numbering
-- include: rings
-- include: holders
-- include: wants

-- Jobs that are stored with their latches. A latch is told by four words: id, data, 1 if it breaks,
-- retention; a job by ten: queue, priority, delay, id, key (see enqueue), body after its two times,
-- latch or empty, letter of what it is held for or empty, 1 if it guards, what it wants or empty.
local LATCH_WORDS, JOB_WORDS = 4, 10

local function read_latches(at, count)
  local latches = {}
  for n = 1, count do
    latches[n] = new_latch(ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', tonumber(ARGV[at + 3]))
    at = at + LATCH_WORDS
  end
  return latches, at
end

local function read_jobs(at, count)
  local jobs = {}
  for n = 1, count do
    jobs[n] = { queue = ARGV[at], priority = ARGV[at + 1], delay = tonumber(ARGV[at + 2]), id = ARGV[at + 3],
      key = ARGV[at + 4], body = ARGV[at + 5], latch = ARGV[at + 6], held = ARGV[at + 7],
      guards = ARGV[at + 8] == '1', wants = ARGV[at + 9] }
    at = at + JOB_WORDS
  end
  return jobs, at
end

-- The latch that is in the way of these, and why; nil if none is.
local function latch_in_the_way(latches, jobs)
  local new = {}
  for _, l in ipairs(latches) do
    if latch_of(l.id) then return l.id, 'taken' end
    new[l.id] = true
  end
  for _, job in ipairs(jobs) do
    if job.latch ~= '' and not new[job.latch] then
      local l = latch_of(job.latch)
      if not l then return job.latch, 'unknown' end
      if l.opened >= 0 then return job.latch, 'opened' end
    end
  end
  return nil
end

-- The id of the job that has its id, or holds its key; a finished one whose retention is over goes.
local function job_in_the_way(job)
  local number = call('HGET', P .. 'ids', job.id)
  if number then
    local text = call('HGET', P .. 'state', number)
    local s = text and read_state(text)
    if not s or (s.phase ~= 'c' and s.phase ~= 'x') or s.mark > now then return job.id end
    call('ZREM', P .. 'ended:' .. s.queue .. ':' .. s.phase, number)
    untie({ number })
    forget({ number }, { job.id })
  end
  if job.key == '' then return nil end
  local name = string.sub(job.key, 9)
  local holder = read_holder(name)
  if holder then return holder end
  call('HSET', P .. 'holders', name, pack('>d', now + unpack_text('>d', job.key)) .. job.id)
  return nil
end

local function bind(job, number)
  local l = latch_of(job.latch)
  l.changed = true
  local held = job.held ~= ''
  local kind = not held and 'm' or job.guards and 'g' or 'n'
  write_tie(number, { kind = kind, on = held and job.held or '-', delay = job.delay, latch = job.latch })
  if held then
    hold(l, job.held, job.guards and 1 or 0)
    call('HSET', P .. 'held:' .. job.latch, number, job.held)
  else
    l.total = l.total + 1
    call('ZADD', P .. 'members:' .. job.latch, number, number)
  end
end

-- Store them; answers for each false or the id that is in its way, and the highest number. `first` is
-- the place of the first in the call, see numbering.
local function join(latches, jobs, places, first)
  for _, l in ipairs(latches) do
    l.changed = true
    met_latches[l.id] = l
  end
  local answers, chosen, stored, highest = {}, {}, {}, 0
  for n, job in ipairs(jobs) do
    answers[n] = job_in_the_way(job) or false
    if not answers[n] then
      chosen[#chosen + 1] = first + n - 1
      stored[#stored + 1] = job
      -- The next one must see it.
      call('HSET', P .. 'ids', job.id, '0')
    end
  end
  if #stored == 0 then return answers, 0 end
  local numbers
  numbers, highest = take_numbers(places, chosen)
  local bodies, ids, lines, rung = {}, {}, {}, {}
  for n, job in ipairs(stored) do
    local number = numbers[n]
    local due = job.delay > 0 and job.held == '' and now + job.delay or now
    bodies[2 * n - 1], bodies[2 * n] = number, pack('>dd', now, due) .. job.body
    ids[2 * n - 1], ids[2 * n] = job.id, number
    if job.latch ~= '' then bind(job, number) end
    if job.wants ~= '' then call('HSET', P .. 'wants', number, job.wants) end
    if job.held == '' then
      rung[job.queue] = true
      open_level(job.queue, job.priority)
      local place = job.queue .. ':' .. job.priority
      local fair = job.wants ~= '' and read_wants(number).fair or ''
      if due > now then
        call('ZADD', P .. 'later:' .. place, due, number)
        if fair ~= '' then open_turns(place) end
      elseif fair ~= '' then
        take_turns(number, fair, place, due)
      else
        local list = P .. 'ready:' .. place
        lines[list] = lines[list] or {}
        table.insert(lines[list], number)
      end
    end
  end
  each('HSET', P .. 'body', bodies)
  each('HSET', P .. 'ids', ids)
  count_blocks(numbers, 1)
  for list, standing in pairs(lines) do each('RPUSH', list, standing) end
  ring_all('queue:', rung)
  return answers, highest
end
