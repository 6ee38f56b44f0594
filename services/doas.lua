-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Commands as another user, by rules: doas, a privileged program, and /etc/doas.conf.

local accounts = require "system.accounts"
local service = require "system.service"

-- Between quotes the only bytes that mean something are the quote and the backslash; a word in quotes is no keyword.
local function word(s)
	return '"' .. s:gsub('[\\"]', "\\%0") .. '"'
end

local function text(options)
	options.pattern = "^[^\1-\31\127]+$"
	options.what = "text without control characters"
	options.max = options.max or 500
	return schema.string(options)
end

local rule = schema.record("doas_rule", {
	user = accounts.name { optional = true, doc = "whom it is about; left out: group" },
	group = accounts.name { optional = true, doc = "all of this group" },
	deny = schema.boolean { default = false, doc = "refuse what the rules before allow: the last rule that matches counts" },
	as = accounts.name { optional = true, default_doc = "anybody", doc = "as whom commands may be run" },
	command = text { optional = true, default_doc = "all", doc = "the command; a path must be given as it is here" },
	arguments = schema.list(text {}, { optional = true, default_doc = "any", max = 64, doc = "with exactly these arguments" }),
	password = schema.boolean { default = true, doc = "asks for the user's own" },
	keep_environment = schema.boolean { default = false, doc = "the command gets the environment of who runs it" },
	environment = schema.map(schema.string { pattern = "^[%a_][%w_]*$", what = "the name of a variable" }, text { min = 0 },
		{ default = {}, doc = "variables that the command gets; a value of $NAME is that of who runs it" }),
}, {
	doc = "a rule of doas",
	check = function(r)
		if (r.user == nil) == (r.group == nil) then
			return "needs either user or group", "user"
		elseif r.arguments and not r.command then
			return "arguments belong to a command", "arguments"
		elseif r.deny and (not r.password or r.keep_environment or next(r.environment) ~= nil) then
			return "what is denied has no options", "deny"
		end
	end,
})

local function line(r)
	local out = { r.deny and "deny" or "permit" }
	if not r.deny then
		out[#out + 1] = not r.password and "nopass" or nil
		out[#out + 1] = r.keep_environment and "keepenv" or nil
		local set = {}
		for name, value in pairs(r.environment) do
			set[#set + 1] = word(name .. "=" .. value)
		end
		out[#out + 1] = #set > 0 and "setenv { " .. table.concat(set, " ") .. " }" or nil
	end
	out[#out + 1] = word(r.user or ":" .. r.group)
	if r.as then
		out[#out + 1] = "as " .. word(r.as)
	end
	if r.command then
		out[#out + 1] = "cmd " .. word(r.command)
	end
	if r.arguments then
		out[#out + 1] = "args"
		for _, a in ipairs(r.arguments) do
			out[#out + 1] = word(a)
		end
	end
	return table.concat(out, " ") .. "\n"
end

return service.service_type {
	name = "doas",
	doc = "commands as another user, by rules (doas)",
	keywords = "sudo su root privileges",
	example = [[
services.doas {
	rules = {
		{ group = "wheel" },
		{ user = "ann", as = "root", command = "reboot", arguments = {}, password = false },
	},
}]],
	fields = {
		rules = schema.list(schema.of(rule), { default = { { group = "wheel" } }, doc = "the last one that matches counts" }),
	},
	extend = function(s)
		local lines, mentions = {}, {}
		for i, r in ipairs(s.rules) do
			lines[i] = line(r)
			mentions[#mentions + 1] = { record = r, user = r.user, group = r.group }
			mentions[#mentions + 1] = { record = r, user = r.as, field = "as" }
		end
		return {
			mentions = mentions,
			etc = { ["doas.conf"] = table.concat(lines) },
			privileged = { { program = require "packages.doas" .. "/bin/doas" } },
			profile = { require "packages.doas" },
		}
	end,
}
