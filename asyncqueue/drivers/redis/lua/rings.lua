local function ring(topic)
  call('PUBLISH', P .. topic, '')
end

local function ring_all(kind, names)
  for name in pairs(names) do ring(kind .. name) end
end
