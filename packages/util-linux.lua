-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "util-linux", version = "2.38.1",
	source = origin {
		urls = {
			"https://www.kernel.org/pub/linux/utils/util-linux/v2.38/util-linux-2.38.1.tar.xz",
			"mirror://debian/pool/main/u/util-linux/util-linux_2.38.1.orig.tar.xz",
		},
		sha256 = "60492a19b44e6cf9a3ddff68325b333b8b52b6c59ce3ebd6a0ecaa4c5117e84f",
	},
	configure_flags = {
		"--disable-all-programs", "--enable-libblkid", "--enable-libuuid", "--enable-libmount",
		"--enable-libsmartcols", "--enable-libfdisk", "--enable-mount", "--enable-losetup",
		-- "yes" would want ncurses for cfdisk; "check" leaves that one out.
		"--enable-fdisks=check", "--enable-blkid",
		"--without-python", "--without-ncurses", "--without-ncursesw", "--without-tinfo", "--without-readline",
		"--without-systemd", "--without-udev", "--without-cap-ng", "--without-selinux", "--without-user",
		"--disable-makeinstall-chown", "--disable-makeinstall-setuid", "--disable-nls",
		"--disable-bash-completion", "--disable-asciidoc", "--disable-poman",
	},
	synopsis = "libblkid, libuuid, libmount, libfdisk; mount, losetup, fdisk, sfdisk, blkid",
	description = "Partitions of disks, loop devices, names of file systems: fdisk, UUID, LABEL.",
	license = "GPL-2.0-or-later AND LGPL-2.1-or-later AND BSD-3-Clause",
	home_page = "https://www.kernel.org/pub/linux/utils/util-linux/",
}
