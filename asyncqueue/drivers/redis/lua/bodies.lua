-- A body: created_at, available_at, key_mode (0: no key, 1: held until finished, 2: until claimed; 4
-- more where a latch binds it, see ties; 8 more where it wants something, see wants),
-- priority, the lengths of id, queue and key, these three, and then what only clients read. Nil
-- where it is no body.
local BODY_HEAD, HEAD_LENGTH = '>ddBi2I2I2I2', 25

local function read_body(text)
  local b = {}
  local fine, of_id, of_queue, of_key
  fine, b.created, b.available, b.mode, b.priority, of_id, of_queue, of_key =
    pcall(unpack_text, BODY_HEAD, text)
  local after_id = fine and HEAD_LENGTH + of_id
  local after_queue = fine and after_id + of_queue
  local after_key = fine and after_queue + of_key
  if not fine or of_id == 0 or after_key > #text then return nil end
  if b.created ~= b.created or b.available ~= b.available then return nil end
  b.wants = b.mode >= 8
  b.tied = b.mode % 8 >= 4
  b.mode = b.mode % 4
  b.id = string.sub(text, HEAD_LENGTH + 1, after_id)
  b.queue = string.sub(text, after_id + 1, after_queue)
  b.key = string.sub(text, after_queue + 1, after_key)
  b.rest = string.sub(text, after_key + 1)
  return b
end

local function body_text(created, available, mode, priority, id, queue, key, rest)
  return pack(BODY_HEAD, created, available, mode, priority, #id, #queue, #key)
    .. id .. queue .. key .. rest
end
