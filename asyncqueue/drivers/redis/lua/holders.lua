-- The holder of a key: until when, and the id. Nil where nobody holds it now.
local function read_holder(key)
  local text = call('HGET', P .. 'holders', key)
  if not text or #text < 8 then return nil end
  if not ((unpack_text('>d', text)) > now) then return nil end
  return string.sub(text, 9)
end

local function free_key(key, id)
  local text = call('HGET', P .. 'holders', key)
  if text and string.sub(text, 9) == id then
    call('HDEL', P .. 'holders', key)
  end
end
