-- The common part of the scripts. KEYS[1] is the hash with the state of the prefix:
--   n      the last number that was given out
--   life   the life of the server (see life) that has given out the locks
--   since  when that life was seen first, in microseconds

local function now() -- in microseconds
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- life names the time between two starts of a server, or between two failovers: its
-- replication id. '' if this server does not tell. The second result is whether it was a
-- replica and has taken over.
local function life()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then
    return '', false
  end
  local id, earlier = string.match(info, 'master_replid:(%x+)') or '', string.match(info, 'master_replid2:(%x+)') or ''
  return string.sub(id, 1, 16), string.find(earlier, '[^0]') ~= nil
end

-- uptime returns for how many seconds the server has been running.
local function uptime()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or '') or 0
end

-- settle returns the current life, and for how many milliseconds more the server settles:
-- after a start or a failover, locks that were given out before may be missing, and their
-- holders do not know. No lock is given out for a time to live. Meanwhile the renewals of
-- the holders put the missing ones back.
local function settle(time, ttl)
  local current, taken = life()
  if current == '' then
    return '', 0
  end
  local state = redis.call('HMGET', KEYS[1], 'life', 'since')
  local since = tonumber(state[2] or '')
  if state[1] ~= current then
    since = time
    if not state[1] and not taken then -- first use of the prefix, or the server has started without data
      since = time - uptime() * 1000000
    end
    redis.call('HSET', KEYS[1], 'life', current, 'since', string.format('%.0f', since))
  elseif since > time then -- the clock was set back
    since = time
    redis.call('HSET', KEYS[1], 'since', string.format('%.0f', since))
  end
  return current, math.max(0, math.ceil((since - time) / 1000 + ttl))
end

-- parse splits a lock or a wish.
local function parse(value)
  if not value then
    return nil
  end
  local n, wish, process, token = string.match(value, '^(%d+) (%d+) (%S+) (%S+)$')
  return { n = n, wish = wish, process = process, token = token }
end

-- number returns a number greater than all before. It is not less than the time, so that
-- this holds when the server has lost its data.
local function number(time)
  local n = math.max(time, tonumber(redis.call('HGET', KEYS[1], 'n') or '0') + 1)
  n = string.format('%.0f', n)
  redis.call('HSET', KEYS[1], 'n', n)
  return n
end
