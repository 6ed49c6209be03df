-- Numbers for jobs that are stored now. In the only shard they follow one after the other. Where there
-- are others, clients say above which number to begin, the highest they know of any shard, so that numbers
-- of different shards tell who came first; and for each job its place in the call, as 4 bytes.

-- include: number_text

-- The last number after so many more. Where it is none, they go on above all blocks.
local function count_on(by)
  local last = redis.pcall('INCRBY', P .. 'seq', by)
  if type(last) ~= 'table' then return last end
  local above = 0
  for _, block in ipairs(call('ZREVRANGE', P .. 'blocks', 0, -1)) do
    if #block == 10 and tonumber(block) then
      above = block + 1
      break
    end
  end
  call('SET', P .. 'seq', string.format('%.0f', above * 1000))
  return call('INCRBY', P .. 'seq', by)
end

-- `told`: that number as text, a slash, the places of all jobs of the call; or empty. `chosen`: which of
-- these jobs are meant, counted from 1. Answers their numbers as text, and the highest.
local function take_numbers(told, chosen)
  local count = #chosen
  local slash = string.find(told, '/', 1, true)
  local span = count
  if slash then span = unpack_text('>I4', told, slash + 1 + 4 * (chosen[count] - 1)) + 1 end
  local last = count_on(span)
  local least = math.max(1e12, slash and tonumber(string.sub(told, 1, slash - 1)) or 0)
  if last - span < least then
    last = count_on(string.format('%.0f', least + span - last))
  end
  local numbers = {}
  for n = 1, count do
    local place = slash and unpack_text('>I4', told, slash + 1 + 4 * (chosen[n] - 1)) + 1 or n
    numbers[n] = number_text(last - span + place)
  end
  return numbers, last
end
