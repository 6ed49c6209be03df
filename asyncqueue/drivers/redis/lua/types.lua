-- Find the keys that are not of the type that they should be.
--
-- ARGV     now.
-- Answers  for each its name, its type, and the one that it should have; of the keys of limits, fair keys
--          and batches nothing is told.

-- include: common

local KINDS = {
  hash = { 'about', 'ids', 'body', 'state', 'outcome', 'progress', 'message', 'holders', 'live', 'gaps',
    'called_off', 'history', 'latches', 'wants', 'aside', 'fair', 'ties', 'workers', 'damaged', 'turning' },
  zset = { 'blocks', 'latch_ends', 'opening' },
  set = { 'queues', 'paused' },
  string = { 'seq' },
}
local wrong = {}

local function look(name, kind)
  local found = call('TYPE', P .. name).ok
  if found ~= 'none' and found ~= kind then
    wrong[#wrong + 1], wrong[#wrong + 2], wrong[#wrong + 3] = P .. name, found, kind
  end
  return found == kind
end

for kind, names in pairs(KINDS) do
  for _, name in ipairs(names) do look(name, kind) end
end
local queues = call('TYPE', P .. 'queues').ok == 'set' and call('SMEMBERS', P .. 'queues') or {}
for _, queue in ipairs(queues) do
  for _, name in ipairs({ 'leased:', 'ended:' }) do
    for _, phase in ipairs(name == 'leased:' and { '' } or { ':c', ':x', ':f' }) do
      look(name .. queue .. phase, 'zset')
    end
  end
  local levels = look('levels:' .. queue, 'zset') and call('ZRANGE', P .. 'levels:' .. queue, 0, 99) or {}
  for _, priority in ipairs(levels) do
    local place = queue .. ':' .. priority
    look('ready:' .. place, 'list')
    for _, name in ipairs({ 'later:', 'aside:', 'fair:' }) do look(name .. place, 'zset') end
  end
end
return wrong
