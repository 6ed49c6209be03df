-- include: blocks

-- What may be known of a job beside its id, body and state.
local DETAILS = { 'outcome', 'progress', 'message', 'history', 'wants' }

-- Forget jobs that stand nowhere any more, with those of their details that are kept of anybody.
local function forget(numbers, ids, details)
  if #numbers == 0 then return end
  each('HDEL', P .. 'ids', ids)
  each('HDEL', P .. 'body', numbers)
  each('HDEL', P .. 'state', numbers)
  for _, detail in ipairs(details or DETAILS) do
    if call('EXISTS', P .. detail) == 1 then each('HDEL', P .. detail, numbers) end
  end
  count_blocks(numbers, -1)
end
