-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The web server of busybox, alone and without CGI. The one of busybox itself runs what lies in cgi-bin, and what a file httpd.conf
-- beside a file says, and has no setting that would keep it from that.

local busybox = require "packages.busybox"

return busybox:with {
	name = "httpd",
	phases = {
		configure = [[
			make allnoconfig HOSTCC=/usr/bin/gcc >/dev/null
			for name in STATIC LFS FEATURE_IPV6 FEATURE_USE_SENDFILE HTTPD FEATURE_HTTPD_SETUID FEATURE_HTTPD_RANGES \
				FEATURE_HTTPD_GZIP FEATURE_HTTPD_ETAG FEATURE_HTTPD_LAST_MODIFIED FEATURE_HTTPD_DATE FEATURE_HTTPD_ACL_IP; do
				sed -i "s/^# CONFIG_$name is not set\$/CONFIG_$name=y/" .config
			done
			yes '' | make oldconfig HOSTCC=/usr/bin/gcc >/dev/null || :
			grep -qx CONFIG_FEATURE_HTTPD_ACL_IP=y .config || { echo "busybox has no filter of addresses any more" >&2; exit 1; }
			if grep -E 'CGI=y|INTERPR=y|PROXY=y' .config; then
				echo "this httpd would run programs" >&2
				exit 1
			fi
		]],
		build = [[make -j"$cores" CC=cc HOSTCC=/usr/bin/gcc]],
		install = [[
			mkdir -p "$out/bin"
			cp busybox "$out/bin/httpd"
		]],
	},
	synopsis = "Web server for files (of busybox)",
	description = "httpd alone, without CGI: it runs no program.",
}
