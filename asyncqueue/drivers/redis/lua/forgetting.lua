-- include: blocks

-- Forget jobs that stand nowhere any more.
local function forget(numbers, ids)
  if #numbers == 0 then return end
  each('HDEL', P .. 'ids', ids)
  each('HDEL', P .. 'body', numbers)
  each('HDEL', P .. 'state', numbers)
  each('HDEL', P .. 'outcome', numbers)
  each('HDEL', P .. 'progress', numbers)
  each('HDEL', P .. 'message', numbers)
  each('HDEL', P .. 'history', numbers)
  each('HDEL', P .. 'wants', numbers)
  count_blocks(numbers, -1)
end
