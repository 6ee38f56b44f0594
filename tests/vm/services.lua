-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The machine of tests/vm/services.test: one service of nearly every type. The other side of each is in a network
-- namespace of the same machine. NTP stands for a server on the host.

local services = require "services"
local system = require "system"

local site = derivation {
	name = "site", builder = require "packages.busybox" .. "/bin/busybox",
	args = { "sh", "-c", [[$b mkdir -p $out/cgi-bin; echo from the container >$out/index.html
		printf '#!%s sh\nprintf "Content-type: text/plain\\r\\n\\r\\nsaid by $QUERY_STRING\\n"\n' $b >$out/cgi-bin/say; $b chmod +x $out/cgi-bin/say]] }, env = { b = require "packages.busybox" .. "/bin/busybox" },
}

-- An interface whose other end goes to the other side.
local function wire(name, peer, fields)
	fields.interface, fields.link = name, { kind = "veth", peer = peer }
	return services.static_network(fields)
end

-- What crypt(3) makes of "secret".
local ANN = "$6$cairn$UPlIUkGZHZdnc2TlwAClfWsBsmxAXPYqjsyXcRLcpOrjI69vtkLHD.Xh6yt9uPXlcfKE6Hg8MD6mLTunRw7wy0"

return system.operating_system {
	host_name = "box",
	-- With what `cairn system vm` adds, so that a system that the machine makes of this needs no other boot.
	kernel_arguments = { "console=ttyS0,115200", "panic=10", "no_timer_check", "quiet", "cairn.store=cairn-store" },
	initrd_modules = { "9p", "9pnet_virtio" },
	file_systems = { { device = "LABEL=cairn-vm", mount_point = "/" } }, -- what the disk of `cairn system vm` is called
	users = {
		{ name = "root", password = "" },
		{ name = "ann", groups = { "wheel" }, password = ANN },
		{ name = "bob" },
		{ name = "own", shell = require "packages.busybox" .. "/bin/ash" },
	},
	packages = { require "packages.wireguard" },
	services = services.base {
		without = { "dhcp", "getty" },
		services.getty { terminal = "ttyS0" },
		services.dhcp { interface = "eth0", resolv_conf = false },

		wire("lan0", "lan1", {
			addresses = { "192.0.2.1/24", "2001:db8::1/64" }, mtu = 1400, mac = "02:00:00:00:00:01",
			routes = { { to = "198.51.100.128/25", via = "192.0.2.2" }, { to = "2001:db8:1::/48", via = "2001:db8::2" } },
			name_servers = { "192.0.2.53" }, search = { "example.org" },
		}),
		services.static_network { interface = "lan0.5", link = { kind = "vlan", parent = "lan0", id = 5 }, address = "198.51.100.1/30" },
		-- The kernel's module makes this one, and nobody switches it on.
		services.static_network { interface = "dummy0.7", link = { kind = "vlan", parent = "dummy0", id = 7 }, addresses = { "2001:DB8:7:0::1/64" } },
		wire("port0", "port1", {}),
		services.static_network { interface = "br0", link = { kind = "bridge", ports = { "port0" } }, address = "203.0.113.1/24" },
		services.static_network { interface = "none0", link = { kind = "dummy" }, address = "192.0.2.129/32", up = false },
		wire("dyn0", "dyn1", { address = "2001:db8:2::1/64" }),
		services.dhcp { interface = "dyn0" },
		services.firewall {
			open = { 22, 2222, 7000, "8000-8001/tcp", "123/udp", "51820/udp", { port = 8003, from = { "192.0.2.3" } }, { port = 8004, interface = "lan0" } },
			trusted_interfaces = { "wg0" }, log = true, rules = { "family 4 saddr 203.0.113.2/32 proto tcp dport 8002-8002 accept" },
			forward = { { to = "lan0" } }, masquerade = { "lan0" },
			redirects = { { port = 8080, to = "10.8.0.2:80" } },
		},
		services.wireguard {
			addresses = { "10.9.0.1/24" }, listen_port = 51820,
			peers = { { public_key = "0Qr578kSG+LVupRN8ivz9bRdF1qXxyJjqVoKAe733zM=", allowed_ips = { "10.9.0.2/32", "10.10.0.0/16" } } },
		},
		services.ntp { servers = { "NTP" }, serve = true },
		services.dropbear { authorized_keys = {
			bob = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx bob" },
		} },
		services.openssh { port = 2222 },
		services.httpd { root = "/srv/www", port = 8000 },
		services.httpd { root = site, port = 8002 },
		services.httpd { root = site, port = 8003 },
		services.httpd { root = site, port = 8004, scripts = true },
		services.publish { port = 8001 },
		services.command { name = "echo", run = "exec nc -lk -p 7000 -e cat", user = "echo", account = true },
		services.job { name = "count", every = "1s", run = "echo run >>count", user = "count", account = true, directory = "/var/lib/count" },
		services.job { name = "dated", schedule = "12:07", run = "date +%H:%M >>dated", account = true, user = "count", directory = "/var/lib/count" },
		services.doas { rules = {
			{ group = "wheel" },
			{ group = "wheel", command = "env", password = false, environment = { GIVEN = "$WORD", SAID = 'a "b" \\c' } },
			{ user = "bob", as = "echo", command = "id", arguments = { "-un" }, password = false },
		} },
		services.container {
			name = "web", network = { host_address = "10.8.0.1/24", address = "10.8.0.2/24" },
			shares = { { from = "/srv/www", to = "/srv/shared" } },
			system = system.operating_system {
				host_name = "web", file_systems = { { device = "none", mount_point = "/", type = "tmpfs" } },
				services = {
					services.httpd { root = site },
					services.command { name = "shared", run = "exec nc -lk -p 81 -e cat /srv/shared/page" },
				},
			},
		},
		services.upgrade {
			schedule = "yearly", configuration = "/etc/cairn/next.lua", trial = "10min", services = { "base", "container@web" }, patience = "60s", keep = 2,
			before = { require "packages.busybox" .. "/bin/busybox", "sh", "-c", "! [ -e /run/cannot ]" }, reboot = "when-needed",
			check = { require "packages.busybox" .. "/bin/busybox", "sh", "-c", "! grep -q bad /etc/motd || { echo it says bad; exit 1; }" },
		},
	},
	directories = { { path = "/srv/www" } },
	bootloader = { type = "none" },
}
