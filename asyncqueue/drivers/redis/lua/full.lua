-- A script whose first write can only shrink the store may go on when maxmemory is reached. Those
-- that make, renew or end claims need that: a full server could never get rid of anything otherwise.
local function even_when_full()
  call('DEL', P .. 'nothing')
end
