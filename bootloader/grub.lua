-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- GRUB's code. For BIOS machines a directory with boot.img (for the first sector) and core.img (for the
-- BIOS boot partition); for UEFI machines what goes into the EFI system partition. Everything that menus
-- need is built in, so no module is read from the disk, and core and modules cannot drift apart.

local tools = require "system.tools"

-- Of every kind of machine: where things are, the menu, starting Linux.
local COMMON = {
	"part_gpt", "part_msdos", "ext2", "fat", "iso9660",
	"normal", "configfile", "minicmd", "echo", "test", "true", "regexp", "sleep", "loadenv",
	"search", "search_fs_uuid", "search_label", "search_fs_file",
	"linux", "gzio", "halt", "reboot", "ls", "cat", "chain",
	"serial", "terminal", "all_video",
}

local SCRIPT = [[
set -e
b=$busybox/bin/busybox
$b mkdir -p "$out/$directory"
$grub/bin/grub-mkimage -O "$format" -d "$code/lib/grub/$modules_of" -p "$prefix" -o "$out/$directory/$name" $modules
[ -z "$first" ] || $b cp "$code/lib/grub/$modules_of/$first" "$out/$first"
$b chmod -R a-w "$out"
]]

local function core(t)
	local modules = {}
	for _, list in ipairs { COMMON, t.modules } do
		for _, name in ipairs(list) do
			modules[#modules + 1] = name
		end
	end
	return derivation {
		name = t.item,
		builder = tools.busybox .. "/bin/busybox",
		args = { "sh", "-c", SCRIPT },
		env = {
			busybox = tools.busybox, grub = require "packages.grub", code = require(t.package),
			format = t.format, modules_of = t.platform, directory = t.directory, name = t.name, modules = modules,
			first = t.first or "", prefix = t.prefix,
		},
	}
end

local M = {}

local function on_disk(partition)
	return "(,gpt" .. partition .. ")/boot/grub"
end

-- partition: the number of the GPT partition that holds /boot/grub, on the disk that was booted.
function M.bios(partition)
	return core {
		item = "grub-bios", package = "packages.grub", platform = "i386-pc", format = "i386-pc",
		directory = ".", name = "core.img", first = "boot.img", modules = { "biosdisk" }, prefix = on_disk(partition),
	}
end

-- The contents of an EFI system partition, under the name that firmware looks for by itself.
local function efi(item, prefix)
	return core {
		item = item, package = "packages.grub-efi", platform = "x86_64-efi", format = "x86_64-efi",
		directory = "EFI/BOOT", name = "BOOTX64.EFI", modules = { "efi_gop", "efi_uga" }, prefix = prefix,
	}
end

function M.efi(partition)
	return efi("grub-efi", on_disk(partition))
end

-- The same for a CD that can also be a disk: no partition is known; the menu is on what was started.
function M.iso_bios()
	return core {
		item = "grub-iso-bios", package = "packages.grub", platform = "i386-pc", format = "i386-pc-eltorito",
		directory = ".", name = "bios.img", first = "boot_hybrid.img", modules = { "biosdisk" }, prefix = "/boot/grub",
	}
end

-- Beside it in the FAT image lies a grub.cfg that looks for the CD.
function M.iso_efi()
	return efi("grub-iso-efi", "/EFI/BOOT")
end

return M
