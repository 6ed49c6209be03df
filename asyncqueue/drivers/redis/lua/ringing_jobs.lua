-- Nearly all jobs end without anybody waiting for them. Whoever waits for any watches `jobs`, too;
-- only then those that ended are asked for, together.
local function ring_jobs(ids)
  if #ids == 0 or call('PUBSUB', 'NUMSUB', P .. 'jobs')[2] == 0 then return end
  for first = 1, #ids, MOST do
    local channels = {}
    for n = first, math.min(first + MOST - 1, #ids) do
      channels[n - first + 1] = P .. 'job:' .. ids[n]
    end
    local told = call('PUBSUB', 'NUMSUB', unpack(channels))
    for n = 2, #told, 2 do
      if told[n] > 0 then call('PUBLISH', told[n - 1], '') end
    end
  end
end
