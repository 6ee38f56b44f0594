-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The files of GLib that libslirp and slirp4netns use, and what those use. The whole of it would need
-- meson, Python, libffi and PCRE, for functions that nothing calls.

local build = require "packages.build"
local package, origin = build.package, build.origin

local files = [[
	garray gbitlock gbytes gcharset gconvert gdir genviron gerror gfileutils ghash giochannel giounix
	gjournal-private glib-init glib-unix glist gmain gmem gmessages gpattern gpoll gprintf gquark gqueue
	grand grefcount gshell gslice gslist gspawn gstdio gstrfuncs gstring gtestutils gthread gthread-posix
	gtimer gunidecomp guniprop gutf8 gutils gvariant gvariant-core gvariant-serialiser gvarianttype gwakeup
	libcharset/localcharset
]]

return package {
	name = "glib", version = "2.74.6",
	source = origin {
		urls = {
			"https://download.gnome.org/sources/glib/2.74/glib-2.74.6.tar.xz",
			"mirror://debian/pool/main/g/glib2.0/glib2.0_2.74.6.orig.tar.xz",
		},
		sha256 = "069cf7e51cd261eb163aaf06c8d1754c6835f31252180aff5814e5afc7757fbc",
	},
	inputs = { require "packages.linux-headers" },
	phases = {
		configure = [[
			cp ]] .. source "glib/config.h" .. [[ config.h
			sed -f ]] .. source "glib/glibconfig.sed" .. [[ glib/glibconfig.h.in >glibconfig.h
			if grep '@[a-z]' glibconfig.h; then
				echo "glib/glibconfig.sed does not have all values" >&2
				exit 1
			fi
		]],
		-- A section for each function: who links drops what is not used, and with it what that would need.
		build = [[
			flags="-Os -w -ffunction-sections -fdata-sections -DGLIB_COMPILATION -I. -Iglib -Iglib/libcharset"
			echo ]] .. files:gsub("%s+", " "):gsub("^ ", "") .. [[ | tr ' ' '\n' |
				xargs -P "$cores" -I{} sh -c "cc $flags"' -c glib/{}.c -o $(basename {}).o'
			ar rcs libglib-2.0.a *.o
		]],
		install = [[
			mkdir -p "$out/lib/pkgconfig" "$out/include/glib-2.0/glib/deprecated"
			cp libglib-2.0.a "$out/lib/"
			cp glib/glib.h glibconfig.h "$out/include/glib-2.0/"
			cp glib/*.h "$out/include/glib-2.0/glib/"
			cp glib/deprecated/*.h "$out/include/glib-2.0/glib/deprecated/"
			cat >"$out/lib/pkgconfig/glib-2.0.pc" <<-END
				Name: GLib
				Description: Parts of the C utility library
				Version: 2.74.6
				Libs: -L$out/lib -lglib-2.0
				Cflags: -I$out/include/glib-2.0
			END
		]],
	},
	synopsis = "Data structures and utilities in C, as far as libslirp needs them",
	license = "LGPL-2.1-or-later",
	home_page = "https://wiki.gnome.org/Projects/GLib",
}
