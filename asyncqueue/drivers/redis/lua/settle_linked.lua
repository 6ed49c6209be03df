-- End claims of jobs that are bound to a latch, have follow-ups, or tell of an attempt. Each counts only
-- if it is the newest of its job, and once.
--
-- ARGV     now, places of the follow-ups (see numbering), then for each settlement: id; number; phase,
--          claims, attempts, exceptions, delay, retention, packed; outcome (empty for none); error,
--          empty or = and the text; attempt (empty for none); how many latches and jobs follow; these
--          (see joining).
-- Answers  for each 1 if it was still held, else 0; or, for a member that ended: its latch, and 1 if it
--          broke, and 1 if it opened; and the highest number. Where the follow-ups of one cannot be
--          stored, it changes nothing, nor do those after it: then the latch that is in the way
--          comes third, and why.

-- include: common
-- include: full
-- include: ending
-- include: joining

even_when_full()

local highest, place, ended_here, ended_ids = 0, 1, {}, {}

local function counted(l, broke, opened)
  return { latch_text(l), broke and 1 or 0, opened and 1 or 0 }
end

local function end_job(number, id, s, phase, delay, retention, error)
  local called_off = s.mark >= 0
  if phase == 'w' or phase == 'd' then
    if not called_off then
      put_back(number, s, phase == 'w' and due_time(number, s) or now + math.max(0, delay))
      return 1
    end
    phase, retention = 'x', s.mark
  end
  local l, broke, opened = tied_ended(number, phase, error)
  if phase ~= 'f' and retention <= 0 then untie({ number }) end
  finish(number, id, s, phase, retention)
  return l and counted(l, broke, opened) or 1
end

-- The latch that will open when this job ends; nil where none does.
local function opened_by(number, s, phase)
  local ends = (phase ~= 'w' and phase ~= 'd') or s.mark >= 0
  local tie = ends and read_tie(number)
  local l = tie and tie.on == '-' and (tie.kind == 'm' or tie.kind == 'e') and latch_of(tie.latch)
  if l and l.total - l.completed - l.failed - l.skipped == 1 then return l.id end
  return nil
end

local function in_the_way(number, s, phase, latches, jobs)
  if #jobs == 0 then return nil end
  local id, why = latch_in_the_way(latches, jobs)
  if id then return id, why end
  local opened = opened_by(number, s, phase)
  for _, job in ipairs(jobs) do
    if opened and job.latch == opened then return opened, 'opened' end
  end
  return nil
end

-- What ended before is gone at the end of all; for one that follows and has the same id it is now.
local function make_room(jobs)
  for _, job in ipairs(jobs) do
    if ended_ids[job.id] then
      forget(ending.numbers, ending.ids)
      ending.numbers, ending.ids, ended_ids = {}, {}, {}
      return
    end
  end
end

local answers = {}
local at, refused, why = 3, nil, nil
while at <= #ARGV and not refused do
  local id, number, outcome, error, attempt = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local phase, claims, attempts, exceptions, delay, retention =
    unpack_text('>c1I4I4I4dd', ARGV[at + 2])
  local latches, jobs
  latches, jobs = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  latches, at = read_latches(at + 8, latches)
  jobs, at = read_jobs(at, jobs)
  local text = call('HGET', P .. 'state', number)
  local s = text and read_state(text)
  local answer = 0
  local held = s and s.phase == 'p' and s.claims % CLAIMS == claims and not ended_here[number]
  if held then refused, why = in_the_way(number, s, phase, latches, jobs) end
  if held and not refused then
    ended_here[number], ended_ids[id] = true, true
    call('ZREM', P .. 'leased:' .. s.queue, number)
    s.attempts, s.exceptions = attempts, exceptions
    if outcome == '' then
      call('HDEL', P .. 'outcome', number)
    else
      call('HSET', P .. 'outcome', number, outcome)
    end
    if attempt ~= '' then
      call('HSET', P .. 'history', number, (call('HGET', P .. 'history', number) or '') .. attempt)
    end
    if s.mark ~= -1 then give_back(number, id) end
    answer = end_job(number, id, s, phase, delay, retention, error ~= '' and string.sub(error, 2) or nil)
    if #jobs > 0 then
      make_room(jobs)
      local _, last = join(latches, jobs, ARGV[2], place)
      highest = math.max(highest, last)
    end
  end
  place = place + #jobs
  answers[#answers + 1] = answer
end
finish_all()
return_all()
write_latches() -- The last: what met an error before has not been counted.
if refused then return { answers, highest, refused, why } end
return { answers, highest }
