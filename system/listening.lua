-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Ports that services listen at: no two of one machine have the same, and what is closed by a filter of packets is warned of.

local ANY = { ["0.0.0.0"] = true, ["::"] = true }

local function overlap(a, b)
	return a == b or not a or not b or ANY[a] or ANY[b] or false
end

-- The sockets of the Internet that PID 1 makes for a service of its own.
local function sockets(s)
	local out = {}
	for _, line in ipairs(s.listen or {}) do
		local protocol, where = line:match("^(%l+) (%S+)")
		local address, port = (where or ""):match("^%[?([%x.:]+)%]?:(%d+)$")
		if port and (protocol == "tcp" or protocol == "udp") then
			out[#out + 1] = { protocol = protocol, port = math.tointeger(tonumber(port)), address = address, field = "listen" }
		end
	end
	return out
end

local function is_local(address)
	return address ~= nil and (address:find("^127%.") ~= nil or address == "::1" or address == "localhost")
end

-- Somebody may want it closed, and somebody may have forgotten to open it.
local function check_filters(all, s, l)
	if is_local(l.address) then
		return
	end
	for _, filter in ipairs(all.filters) do
		if not filter.lets_in(l.protocol, l.port) and not filter.closes(l.protocol, l.port) then
			local by = all.origin[filter]
			schema.warn(s, ("other machines do not reach %s port %d, which the %s [%s] keeps closed [%s]"):format(l.protocol, l.port,
				schema.name(by), schema.location(by), filter.advice(l.protocol, l.port)), l.field)
		end
	end
end

local M = {}

-- All ports. all: what services add. Gives a list of { protocol =, port =, address =, field =, by = service }.
function M.ports(all)
	local out = {}
	local function add(l, by)
		out[#out + 1] = { protocol = l.protocol, port = l.port, address = l.address, field = l.field, by = by }
	end
	for _, l in ipairs(all.listens) do
		add(l, all.origin[l])
	end
	for _, definition in ipairs(all.init) do
		for _, l in ipairs(sockets(definition)) do
			add(l, all.origin[definition])
		end
	end
	return out
end

function M.check(all)
	local seen = {}
	for _, l in ipairs(M.ports(all)) do
		check_filters(all, l.by, l)
		local key = l.protocol .. " port " .. l.port
		for _, other in ipairs(seen[key] or {}) do
			if overlap(other.address, l.address) then
				schema.fail(l.by, ("%s is taken%s: %s listens there, too [%s]"):format(key, l.address and " at " .. l.address or "",
					schema.name(other.by), schema.location(other.by)), l.field)
			end
		end
		seen[key] = seen[key] or {}
		table.insert(seen[key], l)
	end
end

return M
