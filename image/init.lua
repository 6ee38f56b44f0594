-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- image { operating_system = …, partitions = { … } }: a configuration that also says how its disk images
-- are laid out (local disk = require "image"; return disk.image { … }). A configuration that is only an
-- operating_system gets the usual layout.

local file_systems = require "system.file_systems"
local operating_system = require "system.operating_system"

local SIZE = "^%d+[KMGT]?$"
local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

local function size(options)
	options.pattern, options.what = SIZE, "a size such as 64M"
	return schema.string(options)
end

local UNITS = { [""] = 1, K = 2 ^ 10, M = 2 ^ 20, G = 2 ^ 30, T = 2 ^ 40 }

-- A size in MiB; nil: it is no number of these that a disk may have.
local function mib(text)
	local number, unit = text:match "^(%d+)([KMGT]?)$"
	local n = tonumber(number) * UNITS[unit] / 2 ^ 20
	return n % 1 == 0 and n >= 1 and n <= 2 ^ 24 and n or nil
end

local function uuid(doc)
	return schema.string { optional = true, pattern = UUID, what = "a UUID", doc = doc }
end

local function name(options)
	options.optional, options.pattern, options.what = true, "^[%w ._:-]+$", "letters, digits and blank . _ : -"
	return schema.string(options)
end

local partition = schema.record("partition", {
	content = schema.enum({ "root", "esp", "bios-boot", "boot", "ext4", "swap", "empty" }, {
		doc = "boot: kernel and menu beside a root that is only read; ext4: without files; empty: unformatted",
	}),
	name = schema.string {
		pattern = "^[%w_-]+$", what = "letters, digits, - and _", max = 36, doc = "the name in the partition table", default_doc = "that of the content",
		default = function(p)
			return p.content
		end,
	},
	size = size { optional = true, doc = "whole MiB; left out: as large as it must be" },
	free = size { optional = true, doc = "left free in a root without size; else what --free says" },
	label = name { max = 16, doc = "of the file system or swap space" },
	uuid = uuid "of the file system",
	part_uuid = uuid "of the partition",
	part_type = uuid "of the partition; left out: that of its content",
	file_system = schema.enum({ "ext4", "squashfs", "erofs" }, {
		optional = true, doc = "of a root; left out: what file_systems says",
	}),
	flags = schema.list(schema.enum({ "required", "no-block-io", "legacy-boot", "grow", "read-only", "hidden", "no-auto" }),
		{ default = {}, unique = true, doc = "attributes in the partition table, for the programs that look at them" }),
}, {
	doc = "a partition of a disk image",
	check = function(p)
		if not p.size and (p.content == "swap" or p.content == "empty" or p.content == "ext4") then
			return "a partition of this kind needs a size", "size"
		elseif p.free and (p.size or p.content ~= "root") then
			return "only a root without size has space left free", "free"
		elseif p.file_system and p.content ~= "root" then
			return "only of a root the file system can be chosen", "file_system"
		elseif p.size and not mib(p.size) then
			return "a size is a number of MiB, from 1M to 16T", "size"
		elseif p.content == "esp" and p.label and #p.label > 11 then
			return "labels of FAT have at most 11 bytes", "label"
		end
	end,
})

-- Firmware of every kind finds its way.
local function usual(i)
	local list = { partition { content = "bios-boot" }, partition { content = "esp", label = "ESP" } }
	local os = i.operating_system
	for _, fs in ipairs(os.bootloader.type == "grub" and os.file_systems or {}) do
		if fs.mount_point == "/" and file_systems.read_only(fs) then
			list[#list + 1] = partition { content = "boot" }
		end
	end
	list[#list + 1] = partition { content = "root" }
	return list
end

local image = schema.record("image", {
	operating_system = schema.of(operating_system, { doc = "what is on the disk" }),
	partitions = schema.list(schema.of(partition), {
		default = usual, default_doc = "bios-boot, esp, root; and boot, beside a root that is only read", min = 1, max = 32, unique = "name", doc = "in the order of the disk",
	}),
}, {
	doc = "a machine and its disk: what the file for 'cairn system image' may return in place of an operating_system",
	keywords = "layout partition table size",
	example = [[
require("image").image {
  operating_system = require "stone",
  partitions = {
    { content = "bios-boot" },
    { content = "esp", size = "64M" },
    { content = "root", free = "200M" },
    { content = "ext4", name = "data", size = "1G", label = "data" },
  },
}]],
	check = function(i)
		local count = {}
		for _, p in ipairs(i.partitions) do
			count[p.content] = (count[p.content] or 0) + 1
		end
		if count.root ~= 1 then
			return "exactly one root is needed", "partitions"
		end
		for _, content in ipairs { "bios-boot", "esp", "boot" } do
			if (count[content] or 0) > 1 then
				return "at most one " .. content .. " partition is possible", "partitions"
			end
		end
		local seen = {}
		for _, p in ipairs(i.partitions) do
			for _, id in ipairs { p.uuid or "", p.part_uuid or "" } do
				if id ~= "" and seen[id:lower()] then
					return "two partitions are called " .. id, "partitions"
				end
				seen[id:lower()] = true
			end
		end
	end,
})

-- MiB that a disk has at least: a partition without size as the builder has it.
local function least(partitions)
	local usual, sum = { esp = 64, boot = 64 }, 2 -- both tables
	for _, p in ipairs(partitions) do
		sum = sum + (p.size and mib(p.size) or usual[p.content] or 1)
	end
	return sum
end

return { image = image, partition = partition, least = least }
