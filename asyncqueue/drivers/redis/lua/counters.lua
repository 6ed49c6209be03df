-- Count on in a field of a hash; answers what it is then. What was no number was none.
local function count_by(hash, field, by)
  local count = redis.pcall('HINCRBY', P .. hash, field, by)
  if type(count) ~= 'table' then return count end
  call('HSET', P .. hash, field, by)
  return by
end

-- As that, where nothing is written down of none.
local function count_some(hash, field, by)
  local count = count_by(hash, field, by)
  if count <= 0 then call('HDEL', P .. hash, field) end
  return count
end
