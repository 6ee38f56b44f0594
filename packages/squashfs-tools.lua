-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "squashfs-tools", version = "4.5.1",
	source = origin {
		urls = { "mirror://debian/pool/main/s/squashfs-tools/squashfs-tools_4.5.1.orig.tar.gz" },
		sha256 = "277b6e7f75a4a57f72191295ae62766a10d627a4f5e5f19eadfbc861378deea7",
	},
	inputs = { require "packages.zlib", require "packages.xz", require "packages.zstd" },
	phases = {
		configure = "",
		build = [[
			make -j"$cores" -C squashfs-tools CC=cc GZIP_SUPPORT=1 XZ_SUPPORT=1 ZSTD_SUPPORT=1 \
				COMP_DEFAULT=zstd XATTR_SUPPORT= EXTRA_CFLAGS=-Wno-error mksquashfs unsquashfs
		]],
		install = [[
			mkdir -p "$out/bin"
			cp squashfs-tools/mksquashfs squashfs-tools/unsquashfs "$out/bin/"
			ln -s mksquashfs "$out/bin/sqfstar"
		]],
	},
	synopsis = "Writing and reading squashfs: sqfstar, mksquashfs, unsquashfs",
	description = "Compressed read-only file systems.",
	license = "GPL-2.0-or-later",
	home_page = "https://github.com/plougher/squashfs-tools",
}
