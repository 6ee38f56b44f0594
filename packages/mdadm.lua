-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "mdadm", version = "4.2",
	source = origin {
		urls = { "mirror://debian/pool/main/m/mdadm/mdadm_4.2.orig.tar.gz" },
		sha256 = "c83447797cccc772d1c389b1917a2bfda59bd7545480bdccd792b57b310b428e",
	},
	inputs = { require "packages.linux-headers" },
	phases = {
		configure = "",
		-- Without udev, which is not there, mdadm makes the names in /dev/md itself.
		build = [[
			make -j"$cores" mdadm CC=cc CWFLAGS="-w -include libgen.h" LDFLAGS="-Wl,--gc-sections" CHECK_RUN_DIR=0 \
				CXFLAGS="-Os -ffunction-sections -fdata-sections -DNO_LIBUDEV -D_GNU_SOURCE" LDLIBS=
		]],
		install = [[
			mkdir -p "$out/sbin"
			cp mdadm "$out/sbin/"
		]],
	},
	synopsis = "RAID of disks: making, assembling, watching arrays",
	description = "Software RAID.",
	license = "GPL-2.0-or-later",
	home_page = "https://git.kernel.org/pub/scm/utils/mdadm/mdadm.git",
}
