import { createHash } from "node:crypto";
import { CONCURRENCY_WAIT_MS, HOUR_MS, SLOT_MS, SLOTS, WINDOW_MS } from "./batch.ts";

// The limits of one tenant, decided and settled in the key-value store. local-limiter.ts does the same in memory and a
// test holds the two together step for step: change both. Lua 5.1 of real servers and 5.4 of the stand-in run this, so
// numbers are written with string.format only.

/** A script as it is sent: by its name, and whole where the store does not know it yet. */
export interface Script {
  readonly source: string;
  readonly sha1: string;
}

const REDIS_CLOCK = "redis.call('TIME')";
/**
 * Milliseconds for which a request that was lost stays known, though it is not counted as under way any more: after an
 * outage its gateway may still settle it.
 */
const LOST_MS = HOUR_MS;
/** A day and two hours: longer than the longest budget runs. */
const BUDGET_TTL_MS = 26 * HOUR_MS;

function prelude(clock: string): string {
  return `
local time = ${clock}
local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local slot = math.floor(ms / ${SLOT_MS})
local oldest = slot - ${SLOTS}
local function int(n) return string.format('%.0f', n) end
local function arg(i) return tonumber(ARGV[i]) end

local function read_window(key)
  local v = redis.call('HMGET', key, 'from', 'r', 't', 'last')
  local w = { key = key, r = tonumber(v[2] or 0), t = tonumber(v[3] or 0), last = tonumber(v[4] or 0), cells = {} }
  local from = tonumber(v[1] or oldest)
  if w.last < oldest or from > slot then
    if v[1] then redis.call('DEL', key) end
    w.r, w.t, w.last = 0, 0, 0
  elseif from < oldest then
    local gone = {}
    for s = from, oldest - 1 do
      gone[#gone + 1] = 'r' .. int(s)
      gone[#gone + 1] = 't' .. int(s)
    end
    local left = redis.call('HMGET', key, unpack(gone))
    for i = 1, #left, 2 do
      w.r = w.r - tonumber(left[i] or 0)
      w.t = w.t - tonumber(left[i + 1] or 0)
    end
    redis.call('HDEL', key, unpack(gone))
    w.dirty = true
  end
  return w
end

local function cell(w, s)
  local c = w.cells[s]
  if not c then
    local v = redis.call('HMGET', w.key, 'r' .. int(s), 't' .. int(s))
    c = { r = tonumber(v[1] or 0), t = tonumber(v[2] or 0) }
    w.cells[s] = c
  end
  return c
end

local function take(w, requests, tokens)
  local c = cell(w, slot)
  c.r, c.t, c.dirty = c.r + requests, c.t + tokens, true
  w.r, w.t, w.last, w.dirty = w.r + requests, w.t + tokens, math.max(w.last, slot), true
end

local function save_window(w)
  if not w or not w.dirty then return end
  local v = { 'from', int(oldest), 'r', int(w.r), 't', int(w.t), 'last', int(w.last) }
  for s, c in pairs(w.cells) do
    if c.dirty then
      v[#v + 1] = 'r' .. int(s)
      v[#v + 1] = int(c.r)
      v[#v + 1] = 't' .. int(s)
      v[#v + 1] = int(c.t)
    end
  end
  redis.call('HSET', w.key, unpack(v))
  redis.call('PEXPIRE', w.key, ${WINDOW_MS + 1_000})
end

local hour = math.floor(ms / ${HOUR_MS})
local day = math.floor(hour / 24)
local function read_budget(key)
  local v = redis.call('HMGET', key, 'hour', 'hs', 'hr', 'ha', 'day', 'ds', 'dr', 'da', 'seeded')
  local b = { key = key, seeded = v[9] == '1', hs = 0, hr = 0, ha = 0, ds = 0, dr = 0, da = 0, alerts = 0 }
  if tonumber(v[1] or 0) == hour then b.hs, b.hr, b.ha = tonumber(v[2]), tonumber(v[3]), tonumber(v[4]) end
  if tonumber(v[5] or 0) == day then b.ds, b.dr, b.da = tonumber(v[6]), tonumber(v[7]), tonumber(v[8]) end
  return b
end

local function save_budget(b, hour_limit, day_limit)
  if hour_limit >= 0 and b.ha == 0 and b.hs * 5 >= hour_limit * 4 then b.ha, b.alerts, b.dirty = 1, 1, true end
  if day_limit >= 0 and b.da == 0 and b.ds * 5 >= day_limit * 4 then b.da, b.alerts, b.dirty = 1, b.alerts + 2, true end
  if not b.dirty then return end
  redis.call('HSET', b.key, 'hour', int(hour), 'hs', int(b.hs), 'hr', int(b.hr), 'ha', int(b.ha),
    'day', int(day), 'ds', int(b.ds), 'dr', int(b.dr), 'da', int(b.da), 'seeded', b.seeded and '1' or '0')
  redis.call('PEXPIRE', b.key, ${BUDGET_TTL_MS})
end
`;
}

// KEYS: window, open, budget, disabled; then window, open, revoked of each key.
// ARGV: lease ms; requests, tokens, concurrency, hour and day budget of the tenant; hour, hour's and day's spending of
// the seed; whether to await it; number of keys; requests, tokens, concurrency of each key; then for each ask the number
// of its key, its id, tokens and nanoUSD.
const RESERVE = `
local hour_limit, day_limit, key_count = arg(5), arg(6), arg(11)
local budget
if hour_limit >= 0 or day_limit >= 0 then
  budget = read_budget(KEYS[3])
  if not budget.seeded and arg(7) >= 0 then
    if arg(7) == hour then budget.hs = math.max(budget.hs, arg(8)) end
    if math.floor(arg(7) / 24) == day then budget.ds = math.max(budget.ds, arg(9)) end
    budget.seeded, budget.dirty = true, true
  end
  if not budget.seeded and arg(10) == 1 then return { ms } end
end

local function subject(window, open, first)
  local s = { requests = arg(first), tokens = arg(first + 1), concurrency = arg(first + 2), open = open, ids = {} }
  if s.requests >= 0 or s.tokens >= 0 then s.window = read_window(window) end
  if s.concurrency >= 0 then s.active = redis.call('ZCOUNT', open, int(ms + 1), '+inf') end
  return s
end

local tenant = subject(KEYS[1], KEYS[2], 2)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', int(ms - ${LOST_MS}))
local keys = {}
for k = 1, key_count do
  keys[k] = subject(KEYS[2 + 3 * k], KEYS[3 + 3 * k], 9 + 3 * k)
  keys[k].revoked = redis.call('EXISTS', KEYS[4 + 3 * k], KEYS[4]) > 0
end

-- Milliseconds until so much has left the window.
local function wait(w, what, amount)
  if not w.all then
    local names = {}
    for s = oldest, slot do names[#names + 1] = 'r' .. int(s) names[#names + 1] = 't' .. int(s) end
    w.all = redis.call('HMGET', w.key, unpack(names))
  end
  local left, offset = 0, what == 'r' and 1 or 2
  for s = oldest, slot do
    local c = w.cells[s]
    left = left + (c and c[what] or tonumber(w.all[(s - oldest) * 2 + offset] or 0))
    if left >= amount then return (s + ${SLOTS + 1}) * ${SLOT_MS} - ms end
  end
  return (slot + ${SLOTS + 1}) * ${SLOT_MS} - ms
end

local function decide(s, tokens)
  if s.tokens >= 0 and tokens > s.tokens then return 6, 0 end
  local code, longest = 0, 0
  if s.active and s.active >= s.concurrency then code, longest = 3, ${CONCURRENCY_WAIT_MS} end
  if s.tokens >= 0 and s.window.t + tokens > s.tokens then
    code, longest = 2, math.max(longest, wait(s.window, 't', s.window.t + tokens - s.tokens))
  end
  if s.requests >= 0 and s.window.r + 1 > s.requests then
    code, longest = 1, math.max(longest, wait(s.window, 'r', s.window.r + 1 - s.requests))
  end
  return code, longest
end

-- The codes in the order in which they are told to the client.
local RANK = { [0] = 0, [3] = 1, [2] = 2, [1] = 3, [4] = 4, [6] = 5, [5] = 6 }
local function worse(code, longest, other, time)
  return RANK[other] > RANK[code] and other or code, math.max(longest, time)
end

local function ask(key, tokens, nano)
  if key.revoked then return 5, 0 end
  local code, longest = decide(tenant, tokens)
  code, longest = worse(code, longest, decide(key, tokens))
  if code == 6 then return 6, 0 end
  if budget and hour_limit >= 0 and budget.hs + budget.hr + nano > hour_limit then
    code, longest = worse(code, longest, 4, (hour + 1) * ${HOUR_MS} - ms)
  end
  if budget and day_limit >= 0 and budget.ds + budget.dr + nano > day_limit then
    code, longest = worse(code, longest, 4, (day + 1) * ${24 * HOUR_MS} - ms)
  end
  return code, longest
end

local function admit(s, id, tokens)
  if s.window then take(s.window, 1, tokens) end
  if s.active then s.active = s.active + 1 end
  s.ids[#s.ids + 1] = int(ms + arg(1))
  s.ids[#s.ids + 1] = id
end

local verdicts = {}
for i = 12 + 3 * key_count, #ARGV, 4 do
  local key, id, tokens, nano = keys[arg(i)], ARGV[i + 1], arg(i + 2), arg(i + 3)
  local code, longest = ask(key, tokens, nano)
  if code == 0 then
    admit(tenant, id, tokens)
    admit(key, id, tokens)
    if budget then budget.hr, budget.dr, budget.dirty = budget.hr + nano, budget.dr + nano, true end
  end
  local t, k = tenant.window or { r = 0, t = 0 }, key.window or { r = 0, t = 0 }
  for _, n in ipairs({ code, longest, t.r, t.t, k.r, k.t }) do verdicts[#verdicts + 1] = n end
end

save_window(tenant.window)
if #tenant.ids > 0 then
  redis.call('ZADD', tenant.open, unpack(tenant.ids))
  redis.call('PEXPIRE', tenant.open, int(arg(1) + ${LOST_MS}))
end
for _, key in ipairs(keys) do
  save_window(key.window)
  if key.active and #key.ids > 0 then
    redis.call('ZADD', key.open, unpack(key.ids))
    redis.call('PEXPIRE', key.open, int(arg(1) + ${LOST_MS}))
    redis.call('ZREMRANGEBYSCORE', key.open, '-inf', int(ms - ${LOST_MS}))
  end
end
local head = { ms, 0, 0, 0, 0, 0, 0, tenant.window and tenant.window.last or 0 }
if budget then
  save_budget(budget, hour_limit, day_limit)
  head[2], head[3], head[4], head[5] = budget.hs, budget.hr, budget.ds, budget.dr
  head[6], head[7] = budget.alerts, budget.seeded and 0 or 1
end
for _, n in ipairs(verdicts) do head[#head + 1] = n end
return head
`;

// KEYS: window, open, budget, this gateway's last call; then window, open of each key.
// ARGV: number of the call; whether the tenant has a window; hour and day budget; number of keys; whether each
// key has a window; then for each settlement the number of its key, its id, bucket, reserved and real tokens, reserved
// and real nanoUSD.
const SETTLE = `
local last = redis.call('GET', KEYS[4])
if last and tonumber(last) >= arg(1) then return { ms } end
redis.call('SET', KEYS[4], ARGV[1], 'PX', ${24 * HOUR_MS})
local hour_limit, day_limit, key_count = arg(3), arg(4), arg(5)
local tenant = arg(2) == 1 and read_window(KEYS[1]) or nil
local budget = (hour_limit >= 0 or day_limit >= 0) and read_budget(KEYS[3]) or nil
local windows = {}
for k = 1, key_count do
  windows[k] = arg(5 + k) == 1 and read_window(KEYS[3 + 2 * k]) or false
end

local function correct(w, at, delta)
  if not w or delta == 0 then return end
  if delta > 0 then take(w, 0, delta) return end
  if at < oldest or at > slot then return end
  local c = cell(w, at)
  local back = math.min(-delta, c.t)
  if back == 0 then return end
  c.t, c.dirty, w.t, w.dirty = c.t - back, true, w.t - back, true
end

for i = 6 + key_count, #ARGV, 7 do
  local k, id, at = arg(i), ARGV[i + 1], arg(i + 2)
  local known = redis.call('ZREM', KEYS[2], id) == 1
  redis.call('ZREM', KEYS[4 + 2 * k], id)
  if known and at >= 0 then
    correct(tenant, at, arg(i + 4) - arg(i + 3))
    correct(windows[k], at, arg(i + 4) - arg(i + 3))
  end
  if budget then
    local then_hour = at >= 0 and math.floor(at * ${SLOT_MS} / ${HOUR_MS}) or hour
    local reserved = known and arg(i + 5) or 0
    if then_hour == hour then
      budget.hr, budget.hs = math.max(0, budget.hr - reserved), budget.hs + arg(i + 6)
    end
    if math.floor(then_hour / 24) == day then
      budget.dr, budget.ds = math.max(0, budget.dr - reserved), budget.ds + arg(i + 6)
    end
    budget.dirty = true
  end
end

save_window(tenant)
for k = 1, key_count do if windows[k] then save_window(windows[k]) end end
if not budget then return { ms, 0, 0, 0, 0, 0, 0 } end
save_budget(budget, hour_limit, day_limit)
return { ms, budget.hs, budget.hr, budget.ds, budget.dr, budget.alerts, budget.seeded and 0 or 1 }
`;

// KEYS: the sorted sets. ARGV: lease ms; then for each request under way the number of its set and its id.
const RENEW = `
local ends = int(ms + arg(1))
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[arg(i)], ends, ARGV[i + 1]) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, int(arg(1) + ${LOST_MS})) end
return { ms }
`;

function script(source: string): Script {
  return { source, sha1: createHash("sha1").update(source).digest("hex") };
}

/** @param clock a Lua expression that gives what TIME does; tests move it by hand */
export function limitScripts(clock = REDIS_CLOCK) {
  const start = prelude(clock);
  return { reserve: script(start + RESERVE), settle: script(start + SETTLE), renew: script(start + RENEW) };
}

export type LimitScripts = ReturnType<typeof limitScripts>;
