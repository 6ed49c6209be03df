-- How many jobs there are in each block of a thousand numbers. A block that has none any more stays
-- until somebody looks: it counts one more than there are, so that one which is new can be told.
local function change_block(block, by)
  local count = redis.pcall('HINCRBY', P .. 'live', block, string.format('%d', by))
  if type(count) == 'table' then
    -- It was no number: from now on it is one that never gets down to nobody.
    call('HSET', P .. 'live', block, 1000000)
  elseif count == by then
    call('HINCRBY', P .. 'live', block, 1)
    call('ZADD', P .. 'blocks', block, block)
  end
end
