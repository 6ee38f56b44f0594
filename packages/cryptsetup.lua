-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The program cryptsetup, for LUKS and plain mappings. Argon2 is its own; libgcrypt has the rest.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "cryptsetup", version = "2.6.1",
	source = origin {
		urls = { "mirror://debian/pool/main/c/cryptsetup/cryptsetup_2.6.1.orig.tar.gz" },
		sha256 = "b8adeb071bb396a1a8515f1d54b4cc8901a536d0da3f5970971beb2ec8427c17",
	},
	inputs = {
		require "packages.lvm2", require "packages.popt", require "packages.json-c", require "packages.libgcrypt",
		require "packages.libgpg-error", require "packages.util-linux", require "packages.linux-headers",
	},
	phases = {
		-- The archive has no configure script, and that would ask for gettext; what it finds out is in config.h.
		configure = "cp " .. source "cryptsetup/config.h" .. " config.h",
		build = [[
			mkdir obj
			flags="-Os -w -ffunction-sections -fdata-sections -include config.h -I. -Ilib -Isrc -Ilib/crypto_backend"
			flags="$flags -Ilib/crypto_backend/argon2 $(pkg-config --cflags libgcrypt devmapper blkid uuid popt json-c)"
			find lib/*.c lib/integrity lib/loopaes lib/tcrypt lib/luks1 lib/luks2 lib/verity lib/bitlk lib/fvault2 \
				lib/crypto_backend src/cryptsetup.c src/utils_{args,tools,password,luks,blockdev,reencrypt,reencrypt_luks1,progress}.c \
				-name '*.c' ! -name 'crypto_openssl.c' ! -name 'crypto_nss.c' ! -name 'crypto_nettle.c' \
				! -name 'crypto_kernel.c' ! -name pbkdf2_generic.c ! -path '*/argon2/opt.c' | sort >files
			xargs -P "$cores" -I{} sh -c "cc $flags"' -c {} -o obj/$(echo {} | tr / _).o' <files
			cc -o cryptsetup obj/*.o -Wl,--gc-sections -pthread $(pkg-config --libs libgcrypt devmapper blkid uuid popt json-c)
			./cryptsetup --version
		]],
		install = [[
			mkdir -p "$out/sbin"
			cp cryptsetup "$out/sbin/"
		]],
	},
	synopsis = "Encrypted disks: LUKS",
	description = "Disk encryption, dm-crypt.",
	license = "GPL-2.0-or-later AND LGPL-2.1-or-later",
	home_page = "https://gitlab.com/cryptsetup/cryptsetup",
}
