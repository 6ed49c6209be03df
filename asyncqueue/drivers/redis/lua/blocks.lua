-- include: block

local function count_blocks(numbers, step)
  local change = {}
  for n = 1, #numbers do
    local number = numbers[n]
    if #number == 13 then -- None of ours otherwise.
      local block = string.sub(number, 1, 10)
      change[block] = (change[block] or 0) + step
    end
  end
  for block, by in pairs(change) do change_block(block, by) end
end
