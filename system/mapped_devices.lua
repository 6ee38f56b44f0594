-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Mapped devices: block devices that the kernel makes from others. What the machine cannot start without, and what asks for a
-- passphrase, is opened by stage 1 (system/initrd.lua); the others are opened by services (system/mapping.lua).

local conf = require "system.conf"
local file_systems = require "system.file_systems"
local secrets = require "system.secrets"

local M = {}

local TARGET = "^%w[%w+_.-]*$"

-- Modules by the level of an array; nil: no level is given.
local LEVELS = { [0] = "raid0", [1] = "raid1", [4] = "raid456", [5] = "raid456", [6] = "raid456", [10] = "raid10" }

local function source(options)
	options.check = function(v)
		return file_systems.check_device(v) or v:find("[%s\"'\\]") and "'" .. v .. "' holds a blank, a quote or a backslash" or nil
	end
	options.pattern, options.what = "^[^\1-\31\127]+$", "text without control characters"
	return schema.string(options)
end

-- What of its fields goes with each type.
local FIELDS = {
	luks = { source = true, key_file = true, allow_discards = true, tries = true },
	raid = { source = true, sources = true, level = true },
	lvm = { source = true },
}

local function array_uuid(v)
	local digits = (v:match("^UUID=(.*)$") or ""):gsub("[:-]", "")
	return digits:find("^%x+$") and #digits == 32
end

-- As device-mapper writes a part of a name that has two.
local function doubled(s)
	return (s:gsub("-", "--"))
end

local function check_raid(m)
	if (m.source == nil) == (#m.sources == 0) then
		return "an array has either sources, its disks, or source, its UUID", m.source and "sources" or "source"
	elseif m.source and not array_uuid(m.source) then
		return "expected the array's UUID=… (mdadm --detail prints it), got '" .. m.source .. "'", "source"
	end
	for _, v in ipairs(m.sources) do
		if v:find("^UUID=") or v:find("^LABEL=") then
			return "the disks of an array have one UUID and label together [source = \"UUID=…\" is the array; PARTUUID=, PARTLABEL= or "
				.. "a path is a disk]", "sources"
		end
	end
	if #m.target > 32 then
		return "names of arrays have at most 32 bytes", "target"
	end
end

local function check_lvm(m)
	if not m.source:find("^[%w+_.][%w+_.-]*$") then
		return "expected the name of a volume group, got '" .. m.source .. "'", "source"
	end
	local group = doubled(m.source) .. "-"
	local volume = m.target:sub(1, #group) == group and m.target:sub(#group + 1) or ""
	if volume == "" or volume:gsub("%-%-", ""):find("-", 1, true) then
		return "a volume of the group is called '" .. group .. "VOLUME', with '--' for each '-' of VOLUME, not '" .. m.target .. "'", "target"
	end
end

M.mapped_device = schema.record("mapped_device", {
	type = schema.enum({ "luks", "raid", "lvm" }, { doc = "luks: encrypted; raid: an array of disks (mdadm); lvm: a logical volume" }),
	target = schema.string {
		pattern = TARGET, max = 50, what = "the name of a device",
		doc = "name in /dev/mapper; of an array: in /dev/md, or md0 and the like in /dev; of a volume: GROUP-VOLUME",
	},
	source = schema.string {
		optional = true, pattern = "^[^%s\"'\\\1-\31\127]+$", what = "a word without quotes and backslashes",
		doc = "luks: the device, as of file systems; raid: UUID=… of the array; lvm: the volume group",
	},
	sources = schema.list(source {}, { default = {}, unique = true, max = 32, doc = "raid: the disks, one of which may be missing" }),
	level = schema.integer {
		optional = true, doc = "raid: 0, 1, 4, 5, 6 or 10; left out: the modules of all levels are in the initramfs",
		check = function(v)
			return not LEVELS[v] and "there is no level " .. v .. ": 0, 1, 4, 5, 6 or 10" or nil
		end,
	},
	key_file = schema.path {
		optional = true, doc = "luks: file of the machine with the key; left out: the console is asked for a passphrase",
		check = conf.secret_file,
	},
	allow_discards = schema.boolean { default = false, doc = "luks: the disk hears of what is free, and so does who looks at it" },
	tries = schema.integer { default = 3, min = 1, max = 100, doc = "luks: how often a passphrase may be wrong" },
	dependencies = schema.list(schema.string { pattern = TARGET, what = "the target of a mapped device" }, {
		optional = true, unique = true, default_doc = "those above it in the list, when source is a UUID, a label or a volume group",
		doc = "targets that are opened before; those that source names by path are",
	}),
}, {
	doc = "a block device made from others", keywords = "encryption cryptsetup dm-crypt mdadm",
	example = [[
mapped_devices = { { type = "luks", target = "data", source = "PARTLABEL=data" } },
file_systems = {
	{ device = "LABEL=root", mount_point = "/" },
	{ device = "/dev/mapper/data", mount_point = "/srv" },
}]],
	check = function(m)
		local given = schema.given(m)
		for _, field in ipairs { "source", "sources", "key_file", "allow_discards", "tries", "level" } do
			if given[field] ~= nil and not FIELDS[m.type][field] then
				return "a device of type '" .. m.type .. "' has no such field", field
			end
		end
		if m.type == "raid" then
			return check_raid(m)
		elseif not m.source then
			return "missing", "source"
		elseif m.type == "lvm" then
			return check_lvm(m)
		end
		local why = file_systems.check_device(m.source)
		if why then
			return why, "source"
		end
	end,
})

-- ---- Names -----------------------------------------------------------------------------------------

-- Logical volume of a target that was checked.
function M.volume(m)
	return (m.target:sub(#doubled(m.source) + 2):gsub("%-%-", "-"))
end

-- The path of it.
function M.path(m)
	if m.type ~= "raid" then
		return "/dev/mapper/" .. m.target
	end
	return (m.target:find("^md%d+$") and "/dev/" or "/dev/md/") .. m.target
end

-- The modules that its type needs, besides what is in any kernel.
function M.modules(m)
	if m.type == "luks" then
		return { "dm_crypt", "xts", "ecb", "aes_generic", "aesni_intel" }
	elseif m.type == "lvm" then
		return { "dm_snapshot", "dm_mirror", "dm_raid", "dm_thin_pool" }
	elseif m.level then
		return { LEVELS[m.level] }
	end
	return { "raid0", "raid1", "raid10", "raid456" }
end

-- Path -> device that has it.
local function paths_of(os)
	local out = {}
	for _, m in ipairs(os.mapped_devices) do
		out[M.path(m)] = m
		if m.type == "lvm" then
			out["/dev/" .. m.source .. "/" .. M.volume(m)] = m
		end
	end
	return out
end

-- Directories of /dev that drivers and people make; another one is a volume group's.
local DIRECTORIES = { block = true, cciss = true, disk = true, ida = true, rd = true }

-- The volume group that a path below /dev is of.
local function group_of(device)
	local directory = device:match("^/dev/([^/]+)/[^/]+$")
	return directory and not DIRECTORIES[directory] and directory or nil
end

-- What a device that is named so needs: the mapped device; or why there is none.
local function behind(os, device)
	local paths = paths_of(os)
	if paths[device] then
		return paths[device]
	elseif device:find("^/dev/dm%-%d") then
		return nil, "'" .. device .. "' is another device at each boot [its name is in /dev/mapper]"
	elseif not (device:find("^/dev/mapper/") or device:find("^/dev/md[/%d]") or group_of(device)) then
		return nil
	end
	local known = {}
	for path in pairs(paths) do
		known[#known + 1] = path
	end
	table.sort(known)
	return nil, "no mapped device makes '" .. device .. "'" .. schema.suggestion(device, known)
end

-- ---- Who needs whom --------------------------------------------------------------------------------

local function by_target(os)
	local out, names = {}, {}
	for i, m in ipairs(os.mapped_devices) do
		out[m.target], names[i] = m, m.target
	end
	return out, names
end

-- The devices named by list, the field dependencies of v; a '/' begins the mount point of a file system.
local function named(os, v, list)
	local known, names = by_target(os)
	local out = {}
	for _, name in ipairs(list) do
		if name:sub(1, 1) ~= "/" then
			if not known[name] then
				schema.fail(v, "there is no mapped device '" .. name .. "'" .. schema.suggestion(name, names), "dependencies")
			end
			out[#out + 1] = known[name]
		end
	end
	return out
end

-- What m says that it is made from, and whether its source may be on any other.
local function told(os, m)
	local out, seen = named(os, m, m.dependencies or {}), {}
	for _, other in ipairs(out) do
		seen[other] = true
	end
	local hidden = m.type == "lvm"
	for _, device in ipairs(m.type == "lvm" and {} or m.source and { m.source } or m.sources) do
		local other, why = behind(os, device)
		if why then
			schema.fail(m, why, m.source and "source" or "sources")
		elseif other and not seen[other] then
			seen[other] = true
			out[#out + 1] = other
		end
		hidden = hidden or device:find("^UUID=") or device:find("^LABEL=")
	end
	return out, hidden and not m.dependencies, seen
end

-- Does m say so itself, or what it is made from?
local function says(os, m, wanted, seen)
	if m == wanted or seen[m] then
		return m == wanted
	end
	seen[m] = true
	for _, other in ipairs((told(os, m))) do
		if says(os, other, wanted, seen) then
			return true
		end
	end
end

-- Mapped devices that this one is made from. What is found by what is on it may be on any of those above.
function M.sources_of(os, m)
	local out, hidden, seen = told(os, m)
	for _, other in ipairs(hidden and os.mapped_devices or {}) do
		if other == m then
			break
		elseif not seen[other] and not says(os, other, m, {}) then
			out[#out + 1] = other
		end
	end
	return out
end

-- Mapped devices under a file system or swap space.
function M.under(os, v)
	local out = named(os, v, v.dependencies)
	local is_swap = schema.name(v) == "swap"
	if v.device and v.device:find("^/dev/") then
		local other, why = behind(os, v.device)
		-- What a service of one's own opens, or somebody by hand, is theirs to know.
		if why and (is_swap or v.mount and #v.services == 0) then
			schema.fail(v, why, "device")
		end
		for _, m in ipairs(out) do
			other = other ~= m and other or nil
		end
		out[#out + 1] = other
	end
	return out
end

-- In an order in which they can be opened.
local function ordered(os)
	local out, state = {}, {}
	local function visit(m, way)
		if state[m] == "done" then
			return
		end
		way = way and way .. " -> " .. m.target or m.target
		if state[m] then
			schema.fail(m, "mapped devices are made from each other: " .. way .. " [dependencies says which are opened before]",
				m.source and "source" or "sources")
		end
		state[m] = "busy"
		for _, other in ipairs(M.sources_of(os, m)) do
			visit(other, way)
		end
		state[m] = "done"
		out[#out + 1] = m
	end
	for _, m in ipairs(os.mapped_devices) do
		visit(m)
	end
	return out
end

-- Adds m and all that it needs to set, which has reasons by device.
local function need(os, m, set, reason)
	if not set[m] then
		set[m] = reason
		for _, other in ipairs(M.sources_of(os, m)) do
			need(os, other, set, reason)
		end
	end
end

-- ---- What stage 1 mounts ---------------------------------------------------------------------------

-- Is m opened with a file of the machine, or anything that it is made from?
local function has_key(os, m)
	local set = {}
	need(os, m, set, true)
	for _, other in ipairs(os.mapped_devices) do
		if set[other] and other.key_file then
			return true
		end
	end
	return false
end

-- Does stage 1 mount fs?
function M.first(os, fs)
	if fs.mount_point == "/" or fs.needed_for_boot ~= nil then
		return fs.mount_point == "/" or fs.needed_for_boot
	end
	local early = fs.mount and file_systems.early(fs) or nil
	if early ~= "may" then
		return early == "must"
	elseif file_systems.unfit(fs) then
		return false
	end
	for _, name in ipairs(fs.dependencies) do
		if name:find("^/") then
			return false
		end
	end
	for _, m in ipairs(M.under(os, fs)) do
		if has_key(os, m) then
			return false
		end
	end
	for _, other in ipairs(os.file_systems) do
		if other.mount and fs.mount_point:sub(1, #other.mount_point + 1) == other.mount_point .. "/" and not M.first(os, other) then
			return false
		end
	end
	return true
end

-- What stage 1 mounts besides the root; what is above comes first.
function M.mounted_early(os)
	local list = {}
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point ~= "/" and M.first(os, fs) then
			list[#list + 1] = fs
		end
	end
	table.sort(list, function(a, b)
		return a.mount_point < b.mount_point
	end)
	return list
end

-- Of what activation has, nothing is hidden by what services mount.
function M.check_early(os)
	for _, fs in ipairs(os.file_systems) do
		local why, field = file_systems.check_early(fs)
		if why then
			schema.fail(fs, why, field)
		end
	end
end

-- What stage 1 opens, in order: list of { device, needed = the machine cannot start without }. The others, in order.
function M.split(os)
	local needed, asked, first, others = {}, {}, {}, {}
	for _, fs in ipairs(os.file_systems) do
		for _, m in ipairs(M.first(os, fs) and M.under(os, fs) or {}) do
			need(os, m, needed, fs.mount_point)
		end
	end
	for _, m in ipairs(os.mapped_devices) do
		if m.type == "luks" and not m.key_file then
			need(os, m, asked, m.target)
		end
	end
	for _, m in ipairs(ordered(os)) do
		if needed[m] and m.key_file then
			schema.fail(m, "stage 1 opens it for '" .. needed[m] .. "', and has no secrets: leave this out, and the console is asked "
				.. "for a passphrase", "key_file")
		elseif asked[m] and m.key_file then
			schema.fail(m, "stage 1 asks for the passphrase of '" .. asked[m] .. "', which is made from this one, and has no key file", "key_file")
		elseif needed[m] or asked[m] then
			first[#first + 1] = { device = m, needed = needed[m] ~= nil }
		end
		if not needed[m] then
			others[#others + 1] = m
		end
	end
	return first, others
end

-- ---- Checks of a whole system ----------------------------------------------------------------------

-- The file system that the boot loader reads kernels from; nil: nobody knows.
function M.kernels(os)
	local where = os.bootloader.type == "grub" and "/boot" or os.bootloader.directory
	local best
	for _, fs in ipairs(where and os.file_systems or {}) do
		local at = fs.mount_point == "/" and "/" or fs.mount_point .. "/"
		if (where .. "/"):sub(1, #at) == at and (not best or #at > #best.mount_point) then
			best = fs
		end
	end
	return best
end

local ADVICE = {
	grub = "GRUB reads menu and kernels from it, and opens no mapped device [bootloader = { type = \"efi\" } has them on the EFI system partition]",
	efi = "the boot loader and its kernels are on it, and firmware opens no mapped device",
	extlinux = "the boot loader reads kernels from it, and opens no mapped device [directory of the boot loader names a file system of their own]",
}

function M.check(os)
	local seen = {}
	for _, m in ipairs(os.mapped_devices) do
		if seen[m.target] then
			schema.fail(m, "there are two mapped devices '" .. m.target .. "'", "target")
		end
		secrets.check_file(os, m, "key_file")
		seen[m.target] = true
	end
	for _, list in ipairs { os.file_systems, os.swap } do
		for _, v in ipairs(list) do
			M.under(os, v)
		end
	end
	M.split(os)
	local fs = M.kernels(os)
	if fs and #M.under(os, fs) > 0 then
		schema.fail(fs, ADVICE[os.bootloader.type], "device")
	end
end

-- A system without them, for what has other disks: its root is whatever stage 1 is told.
function M.without(os)
	local list = {}
	for _, fs in ipairs(os.file_systems) do
		if #M.under(os, fs) == 0 then
			list[#list + 1] = fs
		elseif fs.mount_point == "/" then
			list[#list + 1] = fs:with { device = "/dev/root", dependencies = {} }
		end
	end
	return os:with { mapped_devices = {}, file_systems = list, swap = {} }
end

-- An image has its root on a partition, or no disk at all.
function M.check_image(os)
	for _, fs in ipairs(os.file_systems) do
		if M.first(os, fs) and #M.under(os, fs) > 0 then
			schema.fail(fs, "an image has no mapped device, which this one is on [cairn system init writes to disks that are prepared by hand]",
				"device")
		end
	end
end

return M
