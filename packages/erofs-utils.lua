-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "erofs-utils", version = "1.8.6",
	source = origin {
		urls = { "mirror://debian/pool/main/e/erofs-utils/erofs-utils_1.8.6.orig.tar.gz" },
		sha256 = "5b221dc3fd6d151425b30534ede46fb7a90dc233a8659cba0372796b0a066547",
	},
	seed = { "autotools" },
	inputs = { require "packages.lz4" },
	-- One thread, so that the order of what it writes depends on nothing.
	configure_flags = {
		"--disable-multithreading", "--enable-lz4", "--disable-lzma", "--disable-fuse", "--without-zlib",
		"--without-libdeflate", "--without-libzstd", "--without-qpl", "--without-xxhash", "--without-uuid",
		"--without-selinux", "MAX_BLOCK_SIZE=4096",
	},
	phases = { patch = [[
		apply_patches
		ACLOCAL=aclocal-1.16 AUTOMAKE=automake-1.16 autoreconf -fi
	]] },
	synopsis = "Writing and reading erofs: mkfs.erofs, fsck.erofs, dump.erofs",
	description = "Compressed read-only file systems.",
	license = "GPL-2.0-or-later",
	home_page = "https://git.kernel.org/pub/scm/linux/kernel/git/xiang/erofs-utils.git",
}
