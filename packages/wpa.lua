-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Both sides of a protected wireless network: wpa_supplicant joins one, hostapd is its access point. WPA2 and WPA3 with
-- passphrases, and networks that are open; nothing of WPS, of peer-to-peer and of logins by a server (EAP), where the
-- holes of this release were.

local build = require "packages.build"
local package, origin = build.package, build.origin

local COMMON = [[
CONFIG_DRIVER_NL80211=y
CONFIG_LIBNL32=y
CONFIG_TLS=openssl
CONFIG_GETRANDOM=y
CONFIG_CTRL_IFACE=y
CONFIG_SAE=y
CONFIG_OWE=y
CONFIG_IEEE80211AC=y
CONFIG_NO_RC4=y
CONFIG_NO_TKIP=y
]]

return package {
	name = "wpa", version = "2.10",
	source = origin {
		urls = { "mirror://debian/pool/main/w/wpa/wpa_2.10.orig.tar.xz" },
		sha256 = "b39f85be9d8fd58adee1acae3735ec0a1f7bdc460fe3f6fd76a1d57e9ac910c6",
	},
	inputs = { require "packages.openssl", require "packages.libnl", require "packages.linux-headers" },
	phases = {
		-- Sockets of the programs that talk to them lie where services that are shut in see them, too.
		configure = [[
			sed -i 's|"/var/run/|"/run/|' wpa_supplicant/wpa_cli.c hostapd/hostapd_cli.c
			sed -i 's|CLIENT_DIR "/tmp"|CLIENT_DIR "/run"|' src/common/wpa_ctrl.c
			cat >wpa_supplicant/.config <<'END'
]] .. COMMON .. [[
CONFIG_BACKEND=file
CONFIG_NO_CONFIG_BLOBS=y
CONFIG_BGSCAN_SIMPLE=y
CONFIG_WNM=y
END
			cat >hostapd/.config <<'END'
]] .. COMMON .. [[
CONFIG_NO_RADIUS=y
CONFIG_NO_ACCOUNTING=y
CONFIG_NO_VLAN=y
END
		]],
		build = [[
			flags=(CC=cc BUILDDIR=/build/obj EXTRA_CFLAGS="-O2 -ffunction-sections $(pkg-config --cflags libcrypto libnl-genl-3.0)"
				LDFLAGS="-Wl,--gc-sections $(pkg-config --libs-only-L libcrypto libnl-genl-3.0)")
			make -C wpa_supplicant -j"$cores" "${flags[@]}" wpa_supplicant wpa_cli wpa_passphrase
			make -C hostapd -j"$cores" "${flags[@]}" hostapd hostapd_cli
		]],
		install = [[
			mkdir -p "$out/bin" "$out/sbin"
			cp wpa_supplicant/wpa_cli wpa_supplicant/wpa_passphrase hostapd/hostapd_cli "$out/bin/"
			cp wpa_supplicant/wpa_supplicant hostapd/hostapd "$out/sbin/"
		]],
	},
	synopsis = "Wireless networks: wpa_supplicant and hostapd, with WPA2 and WPA3",
	description = "Wi-Fi: the programs wpa_supplicant, wpa_cli, wpa_passphrase join a network; hostapd, hostapd_cli are an access point.",
	license = "BSD-3-Clause",
	home_page = "https://w1.fi/",
}
