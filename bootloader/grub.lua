-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- GRUB's code for BIOS machines: a directory with boot.img (for the first sector) and core.img (for
-- the BIOS boot partition). Everything that menus need is built into core.img, so no module
-- is read from the disk, and core and modules cannot drift apart.

local tools = require "system.tools"

local MODULES = {
	"biosdisk", "part_gpt", "part_msdos", "ext2", -- where things are
	"normal", "configfile", "minicmd", "echo", "test", "true", "regexp", "sleep", "loadenv", -- the menu
	"search", "search_fs_uuid", "search_label", "search_fs_file",
	"linux", "gzio", "halt", "reboot", "ls", "cat",
	"serial", "terminal", "all_video",
}

local SCRIPT = [[
set -e
b=$busybox/bin/busybox
$b mkdir "$out"
$grub/bin/grub-mkimage -O i386-pc -d $grub/lib/grub/i386-pc -p "$prefix" -o "$out/core.img" $modules
$b cp $grub/lib/grub/i386-pc/boot.img "$out/boot.img"
$b chmod 444 "$out/boot.img" "$out/core.img"
]]

local M = {}

-- partition: the number of the GPT partition that holds /boot/grub, on the disk that was booted.
function M.bios(partition)
	return derivation {
		name = "grub-bios",
		builder = tools.busybox .. "/bin/busybox",
		args = { "sh", "-c", SCRIPT },
		env = {
			busybox = tools.busybox, grub = require "packages.grub", modules = MODULES,
			prefix = "(,gpt" .. partition .. ")/boot/grub",
		},
	}
end

return M
