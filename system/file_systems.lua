-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- File systems and swap: where they are and how they are mounted.

local conf = require "system.conf"
local own_paths = require "system.own_paths"

local M = {}

local KEYS = { LABEL = true, UUID = true, PARTUUID = true, PARTLABEL = true }

-- "LABEL=x", "UUID=…", "PARTUUID=…", "/dev/…"; nothing when fine.
function M.check_device(v)
	local key, value = v:match("^(%u+)=(.*)$")
	if key and not KEYS[key] then
		return "devices are named by LABEL=, UUID=, PARTUUID= or a path, not by " .. key .. "="
	elseif key and (value == "" or value:find("[\"'\\]") or value:find("^%s") or value:find("%s$")) then
		return "'" .. v .. "' names no device"
	elseif key and key:find("UUID$") and not value:find("^[%x-]+$") then
		return "'" .. v .. "' is no UUID, which has digits from 0 to f and '-' [blkid prints those of a machine]"
	elseif not key and v:sub(1, 1) ~= "/" then
		return "expected LABEL=…, UUID=…, PARTUUID=… or a path such as /dev/vda2, got '" .. v .. "'"
	end
end

local VIRTUAL = { tmpfs = true, proc = true, sysfs = true, overlay = true, devpts = true, cgroup2 = true,
	debugfs = true, tracefs = true, efivarfs = true, ["9p"] = true, virtiofs = true, ramfs = true, hugetlbfs = true, securityfs = true,
	selinuxfs = true, smackfs = true, configfs = true, bpf = true, pstore = true, mqueue = true, fusectl = true, binfmt_misc = true,
	nfsd = true, rpc_pipefs = true, functionfs = true, gadgetfs = true, resctrl = true, xenfs = true, binder = true }

-- The file systems of Linux, and the module of each: true of the same name, false none, it is a part of every kernel, of one that
-- was made with it, or of another one (ext4 does the work of its ancestors).
local TYPES = { ext2 = false, ext3 = false, ext4 = false, iso9660 = "isofs", fuseblk = "fuse", nfs4 = "nfsv4", smb3 = "cifs", afs = "kafs",
	rpc_pipefs = "sunrpc", functionfs = "usb_f_fs", pvfs2 = "orangefs", vxfs = "freevxfs",
	tmpfs = false, ramfs = false, hugetlbfs = false, proc = false, sysfs = false, devpts = false, devtmpfs = false, cgroup = false,
	cgroup2 = false, cpuset = false, debugfs = false, tracefs = false, securityfs = false, selinuxfs = false, smackfs = false,
	configfs = false, bpf = false, pstore = false, mqueue = false, resctrl = false, binder = false, binfmt_misc = false, fusectl = false,
	auto = false, none = false }
for name in ([[9p adfs affs apfs aufs autofs bcachefs beegfs befs bfs btrfs ceph cifs coda cramfs ecryptfs efivarfs efs erofs exfat f2fs fuse
	gadgetfs gfs2 hfs hfsplus hpfs jffs2 jfs lustre minix msdos nfs nfsd nilfs2 ntfs ntfs3 ocfs2 ocfs2_dlmfs omfs orangefs overlay qnx4 qnx6
	reiserfs romfs squashfs sysv ubifs udf ufs vboxsf vfat virtiofs xenfs xfs zfs zonefs]]):gmatch("%S+") do
	TYPES[name] = true
end

-- The kernel's name of it: of these it takes TYPE.SUBTYPE, for who looks at mounts, and looks for TYPE.
local HAVE_SUBTYPES = { fuse = true, fuseblk = true }

local function kernel_type(name)
	local kind = name:match("^([^.]+)%..")
	return HAVE_SUBTYPES[kind] and kind or name
end

local TYPE_NAMES = {}
for name in pairs(TYPES) do
	TYPE_NAMES[#TYPE_NAMES + 1] = name
end
table.sort(TYPE_NAMES)
table.insert(TYPE_NAMES, 1, "ext4") -- among equals it was meant

-- No names of file systems, but what mount(8) takes in their place.
local NO_TYPE = { auto = true, none = true }

-- Flags by the options of mount(8) that they are.
local FLAGS = { read_only = "ro", bind = "bind", no_dev = "nodev", no_suid = "nosuid", no_exec = "noexec", no_atime = "noatime",
	no_diratime = "nodiratime", strict_atime = "strictatime", lazy_time = "lazytime" }

local FLAG_NAMES = {}
for name in pairs(FLAGS) do
	FLAG_NAMES[#FLAG_NAMES + 1] = name
end

local function has(list, name)
	for _, v in ipairs(list) do
		if v == name then
			return true
		end
	end
	return false
end

-- Is it a directory or file that is elsewhere, too? The options are what fstab(5) says it with.
function M.is_bind(fs)
	return has(fs.flags, "bind") or has(fs.options, "bind") or has(fs.options, "rbind")
end

-- The modules that the kernel needs for it; of a type that is not known here, nobody knows.
function M.modules(fs)
	local kind = kernel_type(fs.type)
	local name = TYPES[kind]
	if not name or M.is_bind(fs) then
		return {}
	end
	local out = { name == true and kind or name }
	-- What carries 9p's packets has a module of its own.
	local carrier = "virtio"
	for _, option in ipairs(fs.options) do
		carrier = option:match("^trans=(.*)$") or carrier
	end
	out[2] = kind == "9p" and carrier == "virtio" and "9pnet_virtio" or nil
	return out
end

-- What is said of a type that is not known here, and of the near name that was meant, or "".
function M.unknown(fs)
	if TYPES[kernel_type(fs.type)] == nil then
		return "a file system '" .. fs.type .. "' is not known here", schema.suggestion(fs.type, TYPE_NAMES)
	end
end

-- Bytes of a path that are no control characters: what a message or a file shows must be what it is.
local function plain_path(options)
	options.check = function(v)
		if v:find("[\1-\31\127]") then
			return "holds a control character"
		end
		return conf.flaw(v)
	end
	return schema.path(options)
end

local function dependencies()
	return schema.list(schema.string {
		check = function(v)
			if v:sub(1, 1) ~= "/" and not v:find("^%w[%w+_.-]*$") or v:find("[\1-\31\127]") then
				return "'" .. v .. "' is neither a mount point nor the target of a mapped device"
			end
			return conf.flaw(v)
		end,
	}, { default = {}, unique = true, doc = "mount points of file systems that are mounted before; targets of mapped devices" })
end

-- Options that a mount program acts on and no kernel knows: stage 1 has none, and the kernel would refuse them.
local OF_PROGRAMS = {
	nofail = "may_fail = true is for what services mount", noauto = "mount = false is for what is mounted by hand",
	auto = true, user = true, nouser = true, users = true, nousers = true, owner = true, noowner = true, group = true, nogroup = true,
	_netdev = "services says what runs before, for what services mount", loop = true, remount = true, bind = true, rbind = true, move = true,
}

-- Bytes of the options that stage 1 has room for.
local OPTIONS_MAX = 500

local function check_options(fs)
	for _, option in ipairs(fs.options) do
		local advice = OF_PROGRAMS[option] or option:find("^[xX]%-") or option:find("^comment=") or option:find("^loop=")
		if advice then
			return "'" .. option .. "' is for mount programs; the initramfs mounts this one, and the kernel refuses it ["
				.. (type(advice) == "string" and advice .. "; leave it out" or "leave it out") .. "]"
		end
	end
	if #table.concat(M.options(fs), ",") > OPTIONS_MAX then
		return "the initramfs has room for " .. OPTIONS_MAX .. " bytes of options"
	end
end

-- Those that hold the profiles, and what a machine starts from.
local BEFORE_PROFILES = { ["/var"] = true, ["/var/guix"] = true, ["/var/guix/profiles"] = true }

-- What activation reads and writes before services mount anything: it would be on the root, hidden afterwards.
local NUMBERS = "numbers of accounts, passwords and secrets, in /var/lib/cairn"
local BEFORE_SERVICES = { ["/bin"] = "/bin/sh", ["/etc"] = "/etc", ["/usr"] = "/usr/bin/env", ["/usr/bin"] = "/usr/bin/env",
	["/var/lib"] = NUMBERS, ["/var/lib/cairn"] = NUMBERS }
-- Logs begin with PID 1.
local WISHED = { ["/var/log"] = true, ["/var/log/cairn"] = true }

-- "must", "may": when nothing else is said it is mounted before services are there, in any case or where that can be; or nil.
function M.early(fs)
	return BEFORE_SERVICES[fs.mount_point] and "must" or WISHED[fs.mount_point] and "may" or nil
end

-- Why stage 1 cannot mount it, and the field that is the reason; nothing when it can.
function M.unfit(fs)
	local words = fs.mount_point .. (fs.device or "")
	if not fs.mount or fs.may_fail or #fs.services > 0 then
		return "the initramfs mounts it, waits for no service, and does not go on without it", "needed_for_boot"
	elseif M.is_bind(fs) then
		return "the initramfs binds nothing", "needed_for_boot"
	elseif fs.type == "overlay" then
		return "the initramfs would look for the directories of an overlay in itself [services mount it, at another place]", "type"
	elseif NO_TYPE[fs.type] then
		return "the initramfs has to be told which it is", "type"
	elseif words:find("[%s\"'\\]") then
		return "the initramfs cannot be told of blanks, quotes and backslashes", fs.mount_point:find("[%s\"'\\]") and "mount_point" or "device"
	elseif fs.device and fs.device:find("^/") and not fs.device:find("^/dev/") then
		return "the initramfs waits for a device, and mounts no file", "device"
	end
	local flaw = check_options(fs)
	if flaw then
		return flaw, "options"
	end
end

-- Is a file system that services would mount one that must have been there before?
function M.check_early(fs)
	local what = fs.mount and BEFORE_SERVICES[fs.mount_point]
	if not what then
		return
	end
	local why, field = M.unfit(fs)
	if fs.needed_for_boot == false or field == "needed_for_boot" then
		return "activation has " .. what .. " there before services mount it, and they would be hidden [needed_for_boot = true, "
			.. "without may_fail, services and bind]", "needed_for_boot"
	elseif why then
		return "activation has " .. what .. " there before services mount it, so that the initramfs does: " .. why, field
	end
end

M.file_system = schema.record("file_system", {
	device = schema.string { default = function(fs) return VIRTUAL[fs.type] and fs.type or nil end,
		optional = true, default_doc = "the type, for tmpfs and the like", pattern = "^[^\1-\31\127]+$", what = "text without control characters",
		doc = "LABEL=…, UUID=…, PARTUUID=…, or a path" },
	mount_point = plain_path { doc = "where" },
	type = schema.string {
		default = "ext4", pattern = "^[a-z0-9_][a-z0-9_.-]*$", what = "the kernel's name of a file system",
		doc = "the kernel's name of it, fuse.NAME, or auto",
	},
	flags = schema.list(schema.enum(FLAG_NAMES), { default = {}, unique = true, doc = "as options that have a name of their own" }),
	options = schema.list(schema.string { pattern = "^[^%s,\"\\\1-\31\127]+$", what = "a mount option" },
		{ default = {}, doc = "of mount(8)" }),
	mount = schema.boolean { default = true, doc = "false: a line of /etc/fstab, and mounted by hand" },
	check = schema.boolean {
		default_doc = "true for ext2, ext3, ext4", doc = "check before mounting; ext only",
		default = function(fs)
			return fs.type:find("^ext[234]$") ~= nil and not M.is_bind(fs)
		end,
	},
	check_clean = schema.boolean { default = false, doc = "check it even if it says that it is clean; not the root" },
	repair = schema.enum({ "preen", "all", "none" }, {
		default = "preen", doc = "what a check repairs: what is safe, everything, nothing; the root is preened",
	}),
	needed_for_boot = schema.boolean {
		optional = true, doc = "mounted by the initramfs",
		default_doc = "true for /, /bin, /etc, /usr, /usr/bin, /var/lib, /var/lib/cairn; for /var/log and /var/log/cairn where the initramfs can",
	},
	may_fail = schema.boolean { default = false, doc = "the machine comes up without it" },
	create_mount_point = schema.boolean { default = true, doc = "make the directory when it is not there" },
	dependencies = dependencies(),
	services = schema.list(schema.string { pattern = "^%w[%w._@-]*$", max = 64, what = "the name of a service" }, {
		default = {}, unique = true,
		doc = "services that run before it is mounted (a network, say); the group file-systems does not wait for it then",
	}),
}, {
	doc = "a file system", keywords = "mount fstab disk partition",
	example = [[
file_systems = {
	{ device = "LABEL=root", mount_point = "/" },
	{ device = "UUID=1b2c3d4e-0000-4000-8000-000000000001", mount_point = "/home", flags = { "no_dev", "no_suid" } },
	{ mount_point = "/tmp", type = "tmpfs", options = { "size=1G" } },
}]],
	check = function(fs)
		if M.is_bind(fs) and (not fs.device or fs.device:sub(1, 1) ~= "/") then
			return "what is bound is a directory or file", "device"
		end
		if own_paths.is_below(fs.mount_point, "/gnu") then
			return "the store is on the root file system, where the initramfs and the boot loader look for it", "mount_point"
		elseif fs.mount and own_paths.hides_running(fs.mount_point, fs.type) then
			return "'" .. fs.mount_point .. "' has what the running system needs, and it would be hidden", "mount_point"
		end
		if fs.mount_point == "/" and (not fs.mount or fs.may_fail or #fs.services > 0
			or table.concat(fs.dependencies, " "):find("/", 1, true)) then
			return "the root file system is mounted by the initramfs, and waits for nothing", "mount_point"
		elseif fs.mount_point == "/" and fs.needed_for_boot == false then
			return "the root file system is", "needed_for_boot"
		end
		if fs.mount_point == "/" and (has(fs.flags, "read_only") or has(fs.flags, "bind")) then
			return "stage 1 mounts the root to be written to", "flags"
		end
		if fs.mount_point == "/" and (has(fs.options, "ro") or M.is_bind(fs)) then
			return "stage 1 mounts the root to be written to", "options"
		end
		if fs.mount_point == "/" and fs.device and fs.device:find("[%s\"'\\]") then
			return "'" .. fs.device .. "' cannot stand on the kernel's command line", "device"
		end
		if fs.mount and BEFORE_PROFILES[fs.mount_point] then
			return "the initramfs reads the generations, in /var/guix/profiles, from the root file system before others are mounted "
				.. "[what lies beside them can be one of its own: /var/lib, /var/log, /var/cache]", "mount_point"
		end
		-- The checker is e2fsck, and looks at disks.
		if fs.check and not (fs.type:find("^ext[234]$") and not M.is_bind(fs)) then
			return "only ext2, ext3 and ext4 are checked, by e2fsck [leave it out]", "check"
		end
		if fs.mount_point == "/" then
			local flaw = NO_TYPE[fs.type] and "the initramfs has to be told which it is"
			if flaw then
				return flaw, "type"
			end
			flaw = check_options(fs)
			if flaw then
				return flaw, "options"
			end
		elseif fs.needed_for_boot then
			local why, field = M.unfit(fs)
			if why then
				return why, field
			end
		end
		if fs.mount and fs.type == "none" and not M.is_bind(fs) then
			return "only what is bound has none", "type"
		end
		if VIRTUAL[fs.type] then
			return
		end
		if not fs.device then
			return "missing", "device"
		end
		local why = M.check_device(fs.device)
		if why then
			return why, "device"
		end
	end,
})

M.swap = schema.record("swap", {
	device = schema.string { check = M.check_device, pattern = "^[^\1-\31\127]+$", what = "text without control characters",
		doc = "LABEL=…, UUID=…, PARTUUID=…, or a path" },
	priority = schema.integer { min = 0, max = 32767, optional = true, default_doc = "the kernel's", doc = "a higher one is filled first" },
	discard = schema.boolean { default = false, doc = "tell the disk of what is free" },
	dependencies = dependencies(),
	size = schema.string {
		pattern = "^[1-9]%d*[MG]$", what = "a size such as '512M' or '2G'", optional = true,
		doc = "device is a file, which is made when it is not there or has another size",
	},
}, {
	doc = "swap space", keywords = "swapfile memory",
	example = [[
swap = { { device = "LABEL=swap" }, { device = "/var/swap", size = "2G" } }]],
	check = function(s)
		if s.size and (s.device:sub(1, 1) ~= "/" or s.device:find("^/dev/") or not s.device:find("^[%w/._+-]+$")) then
			return "only a file of a plain path has a size, not '" .. s.device .. "'", "size"
		end
	end,
})

-- Of a size that was checked.
function M.bytes(size)
	return math.tointeger(size:match("%d+")) * (size:find("G") and 1 << 30 or 1 << 20)
end

function M.virtual(fs)
	return VIRTUAL[fs.type] == true
end

-- Is it on a device that a machine has or has not?
function M.is_device(fs)
	return not VIRTUAL[fs.type] and not M.is_bind(fs) and (fs.device:sub(1, 1) ~= "/" or fs.device:find("^/dev/") ~= nil)
end

-- Of a type that is never written to?
function M.read_only(fs)
	return fs.type == "squashfs" or fs.type == "erofs"
end

-- Is it not written to, for any reason?
function M.is_read_only(fs)
	return M.read_only(fs) or fs.type == "iso9660" or has(fs.flags, "read_only") or has(fs.options, "ro")
end

-- Options for mount(8): flags, then the others.
function M.options(fs)
	local out = {}
	for _, flag in ipairs(fs.flags) do
		out[#out + 1] = FLAGS[flag]
	end
	for _, option in ipairs(fs.options) do
		out[#out + 1] = option
	end
	return out
end

-- The option of e2fsck by what it repairs.
local REPAIR = { preen = "-p", all = "-y", none = "-n" }

-- How e2fsck is called; "-" when it is not.
function M.how_checked(fs)
	return fs.check and REPAIR[fs.repair] .. (fs.check_clean and "f" or "") or "-"
end

-- A field of /etc/fstab, as getmntent(3) reads it back.
function M.field(s)
	return (s:gsub("[%s\\#]", function(c)
		return ("\\%03o"):format(c:byte())
	end))
end

-- Lines of /etc/fstab.
function M.fstab(list, swaps)
	local out = { "# Written by Cairn from the configuration of the system.\n" }
	local function line(device, where, kind, options, pass)
		local words = { device, where, kind, #options > 0 and table.concat(options, ",") or "defaults" }
		for i, word in ipairs(words) do
			words[i] = M.field(word)
		end
		out[#out + 1] = table.concat(words, "\t") .. "\t0\t" .. pass .. "\n"
	end
	for _, fs in ipairs(list) do
		local options = M.options(fs)
		options[#options + 1] = not fs.mount and "noauto" or nil
		line(fs.device, fs.mount_point, fs.type, options, fs.check and (fs.mount_point == "/" and 1 or 2) or 0)
	end
	for _, s in ipairs(swaps) do
		local options = {}
		options[#options + 1] = s.priority and "pri=" .. s.priority or nil
		options[#options + 1] = s.discard and "discard" or nil
		line(s.device, "none", "swap", options, 0)
	end
	return table.concat(out)
end

return M
