-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Services as PID 1 knows them, and the service set file (doc/service-set.md says what each key
-- means). A field left out is left out of the file: PID 1's defaults are not repeated here.

local conf = require "system.conf"
local docs = require "system.init_service_docs"
local privileged = require "system.privileged"
local service = require "system.service"
local tools = require "system.tools"

local M = {}

local NAME = { pattern = "^%w[%w._@-]*$", max = 64, what = "a service name (letters, digits, . _ @ -)" }

local function duration(options)
	return schema.one_of({ schema.integer { min = 0 }, schema.duration(options) }, { optional = true })
end

local function text(options)
	options = options or {}
	options.optional = true
	return schema.template(options)
end

local function words()
	return schema.list(schema.template {}, { optional = true })
end

-- A program and its arguments; one of a shell may be a whole script.
local function program()
	return schema.list(schema.template { multiline = true }, { optional = true })
end

-- In a template %i stands for the instance.
local REFERENCE = { pattern = "^%w[%w._@%%-]*$", max = 64, what = "a service name (letters, digits, . _ @ -)" }

local function names()
	return schema.list(schema.string(REFERENCE), { optional = true })
end

local function flag()
	return schema.boolean { optional = true }
end

local function number(min, max)
	return schema.integer { min = min, max = max, optional = true }
end

local function size()
	return schema.one_of({
		schema.integer { min = 0 },
		schema.string { pattern = "^%d+[KMGT]?$", what = "a size such as 65536, '512K' or '2G'" },
	}, { optional = true })
end

local function choice(list)
	return schema.enum(list, { optional = true })
end

local function capabilities()
	return schema.list(schema.string { pattern = "^[a-z_]+$", what = "the name of a capability such as 'net_admin'" },
		{ optional = true })
end

-- Paths of a store item are templates.
local function paths()
	return schema.list(schema.template { pattern = "^%-?[/\1]", what = "an absolute path" }, { optional = true })
end

-- { field, type, how it is written }; the key in the file has '-' where the field has '_'.
local ROWS = {
	{ "type", choice { "simple", "notify", "oneshot", "forking", "group" }, "text" },
	{ "description", text(), "text" },
	{ "exec", program(), "words" },
	{ "stop_exec", program(), "words" },
	{ "reload_exec", program(), "words" },
	{ "action", schema.list(schema.template {}, { optional = true, max = 16 }), "repeat" },
	{ "reload_signal", text(), "text" },
	{ "reload_triggers", words(), "words" },
	{ "enabled", flag(), "bool" },
	{ "critical", flag(), "bool" },
	{ "instances", schema.list(schema.string { pattern = "^[%w._-]+$", what = "an instance" }, { optional = true }), "words" },
	{ "control", schema.list(schema.string { pattern = "^%w+:[%w._-]+$", what = "'user:NAME' or 'group:NAME'" }, { optional = true }),
		"words" },
	{ "requires", names(), "words" },
	{ "binds", names(), "words" },
	{ "milestones", names(), "words" },
	{ "wants", names(), "words" },
	{ "after", names(), "words" },
	{ "before", names(), "words" },
	{ "conflicts", names(), "words" },
	{ "condition", words(), "words" },
	{ "notify", text(), "text" },
	{ "pid_file", text(), "text" },
	{ "restart", choice { "always", "on-failure", "never" }, "text" },
	{ "success_status", schema.list(schema.integer { min = 0, max = 255 }, { optional = true }), "words" },
	{ "restart_delay", duration {}, "text" },
	{ "restart_delay_max", duration {}, "text" },
	{ "restart_limit", number(0, 1000000), "text" },
	{ "restart_window", duration {}, "text" },
	{ "start_timeout", duration {}, "text" },
	{ "stop_timeout", duration {}, "text" },
	{ "alive_timeout", duration {}, "text" },
	{ "stop_signal", text(), "text" },
	{ "remain", flag(), "bool" },
	{ "smooth_recovery", flag(), "bool" },
	{ "on_change", choice { "restart", "later" }, "text" },
	{ "stop_scope", choice { "all", "main" }, "text" },
	{ "user", text(), "text" },
	{ "group", text(), "text" },
	{ "groups", words(), "words" },
	{ "environment", schema.map(schema.string {}, schema.template {}, { optional = true }), "assignments" },
	{ "working_directory", text(), "text" },
	{ "umask", schema.string { pattern = "^[0-7]+$", what = "an octal mask", optional = true }, "text" },
	{ "limit", schema.list(schema.string {}, { optional = true }), "repeat" },
	{ "nice", number(-20, 19), "text" },
	{ "oom_adjust", number(-1000, 1000), "text" },
	{ "environment_file", words(), "words" },
	{ "ioprio", schema.string { pattern = "^[a-z-]+ ?[0-7]?$", what = "'idle', 'best-effort 0…7' or 'realtime 0…7'", optional = true }, "text" },
	{ "cpu_affinity", schema.list(schema.string { pattern = "^%d+%-?%d*$", what = "a processor or a range such as '0-3'" }, { optional = true }), "words" },
	{ "sandbox", choice { "default", "none" }, "text" },
	{ "capabilities", capabilities(), "words" },
	{ "ambient_capabilities", capabilities(), "words" },
	{ "inheritable_capabilities", capabilities(), "words" },
	{ "seccomp", schema.template { optional = true, doc = "a profile (service, service-packet), 'none', or the file of a compiled filter" }, "seccomp" },
	{ "no_new_privileges", flag(), "bool" },
	{ "private_tmp", flag(), "bool" },
	{ "private_dev", flag(), "bool" },
	{ "private_network", flag(), "bool" },
	{ "private_pids", flag(), "bool" },
	{ "protect_kernel", flag(), "bool" },
	{ "read_only_paths", paths(), "words" },
	{ "read_write_paths", paths(), "words" },
	{ "inaccessible_paths", paths(), "words" },
	{ "bind_paths", paths(), "words" },
	{ "bind_read_only_paths", paths(), "words" },
	{ "root_directory", schema.path { optional = true }, "text" },
	{ "terminal", text(), "text" },
	{ "output", choice { "log", "null", "console" }, "text" },
	{ "log_size", size(), "text" },
	{ "log_keep", number(0, 99), "text" },
	{ "log_rate", size(), "text" },
	{ "calendar", schema.list(schema.string {}, { optional = true, max = 16 }), "repeat" },
	{ "every", duration {}, "text" },
	{ "first_run", duration {}, "text" },
	{ "random_delay", duration {}, "text" },
	{ "catch_up", flag(), "bool" },
	{ "run_timeout", duration {}, "text" },
	{ "listen", schema.list(schema.template {}, { optional = true, max = 8 }), "repeat" },
	{ "activate", flag(), "bool" },
	{ "accept", flag(), "bool" },
	{ "fd_store", number(0, 16), "text" },
	{ "max_connections", number(1, 256), "text" },
	{ "memory_max", size(), "text" },
	{ "memory_high", size(), "text" },
	{ "cpu_weight", number(1, 10000), "text" },
	{ "cpu_max", text(), "text" },
	{ "pids_max", number(1, 4194304), "text" },
	{ "io_weight", number(1, 10000), "text" },
	{ "io_max", schema.list(schema.string { pattern = "^[/%d]%S+ [rw]%l+=%S+", what = "a disk and its limits such as '/dev/sda rbps=1048576'" },
		{ optional = true }), "repeat" },
	{ "cpu_set", schema.string { pattern = "^[%d,-]+$", what = "a list of processors such as '0-3,6'", optional = true }, "text" },
	{ "delegate", flag(), "bool" },
	{ "cgroup", flag(), "bool" },
}

-- Texts that stand in the file without quotes.
local function flaw_of(v)
	for _, item in ipairs(type(v) == "table" and v or { tostring(v) }) do
		local why = conf.flaw(item)
		if why then
			return "'" .. item .. "' " .. why
		end
	end
end

-- PID 1 would take a service with none for one that is not timed.
local function flaw_of_pause(v)
	return not tostring(v):find("[1-9]") and "'" .. v .. "' is no time between two runs" or flaw_of(v)
end

-- These words stand for what root needs, to become anybody among it.
local function flaw_of_ambient(v)
	for _, name in ipairs(v) do
		if name == "default" or name == "all" then
			return "'" .. name .. "' would make a user as good as root [name each capability that it is to have, such as 'net_bind_service']"
		end
	end
end

local CHECKS = { ambient_capabilities = flaw_of_ambient, every = flaw_of_pause }

local NAME_OF = { pattern = NAME.pattern, max = NAME.max, what = NAME.what, doc = "name of the service" }

local fields = { name = schema.string(NAME_OF) }
for _, row in ipairs(ROWS) do
	local line = docs[row[1]]
	if not line then
		error("system/init_service_docs.lua has no line for '" .. row[1] .. "'", 0)
	end
	local plain = row[3] == "text" or row[3] == "repeat"
	fields[row[1]] = row[2] { default_doc = line[1], doc = line[2], check = CHECKS[row[1]] or plain and flaw_of or nil }
end

local PROFILES = { service = true, ["service-packet"] = true }

-- They would share a file.
local OWN_LOGS = { init = true, kernel = true, syslog = true }

M.fields = fields
M.init_service = schema.record("init_service", fields, {
	doc = "a service of PID 1",
	example = [[
system.init_service {
	name = "web", exec = { require "packages.httpd" .. "/bin/httpd", "-f", "-p", "8080" },
	requires = { "base" }, user = "nobody", restart = "always",
}]],
	check = function(s)
		if OWN_LOGS[s.name] then
			return "'" .. s.name .. "' is the name of a log that is no service's", "name"
		elseif s.type == "group" and s.exec then
			return "a group has no program", "exec"
		elseif s.type ~= "group" and not s.exec and not s.name:find("@.") then
			return "the program to run is missing", "exec"
		elseif s.type == "forking" and not s.pid_file then
			return "a forking service needs a pid_file", "pid_file"
		elseif s.seccomp and not (s.seccomp == "none" or PROFILES[s.seccomp] or s.seccomp:find("^[/\1]")) then
			return "there is no profile '" .. s.seccomp .. "' (service, service-packet, none, or the file of a filter)", "seccomp"
		elseif s.activate and not s.listen then
			return "activation needs something to listen on", "listen"
		end
	end,
})

local filters = {}

-- A profile of system calls, compiled when the system is built: PID 1 only loads it.
local function filter(profile)
	if not filters[profile] then
		local env = { cairn = tools.cairn .. "/bin/cairn", profile = profile }
		filters[profile] = derivation {
			name = "seccomp-" .. profile, builder = env.cairn, args = { "builder", "seccomp" }, env = env,
		}
	end
	return filters[profile]
end

local WRITERS = {
	seccomp = function(rows, key, v)
		if v ~= "none" then
			rows[#rows + 1] = { key, PROFILES[v] and tostring(filter(v)) or v }
		end
	end,
	text = function(rows, key, v)
		rows[#rows + 1] = { key, tostring(v) }
	end,
	bool = function(rows, key, v)
		rows[#rows + 1] = { key, conf.bool(v) }
	end,
	words = function(rows, key, v)
		rows[#rows + 1] = { key, conf.words(v) }
	end,
	assignments = function(rows, key, v)
		for name, value in pairs(v) do
			rows[#rows + 1] = { key, conf.word(name .. "=" .. value) }
		end
	end,
	["repeat"] = function(rows, key, v)
		for _, item in ipairs(v) do
			rows[#rows + 1] = { key, item }
		end
	end,
}

-- Whoever says nothing is shut in.
local function given(s, field)
	local boxed = s.sandbox ~= "none" and s.type ~= "group"
	if field == "sandbox" then
		return boxed and "default" or s.sandbox
	elseif field == "seccomp" and boxed and s.no_new_privileges ~= false then
		return s.seccomp or "service"
	end
	return s[field]
end

-- What hides or protects something by mounts or processes of a service's own; of these the profile has those with a value.
-- Others (a network, binds, a root) are what a service is made for: it fails where they cannot be had.
local NAMESPACES = {
	private_tmp = { false }, protect_kernel = { false }, private_dev = {}, private_pids = {},
	read_only_paths = {}, read_write_paths = {}, inaccessible_paths = {},
}

local function section(s, namespaces)
	local rows = {}
	for _, row in ipairs(ROWS) do
		local v = given(s, row[1])
		if not namespaces and NAMESPACES[row[1]] then
			v = nil
			if given(s, "sandbox") == "default" then
				v = NAMESPACES[row[1]][1]
			end
		end
		if v ~= nil then
			WRITERS[row[3]](rows, (row[1]:gsub("_", "-")), v)
		end
	end
	return conf.section("service", s.name, rows)
end

local function has(list, name)
	for _, v in ipairs(list or {}) do
		if v == name then
			return true
		end
	end
	return false
end

-- Where a service stands in the configuration, and its place in there. What no service made is the system's own.
local function fail(origin, s, message, field)
	local from = origin[s]
	if not from then
		schema.fail(origin.os or s, message, not origin.os and field or nil)
	end
	error(schema.location(from) .. ": " .. schema.name(from) .. (field and " › " .. field or "") .. ": " .. message, 0)
end

-- Order only: a service that is not there is nothing to wait for, so only what is nearly another name is told, unless the two
-- differ in a number or an instance. OPTIONAL: names of services that some systems have.
local OPTIONAL = {}
for name in ([[cairn-daemon cairn-publish clock console-font dhcp doas dropbear firewall hotplug httpd install-answers installer
	kernel-modules keyboard logs ntp openssh power-button publish sshd store upgrade]]):gmatch("%S+") do
	OPTIONAL[name] = true
end

local function check_order(origin, s, name, field, all)
	local near = not OPTIONAL[name] and not name:find("[@%%]") and schema.suggestion(name, all) or ""
	local other = near:match("'(.*)'")
	if other and other:gsub("%d", "") ~= name:gsub("%d", "") and not other:find("@", 1, true) then
		fail(origin, s, "there is no service '" .. name .. "'" .. near, field)
	end
end

-- Every name that is required exists, and nobody waits for himself in a circle: PID 1 would refuse the
-- whole set. An order that is said wins over the one that a wish implies.
local function check_graph(by_name, list, origin)
	local waits, state, all = {}, {}, {}
	for i, s in ipairs(list) do
		waits[s.name], all[i] = {}, s.name
	end
	for _, s in ipairs(list) do
		for _, field in ipairs { "requires", "binds", "milestones", "wants", "conflicts", "after", "before" } do
			for _, name in ipairs(s[field] or {}) do
				local other = by_name[name] or by_name[name:match("^(.-@).") or ""]
				if other == s then
					fail(origin, s, "service '" .. s.name .. "' " .. field .. " itself", field)
				elseif field == "before" and other then
					table.insert(waits[name], s)
				elseif not other and (field == "after" or field == "before") then
					check_order(origin, s, name, field, all)
				elseif not other then
					fail(origin, s, "service '" .. s.name .. "' " .. field .. " '" .. name
						.. "', which does not exist" .. schema.suggestion(name, all), field)
				elseif other and field ~= "conflicts"
					and not (field == "wants" and (has(s.before, name) or has(other.after, s.name))) then
					table.insert(waits[s.name], other)
				end
			end
		end
	end
	local path = {}
	local function visit(s)
		if state[s.name] == "open" then
			while path[1] ~= s.name do
				table.remove(path, 1)
			end
			fail(origin, s, "services wait for each other: " .. table.concat(path, " -> ") .. " -> " .. s.name)
		elseif state[s.name] then
			return
		end
		state[s.name] = "open"
		path[#path + 1] = s.name
		for _, other in ipairs(waits[s.name]) do
			visit(other)
		end
		path[#path] = nil
		state[s.name] = "done"
	end
	for _, s in ipairs(list) do
		visit(s)
	end
end

-- Checked records of a list of services or tables that may become them. origin: what they were made from, for errors; os: the
-- system, which the others are made for; the second result is origin by name.
function M.checked(list, origin, os)
	local by_name, out, from, named = {}, {}, { os = os }, {}
	for i, given in ipairs(list) do
		local s = given
		if not schema.is(given, M.init_service) then
			s = schema.at(schema.location(origin[given] or os), M.init_service, given)
		end
		from[s], named[s.name] = origin[given], origin[given]
		schema.check(s)
		local first = by_name[s.name]
		if first then
			fail(from, s, "there are two services '" .. s.name .. "'"
				.. (from[first] and " [the first: " .. schema.location(from[first]) .. "] " .. service.hint(from[first]) or ""), "name")
		end
		by_name[s.name] = s
		out[i] = s
	end
	check_graph(by_name, out, from)
	table.sort(out, function(a, b)
		return a.name < b.name
	end)
	return out, named
end

-- What a word of a value may have been meant to be.
local WORDS = {
	ambient_capabilities = privileged.CAPABILITIES, capabilities = privileged.CAPABILITIES,
	calendar = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "hourly", "daily", "weekly", "monthly", "yearly" },
	inheritable_capabilities = privileged.CAPABILITIES,
	limit = { "nofile", "nproc", "core", "stack", "data", "as", "memlock", "fsize", "cpu", "rss", "nice", "rtprio", "sigpending", "msgqueue" },
	listen = { "mode", "user", "group", "name" },
	reload_signal = { "HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH" },
	stop_signal = { "HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM" },
}
local PROGRAMS = { exec = true, reload_exec = true, stop_exec = true }

-- What may have been meant: the word that key knows and that one of value is nearest to.
local function near_miss(key, value)
	local words, known = WORDS[key] or {}, {}
	for _, name in ipairs(words) do
		known[name] = true
	end
	for word in value:gmatch("[%a_]+%d?") do
		local near = not known[word] and schema.suggestion(word, words) or ""
		if near:match("'(.)") and near:match("'(.)"):lower() == word:sub(1, 1):lower() then
			return near
		end
	end
	local program = value:match("^([%w._+-]+)")
	if program and PROGRAMS[key] then
		return " [one of a package: require \"packages.busybox\" .. \"/bin/" .. program .. "\"]"
	end
	return ""
end

-- The message of PID 1's reader, without what the place says already.
local function plain_message(message, key, field, value)
	local name = key:gsub("-", "%%-")
	message = message:gsub("^" .. name .. ": ", ""):gsub("^" .. name .. " must", "must")
	if not message:find("'", 1, true) and not value:find("\1", 1, true) and value ~= "" then
		message = "'" .. value .. "': " .. message
	end
	return message:find("did you mean", 1, true) and message or message .. near_miss(field, value)
end

-- The section with that line of the text, counted from 0 since the first is [init]; its key there and the key's value.
local function place(sections, line)
	for i, section in ipairs(sections) do
		local _, n = section:gsub("\n", "")
		if line <= n then
			for text in section:gmatch("[^\n]*\n") do
				line = line - 1
				if line == 0 then
					return i - 1, text:match("^([%w-]+) = (.*)\n$")
				end
			end
		end
		line = line - n
	end
end

-- PID 1 takes the set, or the error is at what its wrong line comes from: named is the second result of checked(), settings
-- that of keys of [init]; os is to blame for what no service says.
local function check_set(sections, list, named, settings, os)
	local line, message = service_set_error(table.concat(sections))
	if not line then
		return
	end
	local number, key, value = place(sections, line)
	local s = list[number]
	local from = s and named[s.name] or key and settings[key] or os
	local field = key and key:gsub("-", "_")
	local what = s and " '" .. s.name .. "'" or ""
	message = message:gsub("^service '[^']*': ", "")
	if key then
		message = plain_message(message, key, field, value)
		field = service.is_service(from) and service.source(from, field) or field
	end
	error(schema.location(from) .. ": " .. schema.name(from) .. what .. (field and " › " .. field or "") .. ": " .. message, 0)
end

-- Text of the service set; sections are sorted by name. init: rows of [init]; list, named: of checked().
function M.set(init, list, named, settings, os)
	local out = { conf.section("init", nil, init) }
	for _, s in ipairs(list) do
		out[#out + 1] = section(s, os.service_namespaces ~= false)
	end
	check_set(out, list, named, settings, os)
	return out
end

return M
