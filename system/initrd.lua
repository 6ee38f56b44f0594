-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The initramfs: stage 1, a checker for what it mounts, modules it was asked for, programs and a list for mapped devices, a
-- shell for emergencies, and the keyboard's layout where there is something to type. It knows nothing of the rest of the system, so that generations share it.

local file_systems = require "system.file_systems"
local keyboards = require "system.keyboards"
local mapped_devices = require "system.mapped_devices"
local module_tree = require "system.module_tree"
local tools = require "system.tools"
local tree = require "system.tree"

-- What somebody at the rescue shell types without thinking; `busybox NAME` has the rest.
local COMMANDS = {
	"sh", "cat", "chroot", "cp", "dmesg", "fdisk", "find", "grep", "head", "less", "ln", "ls", "mkdir", "mount", "mv",
	"ps", "readlink", "rm", "sync", "tail", "tty", "umount", "vi",
}

local PROGRAMS = { luks = { "cryptsetup", "cryptsetup" }, raid = { "mdadm", "mdadm" }, lvm = { "lvm2", "lvm" } }

local M = {}

-- What stage 1 opens (init/mapped.h has the form): programs, the modules for them, and the list. places: who needs a module, by
-- its name. Says whether a passphrase is asked for.
local function mapped(os, sections, modules, places)
	local lines, there = {}, {}
	local known = {}
	for _, name in ipairs(modules) do
		known[name:gsub("-", "_")] = true
	end
	for i, entry in ipairs((mapped_devices.split(os))) do
		local m = entry.device
		local words = { m.type, entry.needed and "needed" or "wanted", mapped_devices.path(m) }
		if m.type == "luks" then
			table.move({ m.source, tostring(m.tries), m.allow_discards and "discards" or "-" }, 1, 3, 4, words)
		elseif m.type == "lvm" then
			words[4] = m.source .. "/" .. mapped_devices.volume(m)
		else
			words[4] = m.source and m.source:sub(6) or "-"
			table.move(m.sources, 1, #m.sources, 5, words)
		end
		lines[i] = table.concat(words, " ") .. "\n"
		if not there[m.type] then
			local package, name = table.unpack(PROGRAMS[m.type])
			there[m.type] = true
			sections[#sections + 1] = tree.copy("sbin/" .. name, require("packages." .. package) .. "/sbin/" .. name, true)
		end
		for _, name in ipairs(mapped_devices.modules(m)) do
			if not known[name] then
				known[name] = true
				modules[#modules + 1] = name
				places[name] = schema.place(m, "type")
			end
		end
	end
	if #lines > 0 then
		sections[#sections + 1] = tree.file("mapped", table.concat(lines))
	end
	return there.luks -- a key file is nothing for stage 1
end

local function mounts(os, sections)
	local lines = {}
	for i, fs in ipairs(mapped_devices.mounted_early(os)) do
		local options = file_systems.options(fs)
		lines[i] = table.concat({ fs.mount_point, fs.device, fs.type, #options > 0 and table.concat(options, ",") or "defaults",
			file_systems.how_checked(fs) }, " ") .. "\n"
	end
	if #lines > 0 then
		sections[#sections + 1] = tree.file("mounts", table.concat(lines))
	end
end

-- The kernel's modules for what stage 1 mounts; a kernel that has neither these nor the code for them built in fails the build.
local function for_types(os, modules, places)
	local known = {}
	for _, name in ipairs(modules) do
		known[name] = true
	end
	for _, fs in ipairs(os.file_systems) do
		for _, name in ipairs(mapped_devices.first(os, fs) and file_systems.modules(fs) or {}) do
			if not known[name] then
				known[name] = true
				modules[#modules + 1] = name
				places[name] = schema.place(fs, "type")
			end
		end
	end
end

local function needs_checker(os)
	for _, fs in ipairs(os.file_systems) do
		if fs.check and mapped_devices.first(os, fs) and fs.type:find("^ext[234]$") then
			return true
		end
	end
end

-- Files of the configuration are besides what the initramfs has, not in its place.
local function add_files(os, sections)
	local own, files = {}, {}
	for _, s in ipairs(sections) do
		local kind, path = s:match("^%[(%S+) (%C+)%]\n")
		own[path], files[path] = true, kind ~= "directory" or nil
		for i in path:gmatch("()/") do
			own[path:sub(1, i - 1)] = true
		end
	end
	for path, file in pairs(os.initrd_files) do
		local field = "initrd_files['" .. path .. "']"
		if own[path] then
			schema.fail(os, "the initramfs has its own '" .. path .. "'", field)
		end
		for i in path:gmatch("()/") do
			local above = path:sub(1, i - 1)
			if files[above] then
				schema.fail(os, "'" .. above .. "' is a file of the initramfs", field)
			end
		end
		sections[#sections + 1] = tree.copy(path, file, true)
	end
end

-- Of os.initrd_modules, os.initrd_rescue, os.kernel, …; and the modules that the kernel must have for it: list of { name, place of
-- who needs it, is it one that the configuration names }.
function M.derivation(os)
	local sections = {
		tree.dir("dev"), tree.dir("proc"), tree.dir("sys"), tree.dir("root"),
		tree.node("dev/console", 5, 1), tree.node("dev/null", 1, 3),
		tree.copy("init", tools.cairn .. "/bin/cairn-boot", true),
	}
	if needs_checker(os) then
		sections[#sections + 1] = tree.copy("sbin/e2fsck", tools.e2fsprogs .. "/sbin/e2fsck", true)
	end
	local modules, places = table.move(os.initrd_modules, 1, #os.initrd_modules, 1, {}), {}
	for i, name in ipairs(modules) do
		places[name] = schema.place(os, "initrd_modules[" .. i .. "]")
	end
	for_types(os, modules, places)
	local asks = mapped(os, sections, modules, places)
	mounts(os, sections)
	if os.initrd_rescue then
		sections[#sections + 1] = tree.copy("bin/busybox", tools.busybox .. "/bin/busybox", true)
		for _, name in ipairs(COMMANDS) do
			sections[#sections + 1] = tree.link("bin/" .. name, "busybox")
		end
	end
	if os.keyboard and (asks or os.initrd_rescue) then
		sections[#sections + 1] = tree.copy("keymap", keyboards.file(os.keyboard))
	end
	if #modules > 0 then
		sections[#sections + 1] = tree.modules("modules", module_tree(os), modules)
	end
	add_files(os, sections)
	local env = tree.env(sections)
	env.busybox = tools.busybox .. "/bin/busybox"
	env.cairn = tools.cairn .. "/bin/cairn"
	local needed = {}
	for i, name in ipairs(modules) do
		needed[i] = { name, places[name], i <= #os.initrd_modules }
	end
	return derivation {
		name = "initrd",
		builder = env.busybox,
		args = {
			"sh", "-ec",
			-- gzip takes a read that fails for the end.
			'"$cairn" builder cpio >archive; "$busybox" mkdir "$out"; "$busybox" gzip -9 -n -c <archive >"$out/initrd"; '
				.. '"$busybox" gunzip -c <"$out/initrd" | "$busybox" cmp - archive',
		},
		env = env,
	}, needed
end

return M
