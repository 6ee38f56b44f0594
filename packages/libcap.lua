-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libcap", version = "2.66",
	source = origin {
		urls = {
			"https://www.kernel.org/pub/linux/libs/security/linux-privs/libcap2/libcap-2.66.tar.xz",
			"mirror://debian/pool/main/libc/libcap2/libcap2_2.66.orig.tar.xz",
		},
		sha256 = "15c40ededb3003d70a283fe587a36b7d19c8b3b554e33f86129c059a4bb466b2",
	},
	phases = {
		configure = "",
		build = [[
			flags="SHARED=no DYNAMIC=no GOLANG=no PAM_CAP=no PTHREADS=no RAISE_SETFCAP=no
				BUILD_CC=/usr/bin/gcc CC=cc AR=ar RANLIB=ranlib lib=lib prefix=$out"
			make -C libcap $flags
			make -C progs $flags
		]],
		install = [[
			make -C libcap install $flags
			make -C progs install $flags
		]],
	},
	synopsis = "POSIX capabilities",
	description = "setcap, getcap, capsh: rights of root one by one.",
	license = "BSD-3-Clause OR GPL-2.0-only",
	home_page = "https://sites.google.com/site/fullycapable/",
}
