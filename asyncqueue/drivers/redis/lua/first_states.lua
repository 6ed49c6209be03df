-- include: state_form

-- The state of a job that was never claimed before, and is now.
local function first_state(queue, priority, mark, key)
  return pack(STATE, 'p', 1, 1, 0, priority, -1, now, 0, mark, #queue, queue, #worker, worker, #key, key)
end
