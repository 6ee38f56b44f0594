-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "slirp4netns", version = "1.2.1",
	source = origin {
		urls = { "mirror://debian/pool/main/s/slirp4netns/slirp4netns_1.2.1.orig.tar.gz" },
		sha256 = "51aa240e1e29905ed35b449ca718539a01221aab3b6d291c4dc6777f0eb9d7d9",
	},
	inputs = {
		require "packages.glib", require "packages.libslirp", require "packages.libcap",
		require "packages.libseccomp", require "packages.linux-headers",
	},
	phases = {
		-- Six files: what its configure script would ask is known.
		configure = [[
			printf '#define %s "%s"\n' PACKAGE slirp4netns VERSION 1.2.1 PACKAGE_VERSION 1.2.1 COMMIT unknown >config.h
		]],
		build = [[
			cc -O2 -I. -Ivendor/parson main.c slirp4netns.c api.c sandbox.c seccompfilter.c \
				vendor/parson/parson.c -o slirp4netns -Wl,--gc-sections $(pkg-config --cflags --libs slirp glib-2.0 libcap libseccomp)
		]],
		check = [[./slirp4netns --version]],
		install = [[
			mkdir -p "$out/bin"
			cp slirp4netns "$out/bin/"
		]],
	},
	synopsis = "Network for namespaces, by TCP and IP in user mode",
	description = "Internet for containers and sandboxes without root.",
	license = "GPL-2.0-or-later",
	home_page = "https://github.com/rootless-containers/slirp4netns",
}
