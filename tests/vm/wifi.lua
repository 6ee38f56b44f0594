-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The machine of tests/vm/wifi.test: two wireless cards that are none (mac80211_hwsim), of which the test makes one an access
-- point.

local services = require "services"
local system = require "system"

return system.operating_system {
	host_name = "box",
	kernel_arguments = { "console=ttyS0,115200", "panic=10", "no_timer_check", "quiet" },
	file_systems = { { device = "LABEL=cairn-vm", mount_point = "/" } }, -- what the disk of `cairn system vm` is called
	users = { { name = "root", password = "" } },
	kernel_modules = { "mac80211_hwsim" },
	secrets = { { name = "wifi-home", version = 1 }, { name = "wifi-office" } },
	services = services.base {
		without = { "dhcp", "getty" },
		services.getty { terminal = "ttyS0" },
		services.wifi {
			interface = "wlan0", country = "DE",
			networks = {
				{ ssid = "caf\xc3\xa9 \"1\" \\ \xff'", psk = "wifi-home" },
				{ ssid = "office", psk = "wifi-office", security = "wpa3", hidden = true, priority = 5 },
				{ ssid = "guests", security = "open" },
			},
		},
		services.dhcp { interface = "wlan0" },
		services.simple {
			name = "later", type = "oneshot", after = { "networks" }, requires = { "activation" },
			exec = { require "packages.busybox" .. "/bin/busybox", "sh", "-c", "/run/current-system/profile/bin/cairn service list --json >/run/seen" },
		},
	},
	bootloader = { type = "none" },
}
