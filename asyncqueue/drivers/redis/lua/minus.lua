-- A whole number as text, times minus one. Texts spare Redis the printing of numbers with all their digits,
-- which takes as long as a small command.
local function minus(text)
  return string.sub(text, 1, 1) == '-' and string.sub(text, 2) or '-' .. text
end
