-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libarchive", version = "3.6.2",
	source = origin {
		urls = {
			"https://www.libarchive.de/downloads/libarchive-3.6.2.tar.xz",
			"mirror://debian/pool/main/liba/libarchive/libarchive_3.6.2.orig.tar.xz",
		},
		sha256 = "9e2c1b80d5fbe59b61308fdfab6c79b5021d7ff4ff2489fb12daf0a96a83551d",
	},
	inputs = { require "packages.zlib", require "packages.xz", require "packages.zstd" },
	configure_flags = {
		"--enable-bsdtar=static", "--disable-bsdcat", "--disable-bsdcpio", "--disable-acl", "--disable-xattr",
		"--without-bz2lib", "--without-libb2", "--without-lz4", "--without-xml2", "--without-expat",
		"--without-openssl", "--without-nettle", "--without-mbedtls",
	},
	-- iconv is the C library's: there is no iconv.pc.
	phases = { finish = [[sed -i '/^Requires.private:/s/ iconv\>//' "$out/lib/pkgconfig/libarchive.pc"]] },
	synopsis = "Reading and writing archives",
	description = "bsdtar: tar, zip, 7-Zip, cpio, ISO 9660.",
	license = "BSD-2-Clause",
	home_page = "https://www.libarchive.org/",
}
