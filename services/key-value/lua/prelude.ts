/**
 * What scripts find when they start: the table `redis` and Lua's own libraries, except those that reach outside. The
 * interpreter is Lua 5.4, real servers have 5.1: a script for both writes numbers with string.format, and uses nothing
 * that one of them lacks.
 */
export const PRELUDE = `
local command, sha1 = ...
local getinfo = debug.getinfo
redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  sha1hex = sha1,
  log = function() end,
  error_reply = function(text)
    if type(text) ~= "string" then return { err = "ERR wrong number or type of arguments" } end
    return { err = (text:gsub("^%-", "")) }
  end,
  status_reply = function(text)
    if type(text) ~= "string" then return { err = "ERR wrong number or type of arguments" } end
    return { ok = text }
  end,
  pcall = function(...) return (command(...)) end,
  call = function(...)
    local reply, failed = command(...)
    if failed then error(reply) end
    return reply
  end,
}
unpack = table.unpack
math.pow = function(base, exponent) return base ^ exponent end
loadstring = function(text, name) return load(text, name, "t") end
for _, name in ipairs({ "io", "os", "package", "require", "dofile", "loadfile", "debug", "coroutine", "utf8", "warn", "print" }) do
  _G[name] = nil
end
setmetatable(_G, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
  __newindex = function() error("Attempt to modify a readonly table", 2) end,
})
local function line()
  for level = 3, 100 do
    local at = getinfo(level, "Sl")
    if not at then return 0 end
    if at.source == "@user_script" then return at.currentline end
  end
  return 0
end
-- Turns whatever a script failed with into one text, and says where.
return function(failure)
  local text
  if type(failure) ~= "table" then text = "ERR " .. tostring(failure)
  elseif type(failure.err) == "string" then text = failure.err
  else text = "ERR unknown error" end
  return { err = text, line = line() }
end
`;
