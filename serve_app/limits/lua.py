"""The scripts that Redis runs: each decision is one of them, so it is one round trip, and nobody comes between.

Time is Redis' own, so the ingress replicas' clocks do not matter; and one that goes back refills nothing, resets no
budget, and is gone on from. All keys begin with the prefix in braces, so that a Redis cluster keeps them in one slot.

    {PREFIX}:limit:KIND:SCOPE   bucket: hash `level`, `at` (ms); concurrent: sorted set of leases by their end (ms);
                                money: hash `period`, `spent` (nano-dollars)
    {PREFIX}:usage:DAY          hash: tenant, who, model and what is counted, separated by 0x1F -> count
"""

from __future__ import annotations

# The month is that of the proleptic Gregorian calendar, years counted from March, as in
# H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013, civil_from_days.
_COMMON = """
local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)
local today = math.floor(now_s / 86400)

local function civil(days)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local leap = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year_of_era = math.floor((of_era - leap) / 365)
  local of_year = of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local march_month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * march_month + 2) / 5) + 1
  local month = march_month < 10 and march_month + 3 or march_month - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return year, month, day
end

local function period(kind, days)
  if kind == 'day' then return days end
  local year, month = civil(days)
  return year * 12 + month
end

-- "KIND LIMIT BURST" of each key, a line each, in their order; limits of buckets are per ms
local function checks_of(spec)
  local checks = {}
  for kind, limit, burst in string.gmatch(spec, '(%a+) (%S+) (%S+)') do
    checks[#checks + 1] = {
      kind = kind, limit = tonumber(limit), burst = tonumber(burst),
      is_money = kind == 'day' or kind == 'month', is_bucket = kind == 'requests' or kind == 'tokens',
    }
  end
  return checks
end

-- What is reserved: of a bucket never more than it can hold.
local function amount_of(check, requests, tokens, nano_usd)
  if check.kind == 'requests' then return math.min(requests, check.burst) end
  if check.kind == 'tokens' then return math.min(tokens, check.burst) end
  return check.is_money and nano_usd or 1
end

local function left_ms(kind)
  local days = today + 1
  while period(kind, days) == period(kind, today) do days = days + 1 end
  return days * 86400000 - now
end

local function level_of(key, rate, burst)
  local state = redis.call('HMGET', key, 'level', 'at')
  if not state[1] then return burst end
  local at = tonumber(state[2])
  if at > now then
    redis.call('HSET', key, 'at', string.format('%.0f', now))
    at = now
  end
  return math.min(burst, tonumber(state[1]) + (now - at) * rate)
end

local function keep_level(key, level, rate, burst)
  redis.call('HSET', key, 'level', string.format('%.6f', level), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, string.format('%.0f', math.ceil((burst - level) / rate) + 1000))
end

-- What was spent in this period, and the one that it is counted in: after a clock went back a later one.
local function spent_of(key, kind)
  local state = redis.call('HMGET', key, 'period', 'spent')
  local current = period(kind, today)
  local known = tonumber(state[1] or '0')
  if known < current then return 0, current, true end
  return tonumber(state[2]), known, false
end

local function keep_spent(key, spent, current, is_new)
  redis.call('HSET', key, 'period', current, 'spent', string.format('%.0f', math.max(0, spent)))
  if is_new then redis.call('EXPIRE', key, 86400 * 40) end  -- longer than any period
end
"""

# ARGV: lease id, lease ms; requests, tokens and nano-dollars that are claimed; the checks.
# Gives numbers with blanks between them: that of the key that refuses (0: admitted), ms to wait, then for each key
# what is left (buckets and leases in thousandths), ms until a bucket is full. One text, because a client takes longer
# to read a list of numbers than Redis to make it.
ACQUIRE = (
    _COMMON
    + """
local checks = checks_of(ARGV[6])
local requests, tokens, nano_usd = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local refusing, wait = 0, 0
local levels, amounts, periods, are_new = {}, {}, {}, {}
for i, key in ipairs(KEYS) do
  local check = checks[i]
  local amount = amount_of(check, requests, tokens, nano_usd)
  local missing = -1
  if check.kind == 'concurrent' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    levels[i] = check.limit - redis.call('ZCARD', key)
    if levels[i] < 1 then missing = 1000 end
  elseif check.is_money then
    local spent
    spent, periods[i], are_new[i] = spent_of(key, check.kind)
    levels[i] = check.limit - spent
    if levels[i] <= 0 or levels[i] < math.min(amount, check.limit) then missing = left_ms(check.kind) end
  else
    levels[i] = level_of(key, check.limit, check.burst)
    if levels[i] < amount then missing = (amount - levels[i]) / check.limit end
  end
  amounts[i] = amount
  if missing >= 0 and (refusing == 0 or missing > wait) then refusing, wait = i, missing end
end
local reply = {string.format('%.0f %.0f', refusing, math.ceil(wait))}
for i, key in ipairs(KEYS) do
  local check = checks[i]
  if refusing == 0 then
    levels[i] = levels[i] - amounts[i]
    if check.kind == 'concurrent' then
      redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
      redis.call('PEXPIRE', key, tonumber(ARGV[2]) + 1000)
    elseif check.is_money then
      keep_spent(key, check.limit - levels[i], periods[i], are_new[i])
    else
      keep_level(key, levels[i], check.limit, check.burst)
    end
  end
  local left = check.is_money and levels[i] or levels[i] * 1000
  local full_ms = check.is_bucket and math.ceil((check.burst - levels[i]) / check.limit) or 0
  reply[#reply + 1] = string.format('%.0f %.0f', math.floor(left), full_ms)
end
return table.concat(reply, ' ')
"""
)

# KEYS: those of the claim, and nothing else. ARGV: lease id, prefix of usage, usage's place (tenant, who, model); then
# requests, prompt tokens, answer tokens and nano-dollars that were used; requests, tokens and nano-dollars that had
# been claimed; the checks.
SETTLE = (
    _COMMON
    + """
local used = {requests = tonumber(ARGV[4]), tokens = ARGV[5] + ARGV[6], nano_usd = tonumber(ARGV[7])}
local requests, tokens, nano_usd = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
for i, check in ipairs(checks_of(ARGV[11])) do
  local key = KEYS[i]
  if check.kind == 'concurrent' then
    redis.call('ZREM', key, ARGV[1])
  else
    local really = check.is_money and used.nano_usd or used[check.kind]
    local correction = really - amount_of(check, requests, tokens, nano_usd)
    if correction ~= 0 and check.is_money then
      local spent, current, is_new = spent_of(key, check.kind)
      keep_spent(key, spent + correction, current, is_new)
    elseif correction ~= 0 then
      local level = level_of(key, check.limit, check.burst) - correction
      keep_level(key, math.min(check.burst, level), check.limit, check.burst)
    end
  end
end
local year, month, day = civil(today)
local usage = ARGV[2] .. string.format('%04d-%02d-%02d', year, month, day)
local names = {'requests', 'prompt', 'answer', 'nano_usd'}
for i, name in ipairs(names) do
  local amount = ARGV[3 + i]
  if amount ~= '0' then redis.call('HINCRBY', usage, ARGV[3] .. string.char(31) .. name, amount) end
end
redis.call('EXPIRE', usage, 86400 * 100)
return 1
"""
)
