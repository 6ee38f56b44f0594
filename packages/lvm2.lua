-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- libdevmapper, and the programs lvm and dmsetup; no daemons, no udev, nothing that needs another program to work.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "lvm2", version = "2.03.16",
	source = origin {
		urls = { "mirror://debian/pool/main/l/lvm2/lvm2_2.03.16.orig.tar.xz" },
		sha256 = "9eee14d34f7962ade7d4624114ce7b6bd3d868d210afb72b3769f8c6a082646e",
	},
	inputs = { require "packages.libaio", require "packages.util-linux", require "packages.linux-headers" },
	phases = {
		-- musl has no mallinfo, and its standard streams cannot be set; what they are for is a guess at the heap that is
		-- locked, a descriptor that was closed before the start, and buffers of one's own.
		patch = [[
			sed -i 's/struct mallinfo inf = mallinfo()/struct { size_t hblks; } inf = { 0 }/; s/inf = mallinfo();//' \
				lib/mm/memlock.c
			sed -i -E 's/!\((stdin|stdout|stderr) = fopen\((.*)\)\)\)/!freopen(\2, \1))/' tools/lvmcmdline.c
			sed -i 's/if (set_buffering$/if (0 \&\& set_buffering/' lib/commands/toolcontext.c
			grep -q '0 && set_buffering' lib/commands/toolcontext.c
			sed -i 's/canonicalize_file_name(path)/realpath(path, NULL)/' libdm/dm-tools/dmsetup.c
		]],
		configure = [[
			ac_cv_func_malloc_0_nonnull=yes ac_cv_func_realloc_0_nonnull=yes \
			./configure --prefix="$out" --sbindir="$out/sbin" --enable-static_link --enable-pkgconfig \
				--disable-selinux --disable-readline --disable-udev_sync --disable-udev_rules --disable-dmeventd \
				--disable-lvmpolld --disable-notify-dbus --disable-systemd-journal --disable-app-machineid \
				--disable-fsadm --disable-nls --disable-dependency-tracking \
				--with-vdo=none --with-cache=none --with-writecache=none --with-integrity=none \
				--with-thin-check= --with-thin-dump= --with-thin-repair= --with-thin-restore= \
				--with-confdir=/etc --with-default-system-dir=/etc/lvm --with-default-run-dir=/run/lvm \
				--with-default-dm-run-dir=/run --with-default-locking-dir=/run/lock/lvm \
				--with-default-pid-dir=/run CC=cc CFLAGS="-Os -ffunction-sections -fdata-sections" \
				LDFLAGS="-Wl,--gc-sections"
		]],
		build = [[
			make -j"$cores" -C include
			make -j"$cores" -C libdm ioctl/libdevmapper.a
			make -j"$cores" base/libbase.a device_mapper/libdevice-mapper.a
			make -j"$cores" -C lib liblvm-internal.a
			make -C libdaemon/client libdaemonclient.a
			make -C libdm/dm-tools dmsetup.static
			make -j"$cores" -C tools SHELL=/bin/bash lvm.static
		]],
		check = "(LVM_SUPPRESS_FD_WARNINGS=1 tools/lvm.static pvcreate /build/none || :) 2>&1 | grep 'No device found for /build/none'",
		install = [[
			mkdir -p "$out/sbin" "$out/lib/pkgconfig" "$out/include"
			cp libdm/libdevmapper.h "$out/include/"
			cp libdm/ioctl/libdevmapper.a "$out/lib/"
			cp libdm/libdevmapper.pc "$out/lib/pkgconfig/devmapper.pc"
			cp libdm/dm-tools/dmsetup.static "$out/sbin/dmsetup"
			cp tools/lvm.static "$out/sbin/lvm"
			for kind in pv vg lv; do
				for verb in change create display remove resize s scan; do
					case $kind$verb in vgresize|pvscan?) ;; *) ln -s lvm "$out/sbin/$kind$verb" ;; esac
				done
			done
			for name in lvconvert lvextend lvreduce lvrename pvck pvmove vgck vgexport vgextend vgimport vgmerge \
				vgreduce vgrename vgsplit vgcfgbackup vgcfgrestore vgmknodes; do
				ln -s lvm "$out/sbin/$name"
			done
		]],
	},
	synopsis = "LVM: logical volumes; libdevmapper, dmsetup",
	description = "Volume manager, device mapper.",
	license = "GPL-2.0-only AND LGPL-2.1-only AND BSD-2-Clause",
	home_page = "https://sourceware.org/lvm2/",
}
