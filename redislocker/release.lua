-- Removes the lock and the wish of a token. KEYS: state, lock, want, last.
local token, id, keep, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local holder, waiter = parse(redis.call('GET', KEYS[2])), parse(redis.call('GET', KEYS[3]))
if holder and holder.token == token then
  redis.call('DEL', KEYS[2])
  redis.call('PEXPIRE', KEYS[4], keep)
end
if waiter and waiter.token == token then
  redis.call('DEL', KEYS[3])
elseif waiter then
  redis.call('PUBLISH', channel .. waiter.process, 'wake ' .. id)
end
return 1
