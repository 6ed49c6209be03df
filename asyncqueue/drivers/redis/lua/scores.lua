-- The score of an instant in sets of leased and ended jobs: whole milliseconds. Sets that are small are
-- lists, in which fractions would be read as text for each comparison.
local function score_of(time)
  if time >= 1e12 then return 'inf' end
  local ms = math.floor(time * 1000)
  local low = ms % 1000000
  return string.format('%d%06d', (ms - low) / 1000000, low)
end
