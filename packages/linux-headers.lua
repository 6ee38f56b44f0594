-- SPDX-License-Identifier: GPL-3.0-or-later

local package = require("packages.build").package
local linux = require "packages.linux-source"

return package {
	name = "linux-headers", version = linux.version,
	source = linux.source,
	build_system = "kbuild",
	libc = "none",
	phases = {
		-- Only what the target needs: the whole tree is 1.5 GB.
		unpack = [[
			mkdir -p /build/src
			cd /build/src
			tar -xf "$src" --strip-components=1 --wildcards --no-wildcards-match-slash \
				'*/Makefile' '*/Kbuild' '*/scripts' '*/include' '*/arch/x86' '*/usr/include' '*/tools/include'
		]],
		build = [[make -j"$cores" headers]],
		install = [[
			mkdir -p "$out"
			find usr/include -type f ! -name '*.h' -delete
			cp -R usr/include "$out/include"
		]],
	},
	synopsis = "Interfaces of the kernel for programs",
	license = "GPL-2.0-only WITH Linux-syscall-note",
	home_page = "https://www.kernel.org/",
}
