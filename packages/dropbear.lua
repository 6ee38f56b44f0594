-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "dropbear", version = "2022.83",
	source = origin {
		urls = {
			"https://matt.ucc.asn.au/dropbear/releases/dropbear-2022.83.tar.bz2",
			"mirror://debian/pool/main/d/dropbear/dropbear_2022.83.orig.tar.bz2",
		},
		sha256 = "bc5a121ffbc94b5171ad5ebe01be42746d50aa797c9549a4639894a16749443b",
	},
	patches = { source "dropbear/declared-keys.patch" }, -- of services.dropbear, where their users write nothing
	inputs = { require "packages.zlib" },
	configure_flags = {
		"--enable-static", "--disable-lastlog", "--disable-utmp", "--disable-utmpx", "--disable-wtmp",
		"--disable-wtmpx", "--disable-pututline", "--disable-pututxline", "--disable-loginfunc",
	},
	phases = {
		-- Commands of sessions that are no login shells are found, too.
		patch = [[
			apply_patches
			path=/run/current-system/profile/bin:/run/current-system/profile/sbin:/bin:/usr/bin
			printf '#define %s "%s"\n' DEFAULT_PATH "$path" DEFAULT_ROOT_PATH "$path" >localoptions.h
		]],
		build = [[make -j"$cores" MULTI=1 STATIC=1 PROGRAMS="dropbear dbclient dropbearkey scp"]],
		install = [[
			mkdir -p "$out/bin" "$out/sbin"
			cp dropbearmulti "$out/bin/dropbearmulti"
			for name in dbclient ssh dropbearkey scp; do
				ln -s dropbearmulti "$out/bin/$name"
			done
			ln -s ../bin/dropbearmulti "$out/sbin/dropbear"
		]],
	},
	synopsis = "SSH server and client",
	description = "Secure shell for small machines: remote logins, ssh, scp, dropbearkey.",
	license = "MIT",
	home_page = "https://matt.ucc.asn.au/dropbear/dropbear.html",
}
