-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What `cairn build NAME` knows: the name of a package and its module.

local names = {
	"busybox", "ca-certificates", "cairn", "cryptsetup", "curl", "doas", "dosfstools", "dropbear", "e2fsprogs", "erofs-utils", "git", "glib",
	"grub", "grub-efi", "httpd", "iw", "json-c", "keymaps", "libaio", "libarchive", "libburn", "libcap", "libfuse", "libgcrypt", "libgpg-error",
	"libisofs", "libnl", "libseccomp", "libslirp", "linux", "linux-headers", "lua", "lvm2", "lz4", "mbedtls", "mdadm", "mtools",
	"musl", "nftload", "openssh", "openssl", "popt", "slirp4netns", "sqlite", "squashfs-tools", "util-linux", "wireguard",
	"wireless-regdb", "wpa", "xorriso", "xz", "zlib", "zstd",
}

local index = {}
for _, name in ipairs(names) do
	index[name] = "packages." .. name
end

-- The seed's items, for those who want to look into one: seed-core and so on.
for _, name in ipairs { "core", "lto", "kernel", "python", "tcl", "autotools", "meson", "cmake" } do
	index["seed-" .. name] = function() return require("packages.seed").item(name) end
end

return index
