-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "ca-certificates", version = "20230311",
	source = origin {
		urls = { "mirror://debian/pool/main/c/ca-certificates/ca-certificates_20230311%2bdeb12u1.tar.xz" },
		sha256 = "4cd6bbd5577a16432438bc1006dc05c333afacb76104fc3564612858c8ee3280",
	},
	build_system = "trivial",
	libc = "none",
	phases = {
		build = "gawk -f " .. source "ca-certificates/certdata.awk" .. " mozilla/certdata.txt >bundle",
		check = [=[
			count=$(grep -c 'BEGIN CERTIFICATE' bundle)
			echo "$count certificates"
			[ "$count" -ge 100 ]
		]=],
		install = [[
			mkdir -p "$out/etc/ssl/certs"
			cp bundle "$out/etc/ssl/certs/ca-certificates.crt"
		]],
	},
	synopsis = "Certificates that Mozilla trusts for web servers",
	description = "Root certificates for TLS and https.",
	license = "MPL-2.0",
	home_page = "https://wiki.mozilla.org/CA",
}
