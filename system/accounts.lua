-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Users and groups of a system, and the file "accounts" that activation reads.

local conf = require "system.conf"
local own_paths = require "system.own_paths"

local M = {}

local NAME = { pattern = "^[a-z_][a-z0-9_-]*$", max = 32, what = "a name (a-z, 0-9, _ and -)" }

local function plain(options)
	options.pattern = "^[^:\1-\31\127]*$"
	options.what = "text without colons and control characters"
	options.check = options.check or conf.flaw
	return schema.string(options)
end

-- A path that is a field of /etc/passwd. A placeholder has a colon, too.
local function field_path(options)
	options.check = function(v)
		if conf.written(v):find("[:\1-\31\127]") then
			return "holds a colon or a control character"
		end
		return conf.flaw(v)
	end
	return schema.path(options)
end

-- What crypt(3) of musl takes, with the bytes that its output has.
local HASHES = { ["1"] = "MD5", ["2a"] = "Blowfish", ["2b"] = "Blowfish", ["2x"] = "Blowfish", ["2y"] = "Blowfish",
	["5"] = "SHA-256", ["6"] = "SHA-512" }

local function check_password(v)
	if v == "" or v == "!" or v == "*" then
		return
	end
	local method, rest = v:match("^%$(%w+)%$(.+)$")
	if not method then
		return "expected the output of crypt(3) (such as '$6$…'), '' or '!'"
	elseif not HASHES[method] then
		return "'$" .. method .. "$' is no method that this system's crypt(3) knows [busybox mkpasswd -m sha512 makes one that it does]"
	elseif not rest:find("^[%w./=$]+$") then
		return "holds bytes that no output of crypt(3) has"
	end
end

-- For schema: the name of a user or group.
function M.name(options)
	options.pattern, options.max, options.what = NAME.pattern, NAME.max, NAME.what
	return schema.string(options)
end

-- 0 and root belong together: what is wrong and the field, or nil.
local function misnumbered(account, field)
	if account[field] == 0 and account.name ~= "root" then
		return field .. " 0 belongs to root", field
	elseif account.name == "root" and account[field] ~= 0 then
		return "root is 0 everywhere, not " .. account[field] .. " [leave it out]", field
	end
end

-- ACCOUNTS_SUBID_MIN and _MAX of accounts.h
M.FIRST_SUBID = 100000
M.LAST_SUBID = 0xfffffffe

M.user = schema.record("user", {
	name = schema.string(NAME),
	uid = schema.integer {
		min = 0, max = 65534, optional = true, doc = "given once, never changed", default_doc = "allocated (root: 0)",
		default = function(u)
			return u.name == "root" and 0 or nil
		end,
	},
	group = schema.string { optional = true, default_doc = "one of the same name", doc = "primary group" },
	groups = schema.list(schema.string(), { default = {}, unique = true, doc = "further groups" }),
	comment = plain { min = 0, default = "", doc = "name for people" },
	home = field_path {
		default_doc = "/home/NAME (system: /var/empty)", doc = "home directory",
		default = function(u)
			return u.name == "root" and "/root" or u.system and "/var/empty" or "/home/" .. u.name
		end,
	},
	create_home = schema.boolean {
		default_doc = "true (system: false)", doc = "make the home directory when it is not there, with the files of skeletons",
		default = function(u)
			return u.name == "root" or not u.system
		end,
	},
	shell = field_path {
		default_doc = "/bin/sh (system: /bin/false)",
		doc = "login shell: a file of a package, or one below /run/current-system/profile",
		default = function(u)
			return u.system and u.name ~= "root" and "/bin/false" or "/bin/sh"
		end,
	},
	password = plain {
		min = 0, default = "!", check = check_password, doc = "crypt(3) text of the first password; \"\" for none; \"!\" locks",
	},
	password_file = schema.path {
		optional = true, check = conf.secret_file, doc = "file of the machine, of mode 0600, that has the first password",
	},
	subids = schema.integer { default = 0, min = 0, max = 1 << 24, doc = "how many subordinate numbers (/etc/subuid, /etc/subgid)" },
	subid_start = schema.integer { min = M.FIRST_SUBID, max = M.LAST_SUBID, optional = true, default_doc = "allocated", doc = "the first of them" },
	system = schema.boolean {
		default_doc = "false (root: true)",
		default = function(u)
			return u.name == "root"
		end,
		doc = "account of a program, not of a person",
	},
}, {
	doc = "an account", keywords = "user login password adduser",
	example = [[
users = { { name = "ann", comment = "Ann Lee", groups = { "wheel" } } }]],
	check = function(u)
		if misnumbered(u, "uid") then
			return misnumbered(u, "uid")
		end
		if u.password_file and u.password ~= "!" then
			return "there is a password, too", "password_file"
		end
		if u.subid_start and u.subids == 0 then
			return "subids says how many there are from there on", "subids"
		end
		if u.subid_start and u.subids > M.LAST_SUBID - u.subid_start then
			return ("there are %d from %d on"):format(M.LAST_SUBID - u.subid_start, u.subid_start), "subids"
		end
		if u.create_home and not (u.name == "root" and u.home == "/root") then
			return own_paths.check_given(u.home, nil, "another one, such as /home/" .. u.name .. ", or create_home = false"), "home"
		end
	end,
})

M.group = schema.record("group", {
	name = schema.string(NAME),
	gid = schema.integer {
		min = 0, max = 65534, optional = true, default_doc = "allocated (root: 0)", doc = "given once, never changed",
		default = function(g)
			return g.name == "root" and 0 or nil
		end,
	},
	system = schema.boolean { default = false, doc = "numbers below 1000" },
}, {
	doc = "a group",
	example = [[
groups = { { name = "media" } }, users = { { name = "ann", groups = { "media" } } }]],
	check = function(g)
		return misnumbered(g, "gid")
	end,
})

-- What every system has; a user or group of the configuration with one of these names replaces it.
M.base_groups = {
	M.group { name = "root", gid = 0, system = true },
	M.group { name = "wheel", gid = 10, system = true },
	M.group { name = "tty", gid = 5, system = true },
	M.group { name = "disk", gid = 6, system = true },
	M.group { name = "kmem", gid = 9, system = true },
	M.group { name = "dialout", gid = 20, system = true },
	M.group { name = "cdrom", gid = 24, system = true },
	M.group { name = "audio", gid = 29, system = true },
	M.group { name = "video", gid = 44, system = true },
	M.group { name = "users", gid = 50, system = true },
	M.group { name = "nobody", gid = 65534, system = true },
}

M.base_users = {
	M.user { name = "root" },
	M.user { name = "nobody", uid = 65534, group = "nobody", system = true },
}

local function add(order, by_name, list)
	for _, x in ipairs(list) do
		if not by_name[x.name] then
			order[#order + 1] = x.name
		end
		by_name[x.name] = x
	end
end

-- Activation gives no number twice: a machine of such a system would not come up. own: groups that were made for a user -> the user.
local function check_numbers(users, groups, own)
	local owners = {}
	for _, u in ipairs(users) do
		local other = u.uid and owners[u.uid]
		if other then
			schema.fail(u, "the users '" .. other .. "' and '" .. u.name .. "' have one number, " .. u.uid
				.. " [leave it out: one is given to each]", "uid")
		elseif u.uid then
			owners[u.uid] = u.name
		end
	end
	owners = {}
	-- A group of its own is blamed last: its number is only the user's.
	for _, made in ipairs { false, true } do
		for _, g in ipairs(groups) do
			local other = g.gid and (own[g] ~= nil) == made and owners[g.gid]
			if other and made then
				schema.fail(own[g], "the group of user '" .. g.name .. "' gets the same number " .. g.gid .. ", which group '" .. other
					.. "' has [give another, or group = \"" .. other .. "\"]", "uid")
			elseif other then
				schema.fail(g, "the groups '" .. other .. "' and '" .. g.name .. "' have one number, " .. g.gid
					.. " [leave it out: one is given to each]", "gid")
			elseif g.gid and (own[g] ~= nil) == made then
				owners[g.gid] = g.name
			end
		end
	end
end

-- Ranges of subordinate numbers that are given, which activation would refuse for the same reason.
local function check_subids(users)
	for i, u in ipairs(users) do
		for j = 1, u.subid_start and i - 1 or 0 do
			local other = users[j]
			if other.subid_start and u.subid_start < other.subid_start + other.subids and other.subid_start < u.subid_start + u.subids then
				schema.fail(u, "the users '" .. other.name .. "' and '" .. u.name .. "' have subordinate numbers in common", "subid_start")
			end
		end
	end
end

-- Base accounts, those of services, those of the configuration: a later one replaces an earlier one.
-- A user without a group gets one of his name.
function M.merge(users, groups)
	local user_order, group_order, by_user, by_group = {}, {}, {}, {}
	for _, list in ipairs(users) do
		add(user_order, by_user, list)
	end
	for _, list in ipairs(groups) do
		add(group_order, by_group, list)
	end
	local result, own = { users = {}, groups = {} }, {}
	for _, name in ipairs(user_order) do
		local u = by_user[name]
		if not u.group and not by_group[u.name] then
			local g = M.group { name = u.name, gid = u.uid, system = u.system }
			own[g] = u
			add(group_order, by_group, { g })
		end
		result.users[#result.users + 1] = u
	end
	for i, name in ipairs(group_order) do
		result.groups[i] = by_group[name]
	end
	for _, u in ipairs(result.users) do
		local wanted = { u.group or u.name }
		for _, g in ipairs(u.groups) do
			wanted[#wanted + 1] = g
		end
		for _, g in ipairs(wanted) do
			if not by_group[g] then
				schema.fail(u, "there is no group '" .. g .. "'" .. schema.suggestion(g, group_order), g == u.group and "group" or "groups")
			end
		end
	end
	check_numbers(result.users, result.groups, own)
	check_subids(result.users)
	return result
end

-- Directories in which a system has nothing but the links that activation makes.
local EMPTY = { "^/bin/", "^/sbin/", "^/usr/", "^/lib/", "^/lib64/", "^/gnu/" }

-- Shells are there. links: the paths of links that activation makes. What lies elsewhere (a home, /opt) is the machine's.
function M.check_shells(users, links)
	for _, u in ipairs(users) do
		local missing = false
		for _, pattern in ipairs(EMPTY) do
			missing = missing or u.shell:find(pattern) ~= nil and not links[u.shell]
		end
		if missing then
			local name = u.shell:match("[^/]*$")
			schema.fail(u, "nothing provides '" .. u.shell .. "' [a file of a package: require \"packages." .. name .. "\" .. \"/bin/" .. name
				.. "\"; or /run/current-system/profile/bin/" .. name .. ", of a package in packages]", "shell")
		end
	end
end

-- /etc/shells: those with which one may log in.
function M.shells(users)
	local out, seen = {}, {}
	local function add(path)
		if not seen[path] and not path:find("/false$") and not path:find("/nologin$") then
			seen[path] = true
			out[#out + 1] = path .. "\n"
		end
	end
	add("/bin/sh")
	add("/run/current-system/profile/bin/sh")
	for _, u in ipairs(users) do
		add(u.shell)
	end
	return table.concat(out)
end

-- That user and group of each record of the list are there.
function M.check_owners(accounts, list)
	for _, kind in ipairs { "user", "group" } do
		local known, names = {}, {}
		for i, x in ipairs(accounts[kind .. "s"]) do
			known[x.name], names[i] = true, x.name
		end
		for _, x in ipairs(list) do
			if not known[x[kind]] then
				schema.fail(x, "there is no " .. kind .. " '" .. x[kind] .. "'" .. schema.suggestion(x[kind], names), kind)
			end
		end
	end
end

-- The file "accounts".
function M.text(accounts)
	local out = {}
	for _, g in ipairs(accounts.groups) do
		out[#out + 1] = conf.section("group", g.name, {
			{ "id", g.gid and tostring(g.gid) },
			{ "system", g.system and "yes" or nil },
		})
	end
	for _, u in ipairs(accounts.users) do
		out[#out + 1] = conf.section("user", u.name, {
			{ "id", u.uid and tostring(u.uid) },
			{ "system", u.system and "yes" or nil },
			{ "group", u.group },
			{ "groups", #u.groups > 0 and conf.words(u.groups) or nil },
			{ "comment", u.comment ~= "" and u.comment or nil },
			{ "home", u.home },
			{ "shell", u.shell },
			{ "password", u.password },
			{ "password-file", u.password_file },
			{ "create-home", u.create_home and "yes" or nil },
			{ "subids", u.subids > 0 and tostring(u.subids) or nil },
			{ "subid-start", u.subid_start and tostring(u.subid_start) },
		})
	end
	return table.concat(out)
end

return M
