-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin
local libgpg_error = require "packages.libgpg-error"

return package {
	name = "libgcrypt", version = "1.10.1",
	source = origin {
		urls = {
			"https://gnupg.org/ftp/gcrypt/libgcrypt/libgcrypt-1.10.1.tar.bz2",
			"mirror://debian/pool/main/libg/libgcrypt20/libgcrypt20_1.10.1.orig.tar.bz2",
		},
		sha256 = "ef14ae546b0084cd84259f61a55e07a38c3b53afc0f546bffcef2f01baffe9de",
	},
	inputs = { libgpg_error },
	phases = {
		-- configure asks the script of libgpg-error, which is not installed.
		configure = [[
			tool gpg-error-config <<-'END'
				#!/bin/sh
				case $1 in
				--version) exec pkg-config --modversion gpg-error ;;
				*) exec pkg-config "$@" gpg-error ;;
				esac
			END
			export ac_cv_path_GPGRT_CONFIG=no
			gnu_configure --disable-doc
		]],
		build = [[gnu_build -C cipher; for dir in compat mpi random src; do gnu_build -C $dir; done]],
		install = [[gnu_install -C src]],
		finish = [[rm -rf "$out/bin"]],
	},
	synopsis = "Cryptography: hashes, signatures",
	license = "LGPL-2.1-or-later",
	home_page = "https://gnupg.org/software/libgcrypt/",
}
