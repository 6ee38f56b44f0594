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
[ "$modules_of" != i386-pc ] || $b cp "$code/lib/grub/i386-pc/boot.img" "$out/boot.img"
$b chmod -R a-w "$out"
]]

local function core(t, partition)
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
			prefix = "(,gpt" .. partition .. ")/boot/grub",
		},
	}
end

local M = {}

-- partition: the number of the GPT partition that holds /boot/grub, on the disk that was booted.
function M.bios(partition)
	return core({
		item = "grub-bios", package = "packages.grub", platform = "i386-pc", format = "i386-pc",
		directory = ".", name = "core.img", modules = { "biosdisk" },
	}, partition)
end

-- The contents of an EFI system partition, under the name that firmware looks for by itself.
function M.efi(partition)
	return core({
		item = "grub-efi", package = "packages.grub-efi", platform = "x86_64-efi", format = "x86_64-efi",
		directory = "EFI/BOOT", name = "BOOTX64.EFI", modules = { "efi_gop", "efi_uga" },
	}, partition)
end

return M
