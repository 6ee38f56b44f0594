-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "mtools", version = "4.0.32",
	source = origin {
		urls = {
			"https://ftp.gnu.org/gnu/mtools/mtools-4.0.32.tar.bz2",
			"mirror://debian/pool/main/m/mtools/mtools_4.0.33-1%2breally4.0.32.orig.tar.bz2",
		},
		sha256 = "d540ca05fb1726d7218bb9f8df8742e6cb301129a20333b0b41c6b2c357c788e",
	},
	configure_flags = { "--disable-floppyd", "--without-x" },
	-- Scripts for interactive use, with an interpreter that no image has.
	phases = { finish = [[rm -f "$out"/bin/amuFormat.sh "$out"/bin/mcheck "$out"/bin/mxtar "$out"/bin/tgz "$out"/bin/uz "$out"/bin/lz "$out"/bin/mcomp]] },
	synopsis = "Writing into FAT file systems without mounting them",
	description = "mcopy, mdir, mformat: files of FAT images and floppies.",
	license = "GPL-3.0-or-later",
	home_page = "https://www.gnu.org/software/mtools/",
}
