-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system or image -> raw disk image (the value of sys_eval_request.apply in image/cmd_image.c).
-- args: free = size of the free space in the root file system, size = that of the disk, label = that of the
-- root file system; volatile, no_bootloader, without_store: set or not.

local conf = require "system.conf"
local file_systems = require "system.file_systems"
local generation = require "system.generation"
local grub = require "bootloader.grub"
local image = require "image"
local mapped_devices = require "system.mapped_devices"
local tools = require "system.tools"

local function root_of(os)
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" then
			return fs
		end
	end
end

-- The longest label of a root, by type.
local LABELS = { ext4 = 16, erofs = 15, squashfs = 0 }

-- What the configuration calls the root file system is what the image must answer to: fields of the root
-- partition by name. A path such as /dev/vda3 is fine wherever it fits.
local function identity(os)
	mapped_devices.check_image(os)
	local fs = root_of(os)
	local longest = LABELS[fs.type]
	if not longest then
		schema.fail(fs, "the root file system of a disk image is ext4, squashfs or erofs", "type")
	end
	local key, value = fs.device:match("^(%u+)=(.*)$")
	if longest == 0 and (key == "LABEL" or key == "UUID") then
		schema.fail(fs, "squashfs has neither label nor UUID [PARTLABEL=, PARTUUID= or a path]", "device")
	elseif key == "LABEL" and #value > longest then
		schema.fail(fs, "labels of " .. fs.type .. " have at most " .. longest .. " bytes", "device")
	elseif key == "PARTLABEL" and #value > 36 then
		schema.fail(fs, "names of partitions have at most 36 bytes", "device")
	end
	local field = ({ LABEL = "label", UUID = "uuid", PARTUUID = "part_uuid", PARTLABEL = "part_label" })[key]
	return field and { [field] = value } or {}
end

-- What a root that is only read cannot have.
local function check_read_only(p, fs, args)
	if p.free or args.free then
		schema.fail(p, "a root of " .. fs.type .. " has no free space", p.free and "free" or "content")
	elseif fs.type == "squashfs" and (p.label or p.uuid or args.label) then
		schema.fail(p, "squashfs has neither label nor UUID", p.label and "label" or p.uuid and "uuid" or "content")
	end
end

-- Partitions that go with the root's file system, which is that of the configuration.
local function check_partitions(whole, args)
	local os = whole.operating_system
	local fs, has_boot = root_of(os), false
	local read_only = file_systems.read_only(fs)
	for _, p in ipairs(whole.partitions) do
		has_boot = has_boot or p.content == "boot"
		if p.content == "root" and p.file_system and p.file_system ~= fs.type then
			schema.fail(p, "file_systems says that the root is " .. fs.type, "file_system")
		elseif p.content == "root" and read_only then
			check_read_only(p, fs, args)
		elseif p.content == "boot" and not (read_only and os.bootloader.type == "grub") then
			schema.fail(p, "a boot partition goes with GRUB and a root of squashfs or erofs", "content")
		end
	end
	if not read_only or args.no_bootloader then
		return
	elseif os.bootloader.type == "extlinux" then
		schema.fail(os.bootloader, "extlinux does not read " .. fs.type, "type")
	elseif os.bootloader.type == "grub" and not has_boot then
		schema.fail(whole, "GRUB does not read " .. fs.type .. ": a partition with content = \"boot\" is needed", "partitions")
	end
end

local function section(p, os, args)
	local id = p.content == "root" and identity(os) or {}
	local fs = root_of(os)
	local read_only = file_systems.read_only(fs)
	for field, value in pairs(id) do
		local own = p[field == "part_label" and "name" or field]
		if own and own ~= value and field ~= "part_label" then
			schema.fail(p, "file_systems calls the root file system '" .. value .. "'", field)
		end
	end
	local label = id.label or p.label
	if p.content == "root" then
		if id.label and args.label and args.label ~= id.label then
			schema.fail(root_of(os), "the machine looks for the label '" .. id.label .. "', not '" .. args.label .. "'", "device")
		end
		label = args.label or label or not read_only and "cairn-root" or nil
	end
	return conf.section("partition", p.name, {
		{ "content", p.content },
		{ "size", p.size },
		{ "file-system", p.content == "root" and fs.type or nil },
		{ "free", p.content == "root" and not read_only and not p.size and (p.free or args.free or "256M") or nil },
		{ "label", label },
		{ "uuid", id.uuid or p.uuid },
		{ "part-label", id.part_label },
		{ "part-uuid", id.part_uuid or p.part_uuid },
		{ "part-type", p.part_type },
		{ "flags", #p.flags > 0 and conf.words(p.flags) or nil },
	})
end

-- Numbers of partitions by content; 0: there is none.
local function numbers(partitions)
	local out = { ["bios-boot"] = 0, esp = 0 }
	for i, p in ipairs(partitions) do
		out[p.content] = i
	end
	return out
end

return function(value, args)
	local system = generation.parts(value).system -- also says what else than a system or image it is
	local whole = schema.is(value, image.image) and value or image.image { operating_system = value }
	schema.check(whole)
	local os, number = whole.operating_system, numbers(whole.partitions)
	check_partitions(whole, args)
	local least = image.least(whole.partitions)
	if args.size and tonumber(args.size) < least * 2 ^ 20 then
		schema.fail(whole, ("the partitions need more than %d MiB, --image-size says %d"):format(least, tonumber(args.size) // 2 ^ 20), "partitions")
	end
	local layout = {}
	for _, p in ipairs(whole.partitions) do
		layout[#layout + 1] = section(p, os, args)
	end
	local list = {
		"builder", "image-raw",
		"--closure", "closure",
		"--system", system,
		"--layout", text("layout", table.concat(layout)),
		"--mke2fs", tools.e2fsprogs .. "/sbin/mke2fs",
	}
	local function option(name, v)
		list[#list + 1] = "--" .. name
		list[#list + 1] = v
	end
	local root_type = root_of(os).type
	if root_type == "squashfs" then
		option("mksquashfs", require "packages.squashfs-tools" .. "/bin/mksquashfs")
	elseif root_type == "erofs" then
		option("mkfs-erofs", require "packages.erofs-utils" .. "/bin/mkfs.erofs")
	end
	if args.size then
		option("size", args.size)
	end
	if args.volatile then
		list[#list + 1] = "--volatile"
	end
	if args.without_store then
		list[#list + 1] = "--without-store"
	end
	if number.esp > 0 then
		option("mkfs-fat", require "packages.dosfstools" .. "/sbin/mkfs.fat")
		option("mtools", require "packages.mtools" .. "/bin/mtools")
	end
	if args.no_bootloader then
		list[#list + 1] = "--no-menu"
	elseif os.bootloader.type == "efi" and number.esp == 0 then
		schema.fail(whole, "the boot loader needs a partition of content esp", "partitions")
	elseif os.bootloader.type == "grub" then
		if number["bios-boot"] > 0 then
			option("bios-code", grub.bios(number.boot or number.root))
		end
		if number.esp > 0 then
			option("esp", grub.efi(number.boot or number.root))
		end
	end
	return {
		image = derivation {
			name = os.host_name .. ".raw",
			builder = tools.cairn .. "/bin/cairn",
			args = list,
			env = { exportReferencesGraph = { "closure", system } },
		},
	}
end
