-- Tokens hold the count of claims up to this.
local CLAIMS = 1048576

-- include: state_form

-- Nil where it is none.
local function read_state(text)
  local s = {}
  local fine
  fine, s.phase, s.claims, s.attempts, s.exceptions, s.priority, s.available, s.started, s.finished,
    s.mark, s.queue, s.worker, s.key = pcall(unpack_text, STATE, text)
  return fine and string.find('wpcxf', s.phase, 1, true) and s or nil
end

local function state_text(s)
  return pack(STATE, s.phase, s.claims, s.attempts, s.exceptions, s.priority,
    s.available, s.started, s.finished, s.mark, #s.queue, s.queue, #s.worker, s.worker,
    #s.key, s.key)
end
