-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Keyboard layouts of the console, as busybox loadkmap reads them: share/keymaps/NAME.bmap. What makes
-- them, kbd's loadkeys, is left behind. keymaps/names.lua has the names.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "keymaps", version = "2.5.1",
	source = origin {
		urls = { "mirror://debian/pool/main/k/kbd/kbd_2.5.1.orig.tar.gz" },
		sha256 = "80513bfc54dceb31b06648ab38ca8447305b92cc0c6b9c05abb1d275af8581a8",
	},
	seed = { "autotools" },
	phases = {
		configure = [[
			cd src/libkeymap
			for set in latin1:8859-1:160 latin2:8859-2:160 latin3:8859-3:160 latin4:8859-4:160 \
				iso8859_5:8859-5:160 iso8859_7:8859-7:160 iso8859_8:8859-8:160 iso8859_9:8859-9:160 \
				iso8859_15:8859-15:160 cp1250:cp1250:128 koi8:koi8-u:128; do
				IFS=: read -r name table start <<<"$set"
				perl ../../contrib/gen_charset_syms.pl -n "${name}_syms" -s "$start" \
					<"../../data/consoletrans/${table}_to_uni.trans" >"syms.$name.h"
			done
			bison -d -o parser.c parser.y
			flex --header-file=analyze.h -o analyze.c analyze.l
			cat >config.h <<-'END'
				#define PACKAGE "kbd"
				#define PACKAGE_STRING "kbd 2.5.1"
				#define PACKAGE_VERSION "2.5.1"
				#define VERSION "2.5.1"
				#define HAVE_LIBINTL_H 1
				#define HAVE_LOCALE_H 1
			END
		]],
		build = [[
			cc -O2 -w -D_GNU_SOURCE -DDATADIR='"/share"' -DLOCALEDIR='"/"' -I. -I.. -I../libcommon -I../libkbdfile \
				-o loadkeys ../loadkeys.c *.c ../libkbdfile/*.c ../libcommon/*.c
			cd ../..
		]],
		install = [[
			mkdir -p "$out/share/keymaps"
			for name in ]] .. table.concat(require "packages.keymaps.names", " ") .. [[; do
				src/libkeymap/loadkeys --bkeymap --unicode data/keymaps/i386/[a-z]*/"$name.map" \
					>"$out/share/keymaps/$name.bmap"
			done
		]],
	},
	synopsis = "Keyboard layouts of the console",
	description = "Keymaps of the text console: German, French and others.",
	license = "GPL-2.0-or-later",
	home_page = "https://kbd-project.org/",
}
