-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The machine of tests/vm/mapped.test: its root is encrypted, and so is its swap space; an array of which one disk will be
-- missing; a logical volume; a device that the machine starts without. /prepare, in the initramfs, makes the disks that must
-- be there before the first boot.

local services = require "services"
local system = require "system"

local e2fsprogs, lvm2 = require "packages.e2fsprogs", require "packages.lvm2"
local cryptsetup, mdadm = require "packages.cryptsetup", require "packages.mdadm"

return system.operating_system {
	host_name = "mapped",
	keyboard = "de-latin1",
	kernel_arguments = { "console=tty0", "console=ttyS0,115200", "no_timer_check", "quiet" },
	bootloader = { type = "none" },
	mapped_devices = {
		{ type = "luks", target = "root", source = "LABEL=crypt", allow_discards = true },
		{ type = "luks", target = "late", source = "LABEL=late" },
		{ type = "raid", target = "md0", sources = { "/dev/vdb", "/dev/vdf" }, level = 1 },
		{ type = "lvm", target = "vg-my--data", source = "vg", dependencies = {} },
		{ type = "luks", target = "keyed", source = "/dev/vdd", key_file = "/etc/keys/keyed" },
	},
	file_systems = {
		{ device = "/dev/mapper/root", mount_point = "/" },
		{ device = "/dev/md0", mount_point = "/srv/early", needed_for_boot = true, flags = { "no_exec" } },
		{ device = "/dev/vg/my-data", mount_point = "/data", may_fail = true },
	},
	swap = { { device = "/dev/mapper/keyed" } },
	users = { { name = "root", password = "" } },
	packages = { cryptsetup, lvm2, mdadm },
	services = services.base {
		without = { "dhcp", "getty" },
		services.getty { terminal = "ttyS0" },
	},
	initrd_files = {
		["sbin/mke2fs"] = e2fsprogs .. "/sbin/mke2fs",
		["prepare"] = text("prepare", [[
set -e
printf 'open sesame' >/tmp.key
cryptsetup luksFormat --batch-mode --label crypt --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vda /tmp.key
cryptsetup open --key-file /tmp.key /dev/vda root
printf 'another one' | cryptsetup luksFormat --batch-mode --label late --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vde -
busybox dd if=/dev/vdg of=/dev/mapper/root bs=1M 2>/dev/null
cryptsetup close root
mdadm --create /dev/md0 --run --quiet --level=1 --raid-devices=2 --bitmap=none --assume-clean /dev/vdb /dev/vdf
mke2fs -q -t ext4 /dev/md0
mdadm --quiet --stop /dev/md0
]]),
	},
}
