-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- GRUB for one kind of machine: recipe { name, target, platform, … } is a package.

local build = require "packages.build"
local package, origin = build.package, build.origin

local TOOLS = "grub-mkimage | grub-editenv | grub-fstest | grub-script-check | grub-file | grub-bios-setup"

-- tools = true keeps the programs, which are the same for every platform.
return function(t)
	return package {
		name = t.name, version = "2.06",
		source = origin {
			urls = {
				"https://ftp.gnu.org/gnu/grub/grub-2.06.tar.xz",
				"mirror://debian/pool/main/g/grub2/grub2_2.06.orig.tar.xz",
			},
			sha256 = "b79ea44af91b93d17cd3fe80bdae6ed43770678a9a5ae192ccea803ebb657ee1",
		},
		seed = { "python" },
		-- Modules keep the symbols that GRUB's loader looks for.
		strip = false,
		phases = {
			-- CFLAGS and LDFLAGS must stay unset: with them the i386-pc kernel hangs or
			-- modules lose grub_mod_init, both without a message.
			configure = [[
				./configure --prefix="$out" --target=]] .. t.target .. [[ --with-platform=]] .. t.platform .. [[ \
					--disable-werror --disable-nls --disable-grub-mkfont --disable-grub-mount \
					--disable-grub-themes --disable-device-mapper --disable-libzfs --disable-liblzma \
					--disable-efiemu --disable-dependency-tracking \
					CC=cc HOST_CC=cc BUILD_CC=/usr/bin/gcc TARGET_CC=/usr/bin/gcc PYTHON=/usr/bin/python3
			]],
			-- Scripts probe an ordinary distribution; Cairn writes the menu itself.
			finish = [[
				rm -rf "$out/etc" "$out/share"
				rm -f "$out"/lib/grub/*/*.module "$out"/lib/grub/*/*.image "$out"/lib/grub/*/*.exec \
					"$out"/lib/grub/*/config.h "$out"/lib/grub/*/gdb_grub "$out"/lib/grub/*/gmodule.pl \
					"$out"/lib/grub/*/gdb_helper.py
				for file in "$out"/bin/* "$out"/sbin/*; do
					case ${file##*/} in
					]] .. (t.tools and TOOLS or "none") .. [[)
						strip -s "$file" ;;
					*) rm "$file" ;;
					esac
				done
			]],
		},
		synopsis = t.synopsis,
		license = "GPL-3.0-or-later",
		home_page = "https://www.gnu.org/software/grub/",
	}
end
