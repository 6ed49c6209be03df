-- The names, the store and the time: all that a script needs whose commands have few arguments.

local P = KEYS[1] .. ':'
local MOST = 1000 -- arguments that are handed to one command: Lua's stack is small

local call, pack, unpack_text = redis.call, struct.pack, struct.unpack

local now
if ARGV[1] ~= '' then
  now = tonumber(ARGV[1])
else
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
