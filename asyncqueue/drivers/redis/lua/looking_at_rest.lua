-- Those who can be claimed now. Gaps in a list count, too: whoever comes for them learns better.
local function look_at_rest(source, queue, priority)
  local place = queue .. ':' .. priority
  local later = P .. 'later:' .. place
  local due = call('ZCOUNT', later, '-inf', now)
  local count = call('LLEN', P .. 'ready:' .. place) + due
  if not is_simple and call('EXISTS', P .. 'fair:' .. place) == 1 then
    count = count + (tonumber(call('HGET', P .. 'fair', place) or 0) or 0)
  end
  if count > 0 then
    seen = seen + count
    left[#left + 1] = string.format('%d %s %d', source, priority, count)
  end
  local first = call('ZRANGE', later, due, due, 'WITHSCORES')
  if first[2] then due_at(tonumber(first[2])) end
end
