-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- image { operating_system = …, partitions = { … } }: a configuration that also says how its disk images
-- are laid out (local disk = require "image"; return disk.image { … }). A configuration that is only an
-- operating_system gets the usual layout.

local operating_system = require "system.operating_system"

local SIZE = "^%d+[KMGT]?$"
local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

local function size(options)
	options.pattern, options.what = SIZE, "a size such as 64M"
	return schema.string(options)
end

local function uuid(doc)
	return schema.string { optional = true, pattern = UUID, what = "a UUID", doc = doc }
end

local function name(options)
	options.optional, options.pattern, options.what = true, "^[%w ._:-]+$", "letters, digits and blank . _ : -"
	return schema.string(options)
end

local partition = schema.record("partition", {
	content = schema.enum({ "root", "esp", "bios-boot", "swap", "empty" }, { doc = "empty: unformatted" }),
	name = schema.string {
		pattern = "^[%w_-]+$", what = "letters, digits, - and _", max = 36, doc = "the name in the partition table",
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
	flags = schema.list(schema.enum({ "required", "no-block-io", "legacy-boot", "grow", "read-only", "hidden", "no-auto" }),
		{ default = {}, unique = true }),
}, {
	doc = "a partition of a disk image",
	check = function(p)
		if not p.size and (p.content == "swap" or p.content == "empty") then
			return "a partition of this kind needs a size", "size"
		elseif p.free and (p.size or p.content ~= "root") then
			return "only a root without size has space left free", "free"
		end
	end,
})

-- Firmware of every kind finds its way.
local function usual()
	return {
		partition { content = "bios-boot" },
		partition { content = "esp", label = "ESP" },
		partition { content = "root" },
	}
end

local image = schema.record("image", {
	operating_system = schema.of(operating_system),
	partitions = schema.list(schema.of(partition), { default = usual, min = 1, max = 32, unique = "name" }),
}, {
	doc = "a machine and its disk",
	check = function(i)
		local count = {}
		for _, p in ipairs(i.partitions) do
			count[p.content] = (count[p.content] or 0) + 1
		end
		if count.root ~= 1 then
			return "exactly one root is needed", "partitions"
		elseif (count["bios-boot"] or 0) > 1 or (count.esp or 0) > 1 then
			return "at most one bios-boot and one esp are possible", "partitions"
		end
	end,
})

return { image = image, partition = partition }
