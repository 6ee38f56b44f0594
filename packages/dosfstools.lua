-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "dosfstools", version = "4.2",
	source = origin {
		urls = {
			"https://github.com/dosfstools/dosfstools/releases/download/v4.2/dosfstools-4.2.tar.gz",
			"mirror://debian/pool/main/d/dosfstools/dosfstools_4.2.orig.tar.gz",
		},
		sha256 = "64926eebf90092dca21b14259a5301b7b98e7b1943e8a201c7d726084809b527",
	},
	configure_flags = { "--enable-compat-symlinks", "--without-iconv" },
	synopsis = "Making and checking FAT file systems: mkfs.fat, fsck.fat, fatlabel",
	description = "FAT and vfat file systems of USB sticks, memory cards and EFI system partitions: mkfs.vfat.",
	license = "GPL-3.0-or-later",
	home_page = "https://github.com/dosfstools/dosfstools",
}
