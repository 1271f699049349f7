package redis

import (
	"github.com/redis/go-redis/v9"
)

// A stored value begins with a head of 24 bytes:
//
//	u64 microseconds since 1970 when it was written, by the server's clock, but later
//	    than what was there before
//	u64 at random, by the client
//	u64 milliseconds since 1970 when it expires, 0 is never
//
// in big-endian order. The first two are the revision.
const (
	revisionBytes = 16
	headBytes     = 24
)

// script is a script with its text, which is sent where the server has not seen it.
type script struct {
	*redis.Script
	text string
}

func newScript(text string) *script { return &script{redis.NewScript(text), text} }

// commitScript applies writes if reads, ranges and fences allow it. All of its keys are of
// one partition.
//
//	KEYS: index, expiries, fences, the values that were read, the values that are written
//	ARGV: channel, 8 random bytes, what begins the keys of values,
//	      number of reads, of ranges, of writes,
//	      for each read its revision, "" if it was not there
//	      for each range min, max, number seen, and for each seen key and revision
//	      for each write "p" or "d", key, fence in 20 digits or "", TTL in ms, value
//
// Fences are compared as texts, as numbers of Lua have 53 bits; texts of digits have one
// order in every locale.
var commitScript = newScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = time[1] * 1000000 + time[2]
local index, expiries, fences = KEYS[1], KEYS[2], KEYS[3]
local channel, nonce, begin = ARGV[1], ARGV[2], ARGV[3]
local reads, ranges, writes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local k, a = 4, 7

local first = a + reads
for i = 1, ranges do
  first = first + 3 + 2 * tonumber(ARGV[first + 2])
end
for i = 1, writes do
  local fence = ARGV[first + 5 * i - 3]
  if fence ~= '' then
    local seen = redis.call('HGET', fences, ARGV[first + 5 * i - 4])
    if seen and fence < seen then
      return {'fenced', i, seen}
    end
  end
end

for i = 1, reads do
  local at = redis.call('GETRANGE', KEYS[k], 0, 15)
  if at ~= ARGV[a] then
    return {'conflict', i, at}
  end
  k, a = k + 1, a + 1
end
for i = 1, ranges do
  local min, max, seen = ARGV[a], ARGV[a + 1], tonumber(ARGV[a + 2])
  local n = 0
  a = a + 3
  repeat
    local members = redis.call('ZRANGEBYLEX', index, min, max, 'LIMIT', 0, 256)
    for _, member in ipairs(members) do
      local at = redis.call('GETRANGE', begin .. member, 0, 15)
      if at ~= '' then
        if n == seen or member ~= ARGV[a + 2 * n] or at ~= ARGV[a + 2 * n + 1] then
          return {'range', i}
        end
        n = n + 1
      end
      min = '(' .. member
    end
  until #members < 256
  if n < seen then
    return {'range', i}
  end
  a = a + 2 * seen
end

local revision = ''
local never = string.rep('\0', 8)
for i = 1, writes do
  local kind, key, fence, ttl, value = ARGV[a], ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3]), ARGV[a + 4]
  local old = redis.call('GETRANGE', KEYS[k], 0, 23)
  if fence ~= '' then
    redis.call('HSET', fences, key, fence)
  end
  if kind == 'p' then
    local at = stamp
    if old ~= '' then
      at = math.max(at, struct.unpack('>I8', old) + 1)
    end
    revision = struct.pack('>I8', at) .. nonce
    local head
    if ttl > 0 then
      head = revision .. struct.pack('>I8', now + ttl)
      redis.call('SET', KEYS[k], head .. value, 'PXAT', string.format('%.0f', now + ttl))
      redis.call('ZADD', expiries, string.format('%.0f', now + ttl), key)
    else
      head = revision .. never
      redis.call('SET', KEYS[k], head .. value)
      if old == '' or string.sub(old, 17) ~= never then
        redis.call('ZREM', expiries, key)
      end
    end
    if old == '' then
      redis.call('ZADD', index, 0, key)
    end
    redis.call('SPUBLISH', channel, struct.pack('>I4', #key) .. key .. head .. value)
  elseif old ~= '' then
    redis.call('DEL', KEYS[k])
    redis.call('ZREM', index, key)
    if string.sub(old, 17) ~= never then
      redis.call('ZREM', expiries, key)
    end
    redis.call('SPUBLISH', channel, struct.pack('>I4', #key) .. key)
  end
  k, a = k + 1, a + 5
end
return {'ok', revision}
`)

// pageScript lists some entries of a partition: at most so many, and no further ones once
// they have so many bytes. What has expired and is still in the index is left out.
//
//	KEYS: index
//	ARGV: what begins the keys of values, min, max, entries, bytes, "1" for keys alone
//	returns the last key that was looked at, "" if there are no more, and keys and values
var pageScript = newScript(`
local begin, min, max, left, bytes, short = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local page = {''}
repeat
  local members = redis.call('ZRANGEBYLEX', KEYS[1], min, max, 'LIMIT', 0, left)
  for _, member in ipairs(members) do
    local value
    if short then
      value = redis.call('GETRANGE', begin .. member, 0, 23)
    else
      value = redis.call('GET', begin .. member) or ''
    end
    if value ~= '' then
      page[#page + 1] = member
      page[#page + 1] = value
      left = left - 1
      bytes = bytes - #value
    end
    min = '(' .. member
    if left == 0 or bytes <= 0 then
      page[1] = member
      return page
    end
  end
until #members == 0
return page
`)

// expireScript removes from the index what has expired, and tells those who watch.
//
//	KEYS: index, expiries
//	ARGV: channel, what begins the keys of values, limit
var expireScript = newScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, tonumber(ARGV[3]))
local removed = 0
for _, member in ipairs(members) do
  if redis.call('EXISTS', ARGV[2] .. member) == 0 then
    redis.call('ZREM', KEYS[1], member)
    redis.call('ZREM', KEYS[2], member)
    redis.call('SPUBLISH', ARGV[1], struct.pack('>I4', #member) .. member)
    removed = removed + 1
  end
end
return removed
`)
