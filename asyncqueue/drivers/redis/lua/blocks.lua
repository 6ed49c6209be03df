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
