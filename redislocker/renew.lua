-- Extends locks. KEYS: state, locks. ARGV: the time to live, the locks as they were given
-- out. Returns the positions of those that are lost.
local ttl = tonumber(ARGV[1])
local _, settles = settle(now(), ttl)
local lost = {}
for i = 2, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if value == ARGV[i] then
    redis.call('PEXPIRE', KEYS[i], ttl)
  elseif not value and settles > 0 then
    redis.call('SET', KEYS[i], ARGV[i], 'PX', ttl)
  else
    lost[#lost + 1] = i - 2
  end
end
return lost
