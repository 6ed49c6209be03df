-- include: minus

local function open_level(queue, priority)
  call('ZADD', P .. 'levels:' .. queue, minus(priority), priority)
  call('SADD', P .. 'queues', queue)
end
