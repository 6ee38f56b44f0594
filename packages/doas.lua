-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "doas", version = "6.8.2",
	source = origin {
		urls = {
			"https://github.com/Duncaen/OpenDoas/releases/download/v6.8.2/opendoas-6.8.2.tar.xz",
			"mirror://debian/pool/main/o/opendoas/opendoas_6.8.2.orig.tar.xz",
		},
		sha256 = "6192dedbbf66d8e9437c982864ce473ab662b7262a9fadf488cced12e830a466",
	},
	phases = {
		-- Programs are where a system has them.
		configure = [[
			sed -i 's|"/bin:/sbin:/usr/bin:/usr/sbin:"|"/run/current-system/profile/bin:/run/current-system/profile/sbin:/bin:"|' doas.c
			grep -q current-system doas.c
			./configure --prefix="$out" --without-pam --enable-static
		]],
		install = [[
			mkdir -p "$out/bin" "$out/share/man/man1" "$out/share/man/man5"
			cp doas "$out/bin/doas"
			cp doas.1 "$out/share/man/man1/doas.1"
			cp doas.conf.5 "$out/share/man/man5/doas.conf.5"
		]],
	},
	synopsis = "Run a command as another user (OpenDoas)",
	description = "What sudo is for: rights of root by rules.",
	license = "ISC",
	home_page = "https://github.com/Duncaen/OpenDoas",
}
