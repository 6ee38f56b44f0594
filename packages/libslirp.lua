-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libslirp", version = "4.8.0",
	source = origin {
		urls = { "mirror://debian/pool/main/libs/libslirp/libslirp_4.8.0.orig.tar.bz2" },
		sha256 = "1c2e3d30e41a055ed41f9d0b3234d0d143bc28f5ad84bb101413f830844df757",
	},
	inputs = { require "packages.glib", require "packages.linux-headers" },
	phases = {
		configure = [[
			sed 's/@SLIRP_MAJOR_VERSION@/4/; s/@SLIRP_MINOR_VERSION@/8/; s/@SLIRP_MICRO_VERSION@/0/
				s/@SLIRP_VERSION_STRING@/"4.8.0"/' src/libslirp-version.h.in >src/libslirp-version.h
			echo '#define G_LOG_DOMAIN "Slirp"' >domain.h
		]],
		build = [[
			flags="-O2 -ffunction-sections -include domain.h -DBUILDING_LIBSLIRP $(pkg-config --cflags glib-2.0)"
			ls src/*.c | xargs -P "$cores" -I{} sh -c "cc $flags"' -c {} -o $(basename {} .c).o'
			ar rcs libslirp.a *.o
		]],
		install = [[
			mkdir -p "$out/lib/pkgconfig" "$out/include/slirp"
			cp libslirp.a "$out/lib/"
			cp src/libslirp.h src/libslirp-version.h "$out/include/slirp/"
			cat >"$out/lib/pkgconfig/slirp.pc" <<-END
				Name: slirp
				Description: TCP/IP in user mode
				Version: 4.8.0
				Requires: glib-2.0
				Libs: -L$out/lib -lslirp
				Cflags: -I$out/include/slirp
			END
		]],
	},
	synopsis = "TCP and IP in a program",
	license = "BSD-3-Clause AND MIT",
	home_page = "https://gitlab.freedesktop.org/slirp/libslirp",
}
