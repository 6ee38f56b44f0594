-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Cairn itself.  It depends on nothing of the tree but what compiles, so editing
-- a recipe or a service does not rebuild it.

local package = require("packages.build").package

return package {
	name = "cairn", version = "0.1.0",
	source = cairn_source(),
	seed = { "lto" }, -- PID 1 is to be small
	inputs = {
		require "packages.util-linux", require "packages.e2fsprogs", require "packages.sqlite",
		require "packages.libcap", require "packages.libseccomp", require "packages.libgcrypt",
		require "packages.libgpg-error", require "packages.curl", require "packages.mbedtls",
		require "packages.libarchive", require "packages.zlib", require "packages.xz", require "packages.zstd",
		require "packages.lua",
	},
	phases = {
		configure = "",
		build = [[make -j"$cores" O=/build/obj STATIC=1 LTO=1 CC=cc CFLAGS=-O2 all]],
		install = [[
			mkdir -p "$out/bin" "$out/share/man/man8"
			cp /build/obj/cairn /build/obj/init/cairn-init /build/obj/init/cairn-boot "$out/bin/"
			cp doc/cairn-daemon.8 "$out/share/man/man8/"
			"$out/bin/cairn" manual --directory "$out/share/man/man1"
		]],
	},
	prune = false, -- its manual pages stay
	synopsis = "Init system and builder of systems",
	description = "PID 1 and supervisor of services, package manager, build daemon, store.",
	license = "GPL-3.0-or-later",
}
