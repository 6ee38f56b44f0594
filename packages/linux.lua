-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The kernel, for virtual machines and ordinary PCs.

local package = require("packages.build").package
local linux = require "packages.linux-source"

return package {
	name = "linux", version = linux.version,
	source = linux.source,
	build_system = "kbuild",
	seed = { "kernel" },
	libc = "none",
	strip = false,
	phases = {
		-- What no x86 build reads is not unpacked: it is half of the tree.
		unpack = [[
			mkdir -p /build/src
			cd /build/src
			tar -xf "$src" --strip-components=1 \
				--exclude='*/Documentation/*.rst' --exclude='*/Documentation/*.txt' \
				--exclude='*/Documentation/*.yaml' --exclude='*/tools/testing/*' --exclude='*/tools/perf/*' \
				--exclude='*/drivers/gpu/drm/amd/*.[ch]' --exclude='*/drivers/gpu/drm/i915/*.[ch]' \
				--exclude='*/drivers/gpu/drm/nouveau/*.[ch]' \
				--exclude='*/wireless/broadcom/*/*.[ch]' --exclude='*/wireless/marvell/*.[ch]' \
				--exclude='*/wireless/realtek/rtlwifi/*.[ch]' --exclude='*/wireless/realtek/rtw89/*.[ch]' \
				--exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/staging/*.[ch]' --exclude='*/sound/*.c' \
				--anchored --exclude='linux-]] .. linux.version .. [[/arch/[a-w]*.[chS]' \
				--exclude='linux-]] .. linux.version .. [[/arch/[a-w]*.dts*'
		]],
		configure = [[
			config=]] .. source "linux/linux.config" .. [[

			make -s KCONFIG_ALLCONFIG="$config" allnoconfig
			lost=0
			while read -r line; do
				case $line in
				CONFIG_*=* | '# CONFIG_'*' is not set')
					grep -qxF -- "$line" .config || { echo "kernel option lost: $line" >&2; lost=1; } ;;
				esac
			done <"$config"
			[ $lost = 0 ]
		]],
		build = [[
			export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:01 UTC 1970' KBUILD_BUILD_VERSION=1
			export KBUILD_BUILD_USER=cairn KBUILD_BUILD_HOST=cairn
			make -j"$cores" bzImage modules
		]],
		install = [[
			mkdir -p "$out"
			cp arch/x86/boot/bzImage "$out/bzImage"
			cp System.map "$out/System.map"
			cp .config "$out/config"
			make modules_install INSTALL_MOD_PATH="$out" INSTALL_MOD_STRIP=1 DEPMOD=/sbin/depmod
			cd "$out"/lib/modules/*
			rm -f build source modules.builtin.modinfo *.bin
			# depmod writes in the order of its hash table.
			for file in modules.dep modules.alias modules.symbols modules.softdep; do
				if [ -e $file ]; then
					LC_ALL=C sort $file | grep -v '^#' >$file.new || :
					mv $file.new $file
				fi
			done
		]],
	},
	synopsis = "Linux, for virtual machines and ordinary PCs",
	description = "The kernel and its drivers (modules).",
	license = "GPL-2.0-only WITH Linux-syscall-note",
	home_page = "https://www.kernel.org/",
}
