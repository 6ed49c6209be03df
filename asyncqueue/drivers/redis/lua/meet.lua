-- What a handle asks before all else: how many shards there are, and where numbers stand.
--
-- ARGV     now, how many shards there are to be from now on if nobody said so before (empty: only look).
-- Answers  how many shards there are (empty: nobody said so), and the highest number.

-- include: common
-- include: full

-- Nobody listens. Who may not publish is told now, and not by a verb that has written already: a
-- new user of Redis 7 or Valkey has no channels unless they are granted.
call('PUBLISH', P .. 'met', '')

local told = call('HGET', P .. 'about', 'shards')
if not told and call('EXISTS', P .. 'seq') == 1 then
  told = '1' -- Stored by a version that knew of no others.
end
if not told and ARGV[2] ~= '' then
  even_when_full()
  call('HSET', P .. 'about', 'shards', ARGV[2])
  told = ARGV[2]
end
local last = call('GET', P .. 'seq') or ''
return { told or '', string.match(last, '^%d+$') and #last <= 15 and last or '0' }
