-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "busybox", version = "1.35.0",
	source = origin {
		urls = {
			"https://busybox.net/downloads/busybox-1.35.0.tar.bz2",
			"mirror://debian/pool/main/b/busybox/busybox_1.35.0.orig.tar.bz2",
		},
		sha256 = "faeeb244c35a348a334f4a59e44626ee870fb07b6884d68c10ae8bc19f83a694",
	},
	build_system = "kbuild",
	phases = {
		-- Its defaults, but for the lines of busybox/busybox.config; each of those must
		-- have survived.
		configure = [[
			config=]] .. source "busybox/busybox.config" .. [[

			make defconfig HOSTCC=/usr/bin/gcc >/dev/null
			while read -r line; do
				case $line in
				CONFIG_*=*) name=${line%%=*} ;;
				'# CONFIG_'*' is not set') name=${line#'# '}; name=${name%% *} ;;
				*) continue ;;
				esac
				sed -i -e "/^$name=/d" -e "/^# $name is not set/d" .config
				echo "$line" >>.config
			done <"$config"
			yes '' | make oldconfig HOSTCC=/usr/bin/gcc >/dev/null || :
			while read -r line; do
				case $line in
				CONFIG_* | '# CONFIG_'*' is not set')
					grep -qxF -- "$line" .config || { echo "option lost: $line"; exit 1; } ;;
				esac
			done <"$config"
		]],
		build = [[make -j"$cores" CC=cc HOSTCC=/usr/bin/gcc]],
		install = [[
			mkdir -p "$out/bin"
			cp busybox "$out/bin/busybox"
			./busybox --list | while read -r applet; do
				[ "$applet" = busybox ] || ln -s busybox "$out/bin/$applet"
			done
		]],
	},
	synopsis = "Shell and everyday programs in one file",
	description = "The shell ash (sh) and some 300 programs: the text editor vi, ed, less (pager), awk, grep, sed, diff, patch, find, xargs, tar, "
		.. "cpio, gzip, unzip, wget (downloads), nc, ping, traceroute, nslookup, ip, udhcpc (DHCP), ntpd (time), httpd (web server), telnet, "
		.. "ps, top, kill, lsof, mount, fdisk, hdparm, lspci, lsusb, login, passwd, su, crond, man, bc (calculator), hexedit, watch, script.",
	license = "GPL-2.0-only",
	home_page = "https://busybox.net/",
}
