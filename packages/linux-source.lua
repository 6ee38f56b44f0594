-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The kernel's source, shared by the kernel and its headers.

local origin = require "packages.build.origin"

return {
	version = "6.1.176",
	source = origin {
		urls = { "mirror://debian/pool/main/l/linux/linux_6.1.176.orig.tar.xz" },
		sha256 = "9aad4025973feea3f0d978e82ab7db97d8d5ce3f59fcc6b1f316153d66e3a504",
	},
}
