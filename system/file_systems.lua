-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- File systems and swap: where they are and how they are mounted.

local M = {}

local KEYS = { LABEL = true, UUID = true, PARTUUID = true, PARTLABEL = true }

-- "LABEL=x", "UUID=…", "PARTUUID=…", "/dev/…"; nothing when fine.
local function check_device(v)
	local key, value = v:match("^(%u+)=(.*)$")
	if key and not KEYS[key] then
		return "devices are named by LABEL=, UUID=, PARTUUID= or a path, not by " .. key .. "="
	elseif key and (value == "" or value:find("[%s\"'\\]")) then
		return "'" .. v .. "' names no device"
	elseif not key and v:sub(1, 1) ~= "/" then
		return "expected LABEL=…, UUID=…, PARTUUID=… or a path such as /dev/vda2, got '" .. v .. "'"
	end
end

local VIRTUAL = { tmpfs = true, proc = true, sysfs = true, overlay = true, devpts = true, cgroup2 = true,
	debugfs = true, tracefs = true, efivarfs = true, ["9p"] = true, virtiofs = true }

M.file_system = schema.record("file_system", {
	device = schema.string { default = function(fs) return VIRTUAL[fs.type] and fs.type or nil end,
		optional = true, doc = "LABEL=…, UUID=…, PARTUUID=…, or a path" },
	mount_point = schema.path { doc = "where" },
	type = schema.string { default = "ext4", pattern = "^[a-z0-9_.]+$", what = "the kernel's name of a file system" },
	options = schema.list(schema.string { pattern = "^[^%s,\"\\]+$", what = "a mount option" }, { default = {} }),
	check = schema.boolean {
		default = function(fs)
			return fs.type:find("^ext[234]$") ~= nil
		end,
		doc = "check before mounting",
	},
	needed_for_boot = schema.boolean {
		default = function(fs)
			return fs.mount_point == "/"
		end,
		doc = "mounted by the initramfs",
	},
	may_fail = schema.boolean { default = false, doc = "the machine comes up without it" },
	create_mount_point = schema.boolean { default = true },
}, {
	doc = "a file system",
	check = function(fs)
		if VIRTUAL[fs.type] then
			return
		end
		if not fs.device then
			return "missing", "device"
		end
		local why = check_device(fs.device)
		if why then
			return why, "device"
		end
		if fs.mount_point ~= "/" and fs.needed_for_boot then
			return "only the root file system is mounted by the initramfs so far", "needed_for_boot"
		end
	end,
})

M.swap = schema.record("swap", {
	device = schema.string { check = check_device, doc = "LABEL=…, UUID=…, PARTUUID=…, or a path" },
	priority = schema.integer { min = 0, max = 32767, optional = true },
	size = schema.string {
		pattern = "^[1-9]%d*[MG]$", what = "a size such as '512M' or '2G'", optional = true,
		doc = "device is a file, which is made when it is not there or has another size",
	},
}, {
	doc = "swap space",
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

function M.read_only(fs)
	return fs.type == "squashfs" or fs.type == "erofs"
end

-- Lines of /etc/fstab.
function M.fstab(list, swaps)
	local out = { "# Written by Cairn from the configuration of the system.\n" }
	for _, fs in ipairs(list) do
		local options = #fs.options > 0 and table.concat(fs.options, ",") or "defaults"
		local pass = fs.check and (fs.mount_point == "/" and 1 or 2) or 0
		out[#out + 1] = string.format("%s\t%s\t%s\t%s\t0\t%d\n", fs.device, fs.mount_point, fs.type, options, pass)
	end
	for _, s in ipairs(swaps) do
		out[#out + 1] = string.format("%s\tnone\tswap\t%s\t0\t0\n", s.device,
			s.priority and "pri=" .. s.priority or "defaults")
	end
	return table.concat(out)
end

return M
