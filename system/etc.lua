-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Files of /etc from the fields of operating_system. Activation links them into place.

local file_systems = require "system.file_systems"
local tree = require "system.tree"
local zones = require "system.zones"

local M = {}

local PROFILE = [[
# Read by login shells. Written by Cairn from the configuration of the system.
export PATH=/run/privileged/bin:/run/current-system/profile/bin:/run/current-system/profile/sbin:/bin:/usr/bin
[ ! -d "$HOME/.cairn-profile" ] || PATH=$HOME/.cairn-profile/bin:$HOME/.cairn-profile/sbin:$PATH
%s
[ ! -f "$HOME/.profile.local" ] || . "$HOME/.profile.local"
case $- in *i*) [ "$(id -u)" = 0 ] && PS1='\h:\w# ' || PS1='\h:\w$ ' ;; esac
]]

local function profile(environment)
	local lines = {}
	for name, value in pairs(environment) do
		lines[#lines + 1] = "export " .. name .. "=" .. shell_quote(value)
	end
	return PROFILE:format(table.concat(lines, "\n"))
end

local function hosts(os)
	local lines = { "127.0.0.1\tlocalhost " .. os.host_name .. "\n", "::1\tlocalhost " .. os.host_name .. "\n" }
	for address, names in pairs(os.hosts) do
		lines[#lines + 1] = address .. "\t" .. table.concat(names, " ") .. "\n"
	end
	return table.concat(lines)
end

local OS_RELEASE = [[
NAME="Cairn"
ID=cairn
PRETTY_NAME="Cairn"
]]

-- { path = contents | node | { text=, executable= } | { hex= } }; extra: from services; shells: text of /etc/shells.
local function files(os, extra, environment, shells)
	local out = {
		["hostname"] = os.host_name .. "\n",
		["hosts"] = hosts(os),
		["fstab"] = file_systems.fstab(os.file_systems, os.swap),
		["profile"] = profile(environment),
		["os-release"] = OS_RELEASE,
		["issue"] = os.issue,
		["motd"] = os.motd,
		["shells"] = shells,
		["protocols"] = "ip\t0\tIP\nicmp\t1\tICMP\ntcp\t6\tTCP\nudp\t17\tUDP\nipv6-icmp\t58\tIPv6-ICMP\n",
		["localtime"] = { hex = zones.file_hex(zones.rule(os.timezone)) },
	}
	if #os.name_servers > 0 then
		local lines = {}
		for i, address in ipairs(os.name_servers) do
			lines[i] = "nameserver " .. address .. "\n"
		end
		out["resolv.conf"] = table.concat(lines)
	end
	for path, contents in pairs(extra) do
		out[path] = contents
	end
	return out
end

local RESERVED = { passwd = true, group = true, shadow = true, static = true, cairn = true,
	["machine-id"] = true }

function M.derivation(os, extra, environment, shells)
	local sections = { tree.link("mtab", "/proc/self/mounts") }
	for path, v in pairs(files(os, extra, environment, shells)) do
		local first = path:match("^[^/]+")
		if not first or RESERVED[first] or ("/" .. path .. "/"):find("/%.?%.?/") then
			error("services may not write /etc/" .. path, 0)
		end
		if is_node(v) then
			sections[#sections + 1] = tree.link(path, v)
		elseif type(v) == "table" and v.hex then
			sections[#sections + 1] = tree.file(path, v.hex, { hex = true })
		elseif type(v) == "table" then
			sections[#sections + 1] = tree.file(path, v.text, { executable = v.executable })
		else
			sections[#sections + 1] = tree.file(path, v)
		end
	end
	return tree.derivation("etc", sections)
end

return M
