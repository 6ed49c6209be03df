-- Whether a member of the set of blocks is one: others may have written there, too.
local function is_block(block, score)
  return #block == 10 and tonumber(block) == tonumber(score)
end

-- Forget a block if there is no job in it, and none will be: new ones come behind the last number.
local function forget_empty(block)
  if call('HGET', P .. 'live', block) ~= '1' then return false end
  if tonumber(block) >= math.floor(tonumber(call('GET', P .. 'seq') or 0) / 1000) then return true end
  call('HDEL', P .. 'live', block)
  call('ZREM', P .. 'blocks', block)
  return true
end
