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

local function spent_of(key, kind)
  local state = redis.call('HMGET', key, 'period', 'spent')
  if not state[1] or tonumber(state[1]) < period(kind, today) then return 0 end
  return tonumber(state[2])
end

local function keep_spent(key, kind, spent)
  local known = tonumber(redis.call('HGET', key, 'period') or '0')
  local current = math.max(known, period(kind, today))
  redis.call('HSET', key, 'period', current, 'spent', string.format('%.0f', math.max(0, spent)))
  redis.call('EXPIRE', key, 86400 * 40)
end
"""

# ARGV: lease id, lease ms, then for each key: kind, amount, limit (buckets: per ms), burst.
# Gives: the number of the key that refuses (0: admitted), ms to wait, then for each key: what is left (buckets and
# leases in thousandths), ms until a bucket is full.
ACQUIRE = (
    _COMMON
    + """
local refusing, wait = 0, 0
local levels = {}
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 4
  local kind, amount = ARGV[at], tonumber(ARGV[at + 1])
  local limit, burst = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local missing = -1
  if kind == 'concurrent' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    levels[i] = limit - redis.call('ZCARD', key)
    if levels[i] < 1 then missing = 1000 end
  elseif kind == 'day' or kind == 'month' then
    levels[i] = limit - spent_of(key, kind)
    if levels[i] <= 0 or levels[i] < math.min(amount, limit) then missing = left_ms(kind) end
  else
    levels[i] = level_of(key, limit, burst)
    local need = math.min(amount, burst)
    if levels[i] < need then missing = (need - levels[i]) / limit end
  end
  if missing >= 0 and (refusing == 0 or missing > wait) then refusing, wait = i, missing end
end
local reply = {refusing, math.ceil(wait)}
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 4
  local kind, amount = ARGV[at], tonumber(ARGV[at + 1])
  local limit, burst = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local is_money = kind == 'day' or kind == 'month'
  if refusing == 0 then
    levels[i] = levels[i] - amount
    if kind == 'concurrent' then
      redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
      redis.call('PEXPIRE', key, tonumber(ARGV[2]) + 1000)
    elseif is_money then
      keep_spent(key, kind, limit - levels[i])
    else
      keep_level(key, levels[i], limit, burst)
    end
  end
  reply[#reply + 1] = math.floor(is_money and levels[i] or levels[i] * 1000)
  reply[#reply + 1] = (kind == 'concurrent' or is_money) and 0 or math.ceil((burst - levels[i]) / limit)
end
return reply
"""
)

# KEYS: those of the claim, and nothing else. ARGV: lease id, prefix of usage, usage's place (tenant, who, model), then
# requests, prompt tokens, answer tokens, nano-dollars; then for each key: kind, correction, limit, burst.
SETTLE = (
    _COMMON
    + """
for i, key in ipairs(KEYS) do
  local at = 8 + (i - 1) * 4
  local kind, correction = ARGV[at], tonumber(ARGV[at + 1])
  local limit, burst = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if kind == 'concurrent' then
    redis.call('ZREM', key, ARGV[1])
  elseif correction ~= 0 then
    if kind == 'day' or kind == 'month' then
      keep_spent(key, kind, spent_of(key, kind) + correction)
    else
      keep_level(key, math.min(burst, level_of(key, limit, burst) - correction), limit, burst)
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
