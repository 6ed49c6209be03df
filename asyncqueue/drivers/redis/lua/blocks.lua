-- How many jobs there are in each block of numbers.
local function count_blocks(numbers, step)
  local change = {}
  for n = 1, #numbers do
    local number = tonumber(numbers[n])
    if number then -- None of ours otherwise.
      local block = math.floor(number / 1000)
      change[block] = (change[block] or 0) + step
    end
  end
  for block, by in pairs(change) do
    local left = call('HINCRBY', P .. 'live', block, by)
    if left <= 0 then
      call('HDEL', P .. 'live', block)
      call('ZREM', P .. 'blocks', block)
    elseif left == by then
      call('ZADD', P .. 'blocks', block, block)
    end
  end
end

-- Forget jobs that stand nowhere any more.
local function forget(numbers, ids)
  if #numbers == 0 then return end
  each('HDEL', P .. 'ids', ids)
  each('HDEL', P .. 'body', numbers)
  each('HDEL', P .. 'state', numbers)
  each('HDEL', P .. 'outcome', numbers)
  each('HDEL', P .. 'progress', numbers)
  each('HDEL', P .. 'message', numbers)
  count_blocks(numbers, -1)
end
