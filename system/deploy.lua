-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Other machines, for "cairn deploy": a file returns a list of them.

local operating_system = require "system.operating_system"

-- What may stand in a command that a shell on the other side reads.
local function plain(more, options)
	options.pattern = "^[%w" .. more .. "][%w" .. more .. "-]*$"
	return schema.string(options)
end

local machine = schema.record("machine", {
	name = schema.string {
		pattern = "^%w[%w._-]*$", default = function(m) return (m.host:gsub("[^%w._-]", "-")) end,
		doc = "what it is called here", default_doc = "that of the host",
	},
	host = plain("._:%%", { what = "the name or address of a host", doc = "where ssh finds it" }),
	system = schema.of(operating_system, { doc = "what it is to be" }),
	user = plain("._", { default = "root", doc = "who may switch there" }),
	port = schema.integer { min = 1, max = 65535, default = 22, doc = "of its ssh server" },
	identity = plain("/._+", { optional = true, doc = "file of the private key; left out: as ssh's settings say" }),
	host_key = schema.string {
		pattern = "^[%w-]+ [%w+/=]+$", optional = true, what = "a public key, as 'ssh-ed25519 AAAA…'",
		doc = "of that machine; left out: as known_hosts says",
	},
	confirm = schema.duration { default = "120s", doc = "how long it waits to be confirmed; 0: not at all" },
	program = plain("/._+", { optional = true, doc = "cairn there, in place of the system's own" }),
	root = plain("/._+", { optional = true, doc = "its files and its store are below this directory" }),
}, {
	doc = "a machine that 'cairn deploy' switches",
	keywords = "remote ssh host",
	example = [[
system.machine {
  name = "web", host = "192.0.2.10", identity = "/home/ann/.ssh/id_ed25519",
  host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx",
  system = require "stone", confirm = "5min",
}]],
})

-- Results: "1" is the system of the first machine, "1 host" and so on are texts.
local function results(list, args)
	if type(list) == "table" and schema.is(list, machine) then
		list = { list }
	end
	if type(list) ~= "table" or schema.name(list) or is_node(list) then
		error("the file returns " .. (schema.name(list) or type(list)) .. ", not a list of machines", 0)
	end
	local out, seen = {}, {}
	local generation = args.systems and require "system.generation"
	for i, m in ipairs(list) do
		if not schema.is(m, machine) then
			m = machine(m)
		end
		schema.check(m)
		if seen[m.name] then
			error("two machines are called '" .. m.name .. "'", 0)
		end
		seen[m.name] = true
		for _, field in ipairs { "name", "host", "user", "identity", "host_key", "confirm", "program", "root" } do
			if m[field] then
				out[i .. " " .. field] = m[field]
			end
		end
		out[i .. " port"] = tostring(m.port)
		if generation then
			out[tostring(i)] = generation.parts(m.system).system
		end
	end
	return out
end

return setmetatable({ machine = machine }, { __call = function(_, list, args) return results(list, args) end })
