-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Typed records: see doc/lua.md. A record is an empty table with a metatable; what it holds is in
-- `states`, so that nothing can be assigned behind the check. It is checked when it is first looked
-- into, or when a record around it is checked, which is when the chain of fields is known.

local raw
local schema = {}

function schema.setup(r)
	raw = r
end

-- record -> { type, loc, given, values, busy, checked, where }; where: the context it was checked in
local states = {}

-- ---- Saying what is wrong -----------------------------------------------------------------------

-- A key as one line.
local function shown(k)
	return (tostring(k):gsub("%c", function(c)
		return c == "\n" and "\\n" or ("\\x%02x"):format(c:byte())
	end))
end

-- Fields by which people know an element of a list, the best first.
local KNOWN_BY = { "name", "target", "mount_point", "title", "path", "ssid", "interface", "to", "device", "public_key", "port" }

-- " ('NAME')" of an element of a list, or "".
local function known_as(v)
	local fields = states[v] and states[v].given or type(v) == "table" and v or {}
	for _, k in ipairs(KNOWN_BY) do
		local name = rawget(fields, k)
		if (type(name) == "string" and #name <= 64 or math.type(name) == "integer") and utf8.len(name)
			and not tostring(name):find("%c") then
			return (" ('%s')"):format(name)
		end
	end
	return ""
end

local function chain_text(ctx)
	local text, c = "", ctx
	while c do
		local part = c.part .. known_as(c.element)
		text = (text == "" or text:sub(1, 1) == "[") and part .. text or part .. " › " .. text
		c = c.up
	end
	return text
end

local function bad(ctx, message)
	error(ctx.loc .. ": " .. chain_text(ctx) .. ": " .. message, 0)
end

-- element: what stands there, when it is one of several.
local function inside(ctx, part, element)
	return { loc = ctx.loc, part = part, up = ctx, element = element }
end

local function got(v)
	local st = states[v]
	if st then
		return st.type.name
	elseif raw.is_node(v) then
		return "node"
	elseif type(v) == "table" and raw.is_node(rawget(v, "drv")) then
		return "package"
	end
	return type(v)
end

local function expected(ctx, what, v)
	bad(ctx, "expected " .. what .. ", got " .. got(v))
end

local function suggestion(word, names)
	local near = raw.nearest(tostring(word), names)
	return near and "; did you mean '" .. near .. "'?" or ""
end

-- "; did you mean 'x'?" of the name that word is nearest to, or "".
function schema.suggestion(word, names)
	return suggestion(word, names)
end

-- ---- Types --------------------------------------------------------------------------------------

local Type = {}
local type_meta = { __index = Type, __metatable = "schema type" }

local OPTIONS = { "check", "default", "default_doc", "doc", "max", "min", "multiline", "optional", "pattern", "unique", "what" }

local function set_options(t, opts)
	if opts == nil then
		return t
	elseif type(opts) ~= "table" then
		error("schema: expected a table of options, got " .. type(opts), 3)
	end
	local known = {}
	for _, k in ipairs(OPTIONS) do
		known[k] = true
	end
	for k, v in pairs(opts) do
		if not known[k] then
			error("schema: unknown option '" .. tostring(k) .. "'" .. suggestion(k, OPTIONS), 3)
		end
		t[k] = v
	end
	return t
end

local function new_type(kind, name, run, opts, extra)
	local t = { kind = kind, name = name, run = run }
	for k, v in pairs(extra or {}) do
		t[k] = v
	end
	return setmetatable(set_options(t, opts), type_meta)
end

-- Calling a type with options gives a changed copy.
type_meta.__call = function(self, opts)
	local t = {}
	for k, v in pairs(self) do
		t[k] = v
	end
	return setmetatable(set_options(t, opts), type_meta)
end

-- Record types: metatable of RECORD objects is set below; `record_types` tells them.
local record_types = {}
local of

local function as_type(t, level)
	if record_types[t] then
		return of(t)
	elseif type(t) == "table" and getmetatable(t) == "schema type" then
		return t
	end
	error("schema: expected a type, got " .. type(t), (level or 2) + 1)
end

-- The value as the type has it, or an error at ctx. record: the record being checked.
local function run_type(t, v, ctx, record)
	v = t.run(t, v, ctx, record)
	if t.check then
		local why = t.check(v, record)
		if why then
			bad(ctx, why)
		end
	end
	return v
end

local function check_length(t, n, unit, ctx)
	if t.min and n < t.min then
		bad(ctx, n == 0 and "must not be empty" or ("needs at least %d %s"):format(t.min, unit))
	elseif t.max and n > t.max then
		bad(ctx, ("has %d %s, more than %d"):format(n, unit, t.max))
	end
end

local function run_string(t, v, ctx)
	if type(v) ~= "string" then
		expected(ctx, t.name, v)
	elseif v:find("\0", 1, true) then
		bad(ctx, "holds a NUL byte")
	elseif not t.multiline and v:find("\n", 1, true) then
		bad(ctx, "holds a newline")
	end
	check_length({ min = t.min or 1, max = t.max }, #v, "bytes", ctx)
	if t.pattern and not v:find(t.pattern) then
		bad(ctx, ("'%s' is not %s"):format(v, t.what or "of the form " .. t.pattern))
	end
	return v
end

local function as_text(v)
	if type(v) == "number" or raw.is_node(v) then
		return tostring(v)
	elseif type(v) == "table" and not states[v] and raw.metafield(v, "__tostring") then
		return tostring(v)
	end
	return v
end

local function run_template(t, v, ctx)
	local s = as_text(v)
	if type(s) ~= "string" then
		expected(ctx, "string, node or package", v)
	end
	return run_string(t, s, ctx)
end

local function run_duration(t, v, ctx)
	run_string(t, v, ctx)
	if not raw.is_duration(v) then
		bad(ctx, ("'%s' is not a duration such as '250ms', '90s', '15min', '2h' or '1d'"):format(v))
	end
	return v
end

local function run_number(t, v, ctx)
	if type(v) ~= "number" or v ~= v then
		expected(ctx, t.name, v)
	end
	if t.kind == "integer" then
		local i = math.tointeger(v)
		if not i then
			bad(ctx, ("expected integer, got %s"):format(v))
		end
		v = i
	end
	if t.min and v < t.min then
		bad(ctx, ("%s is less than %s"):format(v, t.min))
	elseif t.max and v > t.max then
		bad(ctx, ("%s is more than %s"):format(v, t.max))
	end
	return v
end

local function run_boolean(t, v, ctx)
	if type(v) ~= "boolean" then
		expected(ctx, "boolean", v)
	end
	return v
end

local function run_enum(t, v, ctx)
	for _, have in ipairs(t.values) do
		if v == have then
			return v
		end
	end
	if type(v) ~= "string" then
		expected(ctx, t.name, v)
	end
	bad(ctx, ("'%s' is not %s%s"):format(v, t.name, suggestion(v, t.values)))
end

local function run_path(t, v, ctx)
	local s = as_text(v)
	if type(s) ~= "string" then
		expected(ctx, "path", v)
	end
	run_string({ name = "path" }, s, ctx)
	if s:sub(1, 1) == "\1" then
		return s
	elseif s:sub(1, 1) ~= "/" then
		bad(ctx, ("'%s' is not an absolute path"):format(s))
	elseif s ~= "/" and (s .. "/"):find("//", 1, true) or (s .. "/"):find("/%.%.?/") then
		bad(ctx, ("'%s' has an empty, '.' or '..' part"):format(s))
	end
	return s
end

local function plain_table(v)
	return type(v) == "table" and not states[v] and not raw.metafield(v, "__index")
		and not raw.metafield(v, "__tostring")
end

local function check_unique(t, list, ctx)
	local seen = {}
	for i, v in ipairs(list) do
		local id = v
		if t.unique ~= true then
			id = v[t.unique]
		end
		if id ~= nil and seen[id] then
			bad(inside(ctx, "[" .. i .. "]"), ("'%s' is there already, as number %d")
				:format(tostring(id), seen[id]))
		elseif id ~= nil then
			seen[id] = i
		end
	end
end

local function run_list(t, v, ctx, record)
	if not plain_table(v) then
		expected(ctx, t.name, v)
	end
	local n, out = #v, {}
	for k in pairs(v) do
		if math.type(k) ~= "integer" or k < 1 or k > n then
			bad(ctx, ("expected a list, but it has the key '%s'"):format(shown(k)))
		end
	end
	for i = 1, n do
		if v[i] == nil then
			bad(ctx, ("element %d is nil"):format(i))
		end
		out[i] = run_type(t.element, v[i], inside(ctx, "[" .. i .. "]", v[i]), record)
	end
	check_length(t, n, "elements", ctx)
	if t.unique then
		check_unique(t, out, ctx)
	end
	return out
end

local function run_map(t, v, ctx, record)
	if not plain_table(v) then
		expected(ctx, t.name, v)
	end
	local out = {}
	for k, item in pairs(v) do
		local here = inside(ctx, "['" .. shown(k) .. "']")
		out[run_type(t.key, k, here, record)] = run_type(t.element, item, here, record)
	end
	return out
end

local function run_one_of(t, v, ctx, record)
	local why, tables = nil, 0
	for _, choice in ipairs(t.choices) do
		local ok, result = pcall(run_type, choice, v, ctx, record)
		if ok then
			return result
		end
		-- The only choice that takes tables says more exactly what is wrong with one.
		if plain_table(v) and (choice.kind == "record" or choice.kind == "list" or choice.kind == "map") then
			tables = tables + 1
			why = result
		elseif type(v) == "string" and (choice.kind == "string" or choice.kind == "enum" or choice.kind == "path"
			or choice.kind == "duration") then
			tables = tables + 1
			why = result
		end
	end
	if tables == 1 then
		error(why, 0)
	end
	expected(ctx, t.name, v)
end

local function run_node(t, v, ctx)
	if not raw.is_node(v) then
		expected(ctx, "node", v)
	end
	return v
end

local function run_target(t, v, ctx)
	if not raw.is_node(v) and not (type(v) == "table" and not states[v] and raw.is_node(v.drv)) then
		expected(ctx, "package or node", v)
	end
	return v
end

local function run_func(t, v, ctx)
	if type(v) ~= "function" then
		expected(ctx, "function", v)
	end
	return v
end

local function run_any(t, v)
	return v
end

local function simple(kind, name, run)
	schema[kind] = function(opts)
		return new_type(kind, name, run, opts)
	end
end
simple("string", "string", run_string)
simple("duration", "duration", run_duration)
simple("template", "string", run_template)
simple("integer", "integer", run_number)
simple("number", "number", run_number)
simple("boolean", "boolean", run_boolean)
simple("path", "path", run_path)
simple("node", "node", run_node)
simple("target", "package", run_target)
simple("func", "function", run_func)
simple("any", "anything", run_any)

function schema.enum(values, opts)
	local names = {}
	for i, v in ipairs(values) do
		names[i] = "'" .. v .. "'"
	end
	local name = #names == 1 and names[1]
		or "one of " .. table.concat(names, ", ", 1, #names - 1) .. " or " .. names[#names]
	return new_type("enum", name, run_enum, opts, { values = values })
end

function schema.list(element, opts)
	element = as_type(element)
	return new_type("list", "list of " .. element.name, run_list, opts, { element = element })
end

function schema.map(key, value, opts)
	key, value = as_type(key), as_type(value)
	return new_type("map", "table of " .. value.name, run_map, opts, { key = key, element = value })
end

function schema.one_of(choices, opts)
	local types, names = {}, {}
	for i, c in ipairs(choices) do
		types[i] = as_type(c)
		names[i] = types[i].name
	end
	return new_type("one_of", table.concat(names, " or "), run_one_of, opts, { choices = types })
end

-- ---- Records ------------------------------------------------------------------------------------

local function has_type(t, wanted)
	while t do
		if t == wanted then
			return true
		end
		t = t.extends
	end
	return false
end

local function field_value(rec, st, name)
	if st.done[name] then
		return st.values[name]
	elseif st.busy[name] then
		bad(inside(st.ctx, name), "its default depends on itself")
	end
	local t, v, here = st.type.fields[name], st.given[name], inside(st.ctx, name)
	st.busy[name] = true
	if v == nil then
		v = t.default
		if type(v) == "function" and t.kind ~= "func" then
			v = v(rec)
		end
		if v == nil and not t.optional and t.default == nil then
			bad(here, "missing; expected " .. t.name)
		end
	end
	if v ~= nil then
		v = run_type(t, v, here, rec)
	end
	st.busy[name] = nil
	st.done[name] = true
	st.values[name] = v
	return v
end

local function check_record(rec, up)
	local st = states[rec]
	if st.checked or st.ctx then
		return rec
	end
	local ctx = { loc = st.loc, part = up and up.part or st.type.name, up = up and up.up, element = up and up.element }
	st.where = ctx
	st.ctx, st.values, st.done, st.busy = ctx, {}, {}, {}
	for k in pairs(st.given) do
		if not st.type.fields[k] then
			bad(ctx, "unknown field '" .. shown(k) .. "'" .. suggestion(k, st.type.names))
		end
	end
	for _, name in ipairs(st.type.names) do
		field_value(rec, st, name)
	end
	local t = st.type
	while t do
		local why, field
		if t.check then
			why, field = t.check(rec)
		end
		if why then
			bad(field and inside(ctx, field) or ctx, why)
		end
		t = t.extends
	end
	st.checked, st.ctx = true, nil
	return rec
end

local function new_record(rtype, loc, given)
	if type(given) ~= "table" or states[given] or raw.is_node(given) then
		error(loc .. ": " .. rtype.name .. ": expected a table of fields, got " .. got(given), 0)
	end
	local rec, copy = {}, {}
	for k, v in pairs(given) do
		copy[k] = v
	end
	states[rec] = { type = rtype, loc = loc, given = copy }
	return setmetatable(rec, rtype.meta)
end

local function run_record(t, v, ctx)
	local st = states[v]
	if st then
		if not has_type(st.type, t.record) then
			expected(ctx, t.name, v)
		end
		return check_record(v, ctx)
	elseif not plain_table(v) then
		expected(ctx, t.name, v)
	end
	return check_record(new_record(t.record, ctx.loc, v), ctx)
end

of = function(rtype, opts)
	if not record_types[rtype] then
		error("schema.of: expected a record type, got " .. type(rtype), 2)
	end
	return new_type("record", rtype.name, run_record, opts, { record = rtype })
end
schema.of = of

local function with_at(loc, rec, changes)
	local st = states[rec]
	if not st then
		error(loc .. ": with: expected a record, got " .. type(rec), 0)
	end
	local given = {}
	for k, v in pairs(st.given) do
		given[k] = v
	end
	if type(changes) ~= "table" then
		error(loc .. ": " .. st.type.name .. ": expected a table of changes, got " .. got(changes), 0)
	end
	for k, v in pairs(changes) do
		given[k] = v
	end
	return new_record(st.type, loc, given)
end

local with = located(with_at)

-- As v:with(changes), of a record whose place is loc.
function schema.with(loc, v, changes)
	return with_at(loc, v, changes)
end

local function record_index(rec, k)
	local st = states[rec]
	if k == "with" then
		return with
	elseif not st.type.fields[k] then
		if k == "drv" then -- asked of anything that might be a package
			return nil
		end
		error("record '" .. st.type.name .. "' has no field '" .. tostring(k) .. "'"
			.. suggestion(k, st.type.names), 2)
	elseif st.ctx then
		return field_value(rec, st, k)
	end
	check_record(rec)
	return st.values[k]
end

local function record_pairs(rec)
	check_record(rec)
	local st, i = states[rec], 0
	return function()
		while true do
			i = i + 1
			local k = st.type.names[i]
			if k == nil then
				return nil
			elseif st.values[k] ~= nil then
				return k, st.values[k]
			end
		end
	end, rec, nil
end

local record_type_meta = {
	__metatable = "schema record",
	__call = located(function(loc, rtype, given)
		return new_record(rtype, loc, given)
	end),
}

local RECORD_OPTIONS = { "check", "doc", "example", "extends", "keywords" }

schema.record = located(function(loc, name, fields, opts)
	opts = opts or {}
	local rtype = { name = name, fields = {}, names = {}, check = opts.check, doc = opts.doc,
		extends = opts.extends, example = opts.example, keywords = opts.keywords, loc = loc }
	local known = {}
	for _, k in ipairs(RECORD_OPTIONS) do
		known[k] = true
	end
	for k in pairs(opts) do
		if not known[k] then
			error(loc .. ": schema.record '" .. name .. "': unknown option '" .. tostring(k) .. "'"
				.. suggestion(k, RECORD_OPTIONS), 0)
		end
	end
	for k, t in pairs(opts.extends and opts.extends.fields or {}) do
		rtype.fields[k] = t
	end
	for k, t in pairs(fields) do
		if type(k) ~= "string" or k == "with" or k == "drv" then
			error(loc .. ": schema.record '" .. name .. "': '" .. tostring(k)
				.. "' cannot be a field", 0)
		end
		rtype.fields[k] = as_type(t)
	end
	for k in pairs(rtype.fields) do
		rtype.names[#rtype.names + 1] = k
	end
	rtype.meta = {
		__index = record_index, __pairs = record_pairs, __metatable = name,
		__newindex = function(_, k)
			error("record '" .. name .. "': field '" .. tostring(k)
				.. "' cannot be assigned; use :with { … }", 2)
		end,
	}
	record_types[rtype] = true
	return setmetatable(rtype, record_type_meta)
end)

function schema.is(v, rtype)
	local st = states[v]
	return st ~= nil and (rtype == nil or has_type(st.type, rtype))
end

function schema.name(v)
	local st = v ~= nil and states[v]
	return st and st.type.name or nil
end

-- A copy of the fields that a record was made with, or of a plain table; nothing is checked.
function schema.given(v)
	local from = states[v] and states[v].given or v
	if type(from) ~= "table" then
		return nil
	end
	local out = {}
	for k, item in pairs(from) do
		out[k] = item
	end
	return out
end

-- A record whose place is loc, for functions that make records for others.
function schema.at(loc, rtype, given)
	return new_record(rtype, loc, given)
end

schema.check = located(function(loc, v)
	if not states[v] then
		error(loc .. ": schema.check: expected a record, got " .. type(v), 0)
	end
	return check_record(v)
end)

function schema.location(v)
	return states[v] and states[v].loc
end

-- Where a record stands, or a field of it, as messages say it; nil of what is no record.
function schema.place(v, field)
	local st = states[v]
	return st and st.loc .. ": " .. (st.where and chain_text(st.where) or st.type.name) .. (field and " › " .. field or "")
end

function schema.fail(v, message, field)
	local place = schema.place(v, field)
	error((place and place .. ": " or "") .. message, 0)
end

-- As schema.fail, of what may be meant so: the evaluation goes on.
function schema.warn(v, message, field)
	note("warning", schema.place(v, field) .. ": " .. message)
end

-- The record types that a value of type t may hold.
local function mentioned(t, out)
	if t.record then
		out[#out + 1] = t.record
	end
	for _, inner in ipairs { t.key or false, t.element or false } do
		if inner then
			mentioned(inner, out)
		end
	end
	for _, choice in ipairs(t.choices or {}) do
		mentioned(choice, out)
	end
	return out
end

function schema.fields(rtype)
	local out = {}
	for i, name in ipairs(rtype.names) do
		local t = rtype.fields[name]
		out[i] = { name = name, type = t.name, optional = t.optional or t.default ~= nil or false,
			default = t.default, default_doc = t.default_doc, doc = t.doc, what = t.what, min = t.min, max = t.max,
			kind = t.kind, records = mentioned(t, {}) }
	end
	return out
end

return schema
