local function open_level(queue, priority)
  call('ZADD', P .. 'levels:' .. queue, -priority, priority)
  call('SADD', P .. 'queues', queue)
end
