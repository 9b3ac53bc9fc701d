-- Takes a lock if it is free. KEYS: state, lock, want, last.
-- A lock is "number wish process token", a wish is "0 wish process token", and last is
-- "number life" of the last grant. With 'held' and 'settling' it
-- returns after how many milliseconds the lock can be free, if it is not released; 0: not known.
local token, process, wish, mode, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, keep, wishTTL, channel = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local preempts = mode == 'preempt'

local time = now()
local current, settles = settle(time, ttl)
local holder, waiter = parse(redis.call('GET', KEYS[2])), parse(redis.call('GET', KEYS[3]))

if holder and holder.token == token then -- the answer to an earlier call was lost
  redis.call('PEXPIRE', KEYS[2], ttl)
  return { 'granted', wish, redis.call('GET', KEYS[2]), holder.n, '0' }
end
if waiter and waiter.token == token then
  waiter = nil
end
if preempts and wish == '0' then
  wish = number(time)
end
if preempts and (waiter and tonumber(waiter.wish) > tonumber(wish) or holder and tonumber(holder.wish) > tonumber(wish)) then
  return { 'overtaken', wish }
end

if not holder and settles == 0 and (preempts or not waiter) then
  local n, before = number(time), '0'
  local last, lastLife = string.match(redis.call('GET', KEYS[4]) or '', '^(%d+) (%x+)$')
  if last and lastLife == current then
    before = last
  end
  local value = n .. ' ' .. wish .. ' ' .. process .. ' ' .. token
  redis.call('SET', KEYS[2], value, 'PX', ttl)
  redis.call('SET', KEYS[4], n .. ' ' .. current, 'PX', keep)
  if preempts then
    redis.call('DEL', KEYS[3])
    if waiter then
      redis.call('PUBLISH', channel .. waiter.process, 'wake ' .. id)
    end
  end
  return { 'granted', wish, value, n, before }
end

if preempts then
  redis.call('SET', KEYS[3], '0 ' .. wish .. ' ' .. process .. ' ' .. token, 'PX', wishTTL)
  if waiter then
    redis.call('PUBLISH', channel .. waiter.process, 'wake ' .. id)
  end
end
if holder and (preempts or holder.process == process) then -- its own process may not know this lock any more
  redis.call('PUBLISH', channel .. holder.process, 'preempt ' .. holder.token .. ' ' .. id)
end
if not holder and settles > 0 then
  return { 'settling', wish, settles }
end
return { 'held', wish, holder and redis.call('PTTL', KEYS[2]) or 0 }
