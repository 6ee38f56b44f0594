-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libgpg-error", version = "1.46",
	source = origin {
		urls = {
			"https://gnupg.org/ftp/gcrypt/libgpg-error/libgpg-error-1.46.tar.bz2",
			"mirror://debian/pool/main/libg/libgpg-error/libgpg-error_1.46.orig.tar.bz2",
		},
		sha256 = "b7e11a64246bbe5ef37748de43b245abd72cfcd53c9ae5e7fc5ca59f1c81268d",
	},
	configure_flags = { "--disable-nls", "--disable-doc", "--disable-tests", "--disable-languages" },
	-- Programs are scripts and tools for its developers; libraries are asked for
	-- through pkg-config.
	phases = { finish = [[rm -rf "$out/bin" "$out/share"]] },
	synopsis = "Error codes of the GnuPG libraries",
	license = "LGPL-2.1-or-later",
	home_page = "https://gnupg.org/software/libgpg-error/",
}
