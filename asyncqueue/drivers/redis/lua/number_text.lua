-- The number of a job as text. Not by %.0f, which takes ten times as long.
local function number_text(number)
  local low = number % 1000000
  return string.format('%d%06d', (number - low) / 1000000, low)
end
