-- The shared gate in Redis or Valkey. docs/sharing.md describes the keys, the operations and the log.
-- gate_rules.py has the same rules in Python, for a file; a test holds the two to the same replies.
--
-- KEYS: state, members, tickets, log, learnt
-- ARGV: layout, born, member, lease in us, cursor, pace, operation, operation, ...
-- Instants are whole microseconds of the server's clock.

local STATE, MEMBERS, TICKETS, LOG, LEARNT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local layout, born, me = ARGV[1], ARGV[2], ARGV[3]
local lease, cursor = tonumber(ARGV[4]), tonumber(ARGV[5])

local KEPT_MS = '86400000'        -- an unused gate is forgotten after a day
local RENEW_US = 60000000         -- that day is extended at most once a minute
local SNAPSHOT_ENTRIES = 1024     -- a log that is longer is to be replaced by what was learnt from it
local SNAPSHOT_US = 5000000       -- another member is asked if the first one has not done it by then

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local spread = unpack or table.unpack

local function text(number)
  if number == math.floor(number) and math.abs(number) < 1e15 * 9 then
    return string.format('%.0f', number)
  end
  return string.format('%.17g', number)
end

local function words_of(line)
  local words = {}
  for word in string.gmatch(line, '%S+') do
    words[#words + 1] = word
  end
  return words
end

-- -- the state -----------------------------------------------------------------------------------

local FIELDS = {
  'joined', 'alive_until', 'renewed', 'sweep_at', 'head', 'base', 'snapshot_asked',
  'number', 'generation', 'era', 'deadline', 'unproven', 'probe', 'probe_sent', 'failed_after',
  'in_a_row', 'started_since', 'flight', 'crowded_until',
  'pace_at', 'hold', 'room', 'crowded_wait', 'refusal_wait', 'mean_t',
  'rate_r', 'burst_r', 'paid_r', 'known_r', 'booked_r',
  'rate_t', 'burst_t', 'paid_t', 'known_t', 'booked_t',
}
local stored, s, before = {}, {}, {}
local flat = redis.call('HGETALL', STATE)
for place = 1, #flat, 2 do
  stored[flat[place]] = flat[place + 1]
end
if #flat > 0 and not (stored.layout and stored.alive_until) then
  return redis.error_reply('WAVETANKFOREIGN ' .. STATE)
end
if stored.layout and stored.layout ~= layout and now < tonumber(stored.alive_until) then
  return redis.error_reply('WAVETANKLAYOUT ' .. stored.layout)
end
local torn = stored.layout == layout
  and redis.call('LLEN', LOG) ~= tonumber(stored.head or 0) - tonumber(stored.base or 0)
if stored.layout ~= layout or torn then
  redis.call('DEL', STATE, MEMBERS, TICKETS, LOG, LEARNT)
  stored = { born = text(now), layout = layout }
  redis.call('HSET', STATE, 'layout', layout, 'born', stored.born, 'alive_until', '0')
end
if born ~= '' and born ~= stored.born then
  return { 'new' }
end
for _, field in ipairs(FIELDS) do
  local value = tonumber(stored[field] or 0)
  s[field], before[field] = value, value
end

local wake = false

local function append(entry)
  redis.call('RPUSH', LOG, entry)
  s.head = s.head + 1
end

-- -- budgets: requests (r) and tokens (t), each kept by the generic cell rate algorithm ------------

local function time_of(budget, units)
  return math.floor(units * 1000000 / s['rate_' .. budget] + 0.5)
end

local function ready_at(budget, units)
  if s['rate_' .. budget] == 0 then
    return 0
  end
  local burst = s['burst_' .. budget]
  return s['paid_' .. budget] - time_of(budget, burst - math.min(units, burst))
end

local function spend(budget, units, at)
  if s['rate_' .. budget] ~= 0 then
    s['paid_' .. budget] = math.max(s['paid_' .. budget], at) + time_of(budget, units)
  end
end

local function correct(budget, more)
  if s['rate_' .. budget] ~= 0 then
    s['paid_' .. budget] = s['paid_' .. budget] + time_of(budget, more)
  end
end

local function at_most(budget, left, at)
  if s['rate_' .. budget] ~= 0 then
    s['known_' .. budget] = math.max(s['known_' .. budget], at)
    local short = s['burst_' .. budget] - math.max(0, left)
    if short > 0 then
      s['paid_' .. budget] = math.max(s['paid_' .. budget], at + time_of(budget, short))
    end
  end
end

local function set_left(budget, left)
  if s['rate_' .. budget] ~= 0 then
    s['burst_' .. budget] = math.max(s['burst_' .. budget], left)
    s['paid_' .. budget] = now + time_of(budget, s['burst_' .. budget] - math.max(0, left))
  end
end

local function change(budget, rate, burst)
  local old = s['rate_' .. budget]
  if rate == old and burst == s['burst_' .. budget] then
    return
  end
  local at = math.max(now, s['known_' .. budget])
  local left = burst
  if old ~= 0 then
    left = s['burst_' .. budget] - math.max(0, s['paid_' .. budget] - at) * old / 1000000
  end
  s['rate_' .. budget], s['burst_' .. budget] = rate, burst
  if rate ~= 0 then
    s['paid_' .. budget] = at + time_of(budget, math.max(0, burst - left))
  end
end

local function restart(at)
  at_most('r', 1, at)
  if s.mean_t > 0 then
    at_most('t', s.mean_t, at)
  end
end

local function pause(deadline)
  if deadline > s.deadline then
    s.deadline, s.unproven, s.era = deadline, 1, s.era + 1
    correct('r', -s.booked_r)
    correct('t', -s.booked_t)
    s.booked_r, s.booked_t = 0, 0
    s.known_r, s.known_t = math.min(s.known_r, deadline), math.min(s.known_t, deadline)
    restart(deadline)
  end
end

-- -- members, their bookings and their tickets ----------------------------------------------------

local mine

local function stored_member(id)
  local record = redis.call('HGET', MEMBERS, id)
  if not record then
    return nil
  end
  local words = words_of(record)
  return {
    expires = tonumber(words[1]), era = tonumber(words[2]), at = tonumber(words[3]), tokens = words[4],
  }
end

local function member_of(id)
  -- What this call changes of its own process is stored at its end.
  if id == me then
    return mine
  end
  return stored_member(id)
end

local function save(id, member)
  redis.call('HSET', MEMBERS, id, table.concat(
    { text(member.expires), text(member.era), text(member.at), member.tokens }, ' '
  ))
end

local function is_booked(member)
  return member.at > 0 and member.era == s.era
end

local function unbook(member, refunds)
  if is_booked(member) then
    local tokens = tonumber(member.tokens)
    s.booked_r, s.booked_t = s.booked_r - 1, s.booked_t - tokens
    if refunds then
      correct('r', -1)
      correct('t', -tokens)
    end
  end
  member.at, member.tokens = 0, '0'
end

local function ticket_of(number)
  local record = redis.call('HGET', TICKETS, number)
  if not record then
    return nil
  end
  local words = words_of(record)
  return {
    member = words[1], tokens = tonumber(words[2]), sent = tonumber(words[3]), generation = tonumber(words[4]),
  }
end

local function give_back(number)
  redis.call('HDEL', TICKETS, number)
  wake = wake or s.flight >= s.room
  s.flight = s.flight - 1
  if s.probe == tonumber(number) then
    s.probe, wake = 0, true
  end
end

local function drop(id)
  local member = member_of(id)
  if member then
    unbook(member, true)
    redis.call('HDEL', MEMBERS, id)
  end
  local tickets, lost = redis.call('HGETALL', TICKETS), {}
  for place = 1, #tickets, 2 do
    if words_of(tickets[place + 1])[1] == id then
      lost[#lost + 1] = tonumber(tickets[place])
    end
  end
  table.sort(lost)
  for _, number in ipairs(lost) do
    give_back(text(number))
    append('L ' .. text(number))
  end
  append('D ' .. id)
end

local function sweep()
  if now < s.sweep_at then
    return
  end
  local members, dead = redis.call('HGETALL', MEMBERS), {}
  s.sweep_at = now + lease
  for place = 1, #members, 2 do
    local expires = tonumber(words_of(members[place + 1])[1])
    if members[place] ~= me and expires <= now then
      dead[#dead + 1] = tonumber(members[place])
    elseif expires > now then
      s.sweep_at = math.min(s.sweep_at, expires)
    end
  end
  table.sort(dead)
  for _, id in ipairs(dead) do
    drop(text(id))
  end
end

-- -- the operations -------------------------------------------------------------------------------

local function blocked_until()
  if now < s.deadline then
    return s.deadline
  end
  if s.probe ~= 0 then
    local answered_by = s.probe_sent + math.max(s.refusal_wait, math.floor(s.failed_after * 1.5))
    if now < answered_by then
      local ticket = ticket_of(text(s.probe))
      local owner = ticket and member_of(ticket.member)
      return math.min(answered_by, owner and owner.expires or answered_by)
    end
    s.probe, s.unproven = 0, 0
    restart(now)
  end
  if s.flight + 1 > s.room and now < s.crowded_until then
    return s.crowded_until
  end
  return nil
end

local function start(tokens, left, rests)
  s.number, s.started_since, s.flight = s.number + 1, s.started_since + 1, s.flight + 1
  s.crowded_until = now + s.crowded_wait
  local number = text(s.number)
  redis.call('HSET', TICKETS, number, table.concat({ me, tokens, text(now), text(s.generation) }, ' '))
  if s.unproven ~= 0 then
    s.probe, s.probe_sent = s.number, now
  end
  append(table.concat(
    { 'S', number, me, text(now), text(s.flight), tokens, text(s.generation), left, rests and '1' or '0' }, ' '
  ))
  return table.concat({ 'start', number, text(now), text(s.generation), text(s.flight) }, ' ')
end

local function enter(tokens, left)
  local look = blocked_until()
  if look then
    return 'look ' .. text(look)
  end
  if mine.at > 0 and not (is_booked(mine) and mine.tokens == tokens) then
    unbook(mine, true)
  end
  local units = tonumber(tokens)
  local booked, rests = is_booked(mine), false
  local at = booked and mine.at or math.max(ready_at('r', 1), ready_at('t', units))
  if math.max(at, s.hold) > now + 1 then
    if not booked then
      spend('r', 1, at)
      spend('t', units, at)
      -- A slot stays where it is when the rate changes.
      s.known_r, s.known_t = math.max(s.known_r, at), math.max(s.known_t, at)
      s.booked_r, s.booked_t = s.booked_r + 1, s.booked_t + units
      mine.era, mine.at, mine.tokens = s.era, at, tokens
      append('H ' .. text(now))
    end
    return 'slot ' .. text(math.max(at, s.hold))
  end
  if booked then
    unbook(mine, false)
  else
    rests = s[s.mean_t > 0 and 'paid_t' or 'paid_r'] <= now
    spend('r', 1, now)
    spend('t', units, now)
  end
  return start(tokens, left, rests)
end

local operations = {}

function operations.E(words)
  return enter(words[2], words[3])
end

function operations.A(words)
  local number, used = words[2], words[3]
  local ticket = ticket_of(number)
  if ticket then
    if used ~= '-' then
      correct('t', tonumber(used) - ticket.tokens)
    end
    if ticket.generation == s.generation then
      s.in_a_row = 0
      if s.probe == tonumber(number) and now >= s.deadline then
        s.unproven = 0
        restart(now)
      end
    end
    give_back(number)
    append(table.concat({ 'A', number, text(now), used }, ' '))
  end
end

function operations.R(words)
  local number, delay, stated = words[2], tonumber(words[3]), tonumber(words[4])
  local latest, is_outage = tonumber(words[5]), words[6] == '1'
  local ticket = ticket_of(number)
  local sent = ticket and ticket.sent or now
  s.failed_after = is_outage and math.max(1000000, now - sent) or 0
  local alone, length = s.started_since <= 1 and '1' or '0', 0
  local opens = ticket and ticket.generation == s.generation
  if opens then
    length = stated > 0 and delay or math.min(delay, latest)
    s.generation, s.started_since, s.in_a_row = s.generation + 1, 0, s.in_a_row + 1
  end
  if ticket then
    give_back(number)
    if is_outage then
      append('L ' .. number)
    elseif opens then
      append(table.concat({ 'R', number, text(now), text(length), alone }, ' '))
    else
      append(table.concat({ 'r', number, text(now) }, ' '))
    end
  end
  if opens then
    pause(now + length)
  elseif stated > 0 then
    pause(now + stated)
  end
end

function operations.L(words)
  if ticket_of(words[2]) then
    give_back(words[2])
    append('L ' .. words[2])
  end
end

function operations.W(words)
  local ticket = ticket_of(words[2])
  if ticket then
    give_back(words[2])
    correct('r', -1)
    correct('t', -ticket.tokens)
    append('W ' .. words[2])
  end
end

function operations.P(words)
  pause(now + tonumber(words[2]))
end

function operations.Q(words)
  local budget, left = words[2], tonumber(words[4])
  if budget == 'r' then
    left = left - (s.number - tonumber(words[5]))
  end
  if words[3] == '1' then
    set_left(budget, left)
  else
    at_most(budget, left, now)
  end
end

function operations.I(words, line)
  append(table.concat({ 'I', words[2], me, words[3], text(now), line }, ' '))
end

function operations.T(_, line)
  append(table.concat({ 'T', me, text(now), line }, ' '))
end

function operations.X(words, line)
  operations.L(words)
  append('X ' .. line)
  wake = true
end

function operations.S(words, line)
  local place = tonumber(words[2])
  if place > s.base and place <= s.head then
    redis.call('SET', LEARNT, line)
    redis.call('LTRIM', LOG, text(place - s.base), '-1')
    s.base = place
  end
end

function operations.G()
  drop(me)
  mine = nil
end

-- -- one call -------------------------------------------------------------------------------------

sweep()
if me == '' then
  s.joined = s.joined + 1
  me = text(s.joined)
end
mine = stored_member(me) or { era = 0, at = 0, tokens = '0' }
mine.expires = now + lease
s.alive_until = math.max(s.alive_until, mine.expires)
s.sweep_at = math.min(s.sweep_at, mine.expires)

local pace = words_of(ARGV[6])
if #pace > 0 and tonumber(pace[1]) > s.pace_at then
  s.pace_at, s.mean_t, s.room = tonumber(pace[1]), tonumber(pace[6]), tonumber(pace[7])
  s.crowded_wait, s.hold, s.refusal_wait = tonumber(pace[8]), tonumber(pace[9]), tonumber(pace[10])
  change('r', tonumber(pace[2]), tonumber(pace[3]))
  change('t', tonumber(pace[4]), tonumber(pace[5]))
end

local results = {}
for place = 7, #ARGV do
  -- The last argument of some operations is text with spaces: it follows `|`.
  local bar = string.find(ARGV[place] .. '|', '|', 1, true)
  local words = words_of(string.sub(ARGV[place], 1, bar - 1))
  local result = operations[words[1]](words, string.sub(ARGV[place], bar + 1))
  results[#results + 1] = result or ''
end
if mine then
  save(me, mine)
end

local snapshot_wanted = '0'
if s.head - s.base > SNAPSHOT_ENTRIES and now >= s.snapshot_asked + SNAPSHOT_US then
  s.snapshot_asked, snapshot_wanted = now, '1'
end

local from, learnt = cursor, false
if cursor < s.base then
  from, learnt = s.base, redis.call('GET', LEARNT)
end
local entries = redis.call('LRANGE', LOG, text(from - s.base), '-1')

local changes = {}
for _, field in ipairs(FIELDS) do
  if s[field] ~= before[field] then
    changes[#changes + 1] = field
    changes[#changes + 1] = text(s[field])
  end
end
if #changes > 0 then
  redis.call('HSET', STATE, spread(changes))
end
if now >= s.renewed + RENEW_US then
  redis.call('HSET', STATE, 'renewed', text(now))
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, KEPT_MS)
  end
end
if wake then
  redis.call('PUBLISH', STATE .. ':wake', '')
end

local reply = {
  table.concat({
    text(now), stored.born, me, text(s.generation), text(s.deadline), text(s.in_a_row), text(s.probe),
    redis.call('HLEN', MEMBERS), text(s.head), text(from), snapshot_wanted, #results,
  }, ' '),
  learnt or '',
}
for _, result in ipairs(results) do
  reply[#reply + 1] = result
end
for _, entry in ipairs(entries) do
  reply[#reply + 1] = entry
end
return reply
