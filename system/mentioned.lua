-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Accounts and services that a configuration names where it does not make them: all of them are there.

local service = require "system.service"

-- Types with the field account.
local MAKES_USER = { command = true, job = true }

-- In a service of PID 1 an account may be a number, and of a template a part is not known yet.
local function open(name)
	return name:find("^%d+$") or name:find("%", 1, true)
end

-- Accounts that a service of PID 1 names: list of { kind, name, field }.
local function accounts_of(s)
	local out = {}
	local function add(kind, name, field)
		if name and not open(name) then
			out[#out + 1] = { kind, name, field }
		end
	end
	add("user", s.user, "user")
	add("group", s.group, "group")
	for _, name in ipairs(s.groups or {}) do
		add("group", name, "groups")
	end
	for _, text in ipairs(s.control or {}) do
		local kind, name = text:match("^(%l+):(.*)$")
		add(kind, name, "control")
	end
	for _, text in ipairs(s.listen or {}) do
		for kind, name in text:gmatch("%f[%a](%l+)=(%S+)") do
			if kind == "user" or kind == "group" then
				add(kind, name, "listen")
			end
		end
	end
	return out
end

local function names_of(list)
	local names, known = {}, {}
	for i, x in ipairs(list) do
		names[i], known[x.name] = x.name, true
	end
	return { names = names, known = known }
end

-- who: the accounts of a system; list, named: its services of PID 1, and what they are made from (system/init_service.lua); all:
-- what its services add.
return function(os, all, who, list, named)
	local there = { user = names_of(who.users), group = names_of(who.groups), service = names_of(list) }

	local function check(from, kind, name, field, what)
		local have = there[kind]
		if name and not have.known[name] then
			local near = schema.suggestion(name, have.names)
			if near == "" and MAKES_USER[schema.name(from)] and kind == "user" then
				near = " [account = true makes it]"
			end
			error(("%s: %s%s › %s: there is no %s '%s'%s"):format(schema.location(from), schema.name(from), what or "", field, kind,
				name, near), 0)
		end
	end

	-- First those whose field is known best.
	for _, m in ipairs(all.mentions) do
		for _, kind in ipairs { "user", "group", "service" } do
			check(m.record or all.origin[m] or os, kind, m[kind], m.field or kind)
		end
	end
	for _, s in ipairs(list) do
		local from = named[s.name] or s
		for _, account in ipairs(accounts_of(s)) do
			local kind, name, field = table.unpack(account)
			check(from, kind, name, named[s.name] and service.source(from, field) or field, " '" .. s.name .. "'")
		end
	end
	for _, a in ipairs(all.activation) do
		if a.directory then
			check(all.origin[a] or os, "user", a.user, "user")
			check(all.origin[a] or os, "group", a.group, "group")
		end
	end
	for _, d in ipairs(os.directories) do
		check(d, "user", d.user, "user")
		check(d, "group", d.group, "group")
	end
	for _, r in ipairs(os.device_rules) do
		check(r, "group", r.group, "group")
	end
end
