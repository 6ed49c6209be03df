-- Tokens hold the count of claims up to this.
local CLAIMS = 1048576

-- A state: phase (w waiting, p processing, c completed, x cancelled, f failed), claims, attempts,
-- exceptions, priority, available_at (negative: as the body says), started_at, finished_at, mark
-- (processing: the retention to cancel it with, negative if nobody asked; ended: when it may go),
-- queue, worker, key (empty: it holds none).
local function read_state(text)
  local s = {}
  local fine
  fine, s.phase, s.claims, s.attempts, s.exceptions, s.priority, s.available, s.started, s.finished,
    s.mark, s.queue, s.worker, s.key = pcall(unpack_text, '>c1I4I4I4i2ddddI2c0I2c0I2c0', text)
  return fine and string.find('wpcxf', s.phase, 1, true) and s or nil
end

local function state_text(s)
  return pack('>c1I4I4I4i2ddddI2c0I2c0I2c0', s.phase, s.claims, s.attempts, s.exceptions, s.priority,
    s.available, s.started, s.finished, s.mark, #s.queue, s.queue, #s.worker, s.worker,
    #s.key, s.key)
end
