-- Store jobs and latches, all of them or none.
--
-- ARGV     now; places (see numbering); how many latches and jobs; these (see joining).
-- Answers  for each job false or the id that is in its way, then the highest number; or, where
--          nothing is stored, the id of a latch and why it is in the way: taken, unknown, opened.

-- include: common
-- include: joining

local latches, at = read_latches(5, tonumber(ARGV[3]))
local jobs = read_jobs(at, tonumber(ARGV[4]))
local id, why = latch_in_the_way(latches, jobs)
if id then return { id, why } end
local answers, highest = join(latches, jobs, ARGV[2], 1)
write_latches()
return_all()
return { answers, highest }
