-- What a ring tells is which jobs can be claimed since: their priorities, and how many there are of
-- each. Nothing where it may be any.
local function ring(topic, told)
  call('PUBLISH', P .. topic, told or '')
end

local function ring_all(kind, names)
  for name, told in pairs(names) do ring(kind .. name, type(told) == 'string' and told) end
end
