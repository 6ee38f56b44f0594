-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "e2fsprogs", version = "1.47.2",
	source = origin {
		urls = {
			"https://www.kernel.org/pub/linux/kernel/people/tytso/e2fsprogs/v1.47.2/e2fsprogs-1.47.2.tar.gz",
			"mirror://debian/pool/main/e/e2fsprogs/e2fsprogs_1.47.2.orig.tar.gz",
		},
		sha256 = "6dcd67ff9d8b13274ba3f088e4318be4f5b71412cd863524423fc49d39a6371f",
	},
	inputs = { require "packages.util-linux" },
	configure_flags = {
		"--disable-libblkid", "--disable-libuuid", "--disable-uuidd", "--disable-nls", "--disable-fuse2fs",
		"--disable-e2initrd-helper", "--disable-imager", "--disable-defrag", "--disable-tls",
		"--without-libarchive", "--with-crond-dir=no", "--with-systemd-unit-dir=no", "--with-udev-rules-dir=no",
		"BUILD_CC=/usr/bin/gcc",
	},
	phases = {
		install = [[
			make install install-libs
			rm -f "$out/bin/compile_et" "$out/bin/mk_cmds" "$out/sbin/mklost+found" \
				"$out/sbin/e2scrub" "$out/sbin/e2scrub_all"
			rm -rf "$out/share/et" "$out/share/ss"
		]],
	},
	synopsis = "Making, checking and writing ext4: libext2fs, mke2fs, e2fsck, resize2fs, debugfs",
	description = "File systems ext2, ext3 and ext4: mkfs.ext4, fsck, tune2fs, e2label, chattr, lsattr, badblocks.",
	license = "GPL-2.0-only AND LGPL-2.0-only AND MIT",
	home_page = "https://e2fsprogs.sourceforge.net/",
}
