"""What Redis itself runs, each script in one step that nothing interrupts.

A staged row stands in a field named by the view, a zero byte and the stage. Rows are compared by
the sixteen bytes of their two times, as four whole numbers: Redis compares text by the server's
language, and its numbers are too short for eight bytes.
"""

from __future__ import annotations

_YOUNGER = """
local function younger(a, b)
  if not b then return true end
  local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a, 9)
  local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b, 9)
  if a1 ~= b1 then return a1 > b1 end
  if a2 ~= b2 then return a2 > b2 end
  if a3 ~= b3 then return a3 > b3 end
  return a4 >= b4
end
"""

READ = (
    _YOUNGER
    + """
local active = redis.call('HGET', KEYS[1], 'active')
local answer = {}
for v = 1, #ARGV do answer[v] = {} end
for k = 2, #KEYS do
  local rows = redis.call('HMGET', KEYS[k], unpack(ARGV))
  for v = 1, #ARGV do
    local row = rows[v]
    if active then
      local staged = redis.call('HGET', KEYS[k], ARGV[v] .. '\\0' .. active)
      if staged and younger(staged, row) then row = staged end
    end
    answer[v][k - 1] = row
  end
end
return answer
"""
)
"""KEYS: the stages, the entities. ARGV: views. Gives a list a view, a row or nil an entity."""

WRITE = (
    _YOUNGER
    + """
local stage, views = ARGV[1], tonumber(ARGV[2])
local active = redis.call('HGET', KEYS[1], 'active')
for k = 2, #KEYS do
  for v = 1, views do
    local field = ARGV[2 + v]
    local row = ARGV[2 + views + (k - 2) * views + v]
    if stage ~= '' then
      field = field .. '\\0' .. stage
    elseif active then
      local name = field .. '\\0' .. active
      local staged = redis.call('HGET', KEYS[k], name)
      if staged then
        if younger(staged, redis.call('HGET', KEYS[k], field)) then
          redis.call('HSET', KEYS[k], field, staged)
        end
        redis.call('HDEL', KEYS[k], name)
      end
    end
    if younger(row, redis.call('HGET', KEYS[k], field)) then
      redis.call('HSET', KEYS[k], field, row)
    end
  end
end
"""
)
"""KEYS: the stages, the entities. ARGV: a stage or nothing, number of views, views, the rows.

A row that is not staged first puts in place what the active stage has for it: it came later.
"""

CLEAR = (
    _YOUNGER
    + """
local known = {}
for s = 2, #ARGV do known[ARGV[s]] = true end
for k = 1, #KEYS do
  for _, name in ipairs(redis.call('HKEYS', KEYS[k])) do
    local cut = string.find(name, '\\0', 1, true)
    if cut then
      local field, stage = string.sub(name, 1, cut - 1), string.sub(name, cut + 1)
      if stage == ARGV[1] then
        local staged = redis.call('HGET', KEYS[k], name)
        if younger(staged, redis.call('HGET', KEYS[k], field)) then
          redis.call('HSET', KEYS[k], field, staged)
        end
        redis.call('HDEL', KEYS[k], name)
      elseif known[stage] then
        redis.call('HDEL', KEYS[k], name)
      end
    end
  end
end
"""
)
"""KEYS: entities. ARGV: the active stage or nothing, dead stages."""

FINISH = """
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'active') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'active')
end
for s = 1, #ARGV do
  if ARGV[s] ~= '' then redis.call('HDEL', KEYS[1], ARGV[s]) end
end
"""
"""KEYS: the stages. ARGV: the stage that is in place, dead stages."""

DROP = """
local gone = {}
for v = 1, #ARGV do gone[ARGV[v]] = true end
for k = 1, #KEYS do
  for _, name in ipairs(redis.call('HKEYS', KEYS[k])) do
    local cut = string.find(name, '\\0', 1, true)
    if gone[cut and string.sub(name, 1, cut - 1) or name] then redis.call('HDEL', KEYS[k], name) end
  end
end
"""
"""KEYS: entities. ARGV: views that are gone."""
