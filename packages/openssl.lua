-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The libraries alone: elliptic curves for WPA3, TLS for servers. What no program of ours asks for, and what is broken, is
-- left out; no file of settings is read unless a program asks for one.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "openssl", version = "3.0.20",
	source = origin {
		urls = { "mirror://debian/pool/main/o/openssl/openssl_3.0.20.orig.tar.gz" },
		sha256 = "c80a01dfc70ece4dc21168932c37739042d404d46ccc81a5986dd75314ecda6f",
	},
	seed = { "autotools" }, -- Perl: its Configure, and what writes assembly
	inputs = { require "packages.linux-headers" },
	phases = {
		configure = [[
			perl Configure linux-x86_64 --prefix="$out" --libdir=lib --openssldir=/etc/ssl CC=cc CFLAGS='-O2 -ffunction-sections -fdata-sections' \
				no-shared no-pic no-module no-dso no-engine no-legacy no-tests no-autoload-config no-comp no-ssl3 no-dtls no-srp no-psk \
				no-ts no-cmp no-ct no-gost no-aria no-camellia no-idea no-seed no-sm2 no-sm3 no-sm4 no-mdc2 \
				no-whirlpool no-rc2 no-rc4 no-bf no-cast no-ec2m
		]],
		-- What links to it must not refer to it.
		build = [[make -j"$cores" build_libs MODULESDIR=/none ENGINESDIR=/none]],
		install = [[
			make install_dev MODULESDIR=/none ENGINESDIR=/none >/dev/null
			rm -rf "$out/bin"
		]],
	},
	synopsis = "Cryptography and TLS: libcrypto, libssl",
	license = "Apache-2.0",
	home_page = "https://www.openssl.org/",
}
