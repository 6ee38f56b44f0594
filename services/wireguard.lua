-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- An interface of WireGuard. Private keys are the machine's own: the store is for everybody.

local network = require "system.network"
local secrets = require "system.secrets"
local service = require "system.service"

local KEY = { pattern = "^[%w+/]+=$", min = 44, max = 44, what = "a key: 44 characters, the last one =" }

local function key(options)
	for k, v in pairs(KEY) do
		options[k] = v
	end
	return schema.string(options)
end

local function key_file(options)
	options.check = function(path)
		if path:find("^/gnu/store/") or path:sub(1, 1) == "\1" then
			return "is in the store, which everybody can read"
		end
	end
	return schema.path(options)
end

local peer = schema.record("wireguard_peer", {
	public_key = key { doc = "who it is" },
	allowed_ips = schema.list(network.destination {}, { default = {}, unique = true, doc = "its addresses: what it may send from, and what is sent to it" }),
	endpoint = schema.string { optional = true, pattern = "^[%w%[][%w.:%]-]*:%d+$", what = "HOST:PORT", doc = "where it is; left out: it calls" },
	persistent_keepalive = schema.integer { optional = true, min = 1, max = 65535, doc = "seconds; for who is behind a router that forgets" },
	preshared_key_file = key_file { optional = true, doc = "a file of the machine with a key that both have" },
}, { doc = "the other end of a tunnel" })

local START = [[
#!@busybox@ sh
# Peers and keys are set before the interface is up, so nothing is lost to who is not there yet.
b=@busybox@
name=@name@ key=@key@
umask 077
if [ ! -s "$key" ]; then
	@genkey@
fi
$b ip link del "$name" type wireguard 2>/dev/null
$b ip link add name "$name" type wireguard || exit 1
@wg@ set "$name" private-key "$key"@words@ || exit 1
echo "public key: $(@wg@ show "$name" public-key)"
@addresses@
$b ip link set dev "$name"@mtu@ up || exit 1
@routes@
exit 0
]]

-- A secret is given, and what is made below /run would be another key after each boot.
local GENKEY = '$b mkdir -p "${key%/*}" && @wg@ genkey >"$key.new" && $b fsync "$key.new" && $b mv "$key.new" "$key" || exit 1'

local function words(s)
	local out = {}
	local function add(name, v)
		if v then
			out[#out + 1] = " " .. name .. " " .. shell_quote(tostring(v))
		end
	end
	add("listen-port", s.listen_port)
	add("fwmark", s.fwmark)
	for _, p in ipairs(s.peers) do
		add("peer", p.public_key)
		add("preshared-key", p.preshared_key_file)
		add("endpoint", p.endpoint)
		add("persistent-keepalive", p.persistent_keepalive)
		add("allowed-ips", #p.allowed_ips > 0 and table.concat(p.allowed_ips, ","))
	end
	return table.concat(out)
end

local function commands(s)
	local addresses, routes = {}, {}
	for i, a in ipairs(s.addresses) do
		addresses[i] = '$b ip addr add ' .. a .. ' dev "$name" || exit 1'
	end
	for _, p in ipairs(s.routes and s.peers or {}) do
		for _, a in ipairs(p.allowed_ips) do
			routes[#routes + 1] = "$b ip -" .. network.family_of(a) .. " route replace " .. a .. ' dev "$name" || exit 1'
		end
	end
	return table.concat(addresses, "\n"), table.concat(routes, "\n")
end

return service.service_type {
	name = "wireguard", many = true,
	doc = "a private network over others (WireGuard)",
	keywords = "vpn tunnel wg",
	example = [[
services.wireguard {
	addresses = { "10.9.0.1/24" }, listen_port = 51820,
	peers = { { public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", allowed_ips = { "10.9.0.2/32" } } },
}]],
	fields = {
		interface = network.interface { default = "wg0", doc = "its name" },
		addresses = schema.list(network.prefix {}, { default = {}, unique = true, doc = "the machine's own in this network" }),
		private_key_file = key_file { doc = "a file of the machine; made with a new key when it is missing", default_doc = "/var/lib/wireguard/INTERFACE.key",
			default = function(s)
				return "/var/lib/wireguard/" .. s.interface .. ".key"
			end },
		listen_port = network.port { optional = true, doc = "UDP; left out: any" },
		peers = schema.list(schema.of(peer), { default = {}, unique = "public_key", doc = "the others" }),
		routes = schema.boolean { default = true, doc = "what peers may send from is reached through it" },
		mtu = schema.integer { optional = true, min = 576, max = 65535, doc = "size of packets" },
		fwmark = schema.integer { optional = true, min = 1, max = 4294967295, doc = "mark of its own packets" },
	},
	check = function(s)
		for i, p in ipairs(s.routes and s.peers or {}) do
			for _, a in ipairs(p.allowed_ips) do
				if a:find("/0+$") then
					local halves = network.family_of(a) == 4 and "0.0.0.0/1 and 128.0.0.0/1" or "::/1 and 8000::/1"
					return "'" .. a .. "' would take the place of the way to everywhere, the tunnel's own packets included [routes = false; or its halves, "
						.. halves .. ", beside a route of static_network to the endpoint]", "peers[" .. i .. "]"
				end
			end
		end
	end,
	extend = function(s, os)
		secrets.check_file(os, s, "private_key_file")
		for _, p in ipairs(s.peers) do
			secrets.check_file(os, p, "preshared_key_file")
		end
		local package = require "packages.wireguard"
		local addresses, routes = commands(s)
		local genkey = s.private_key_file:find("^/run/") and 'echo "there is no key in $key"; exit 1' or GENKEY:gsub("@wg@", package .. "/bin/wg")
		return {
			listens = s.listen_port and { { protocol = "udp", port = s.listen_port, field = "listen_port" } } or {},
			profile = { package }, kernel_modules = { "wireguard" },
			init = {
				{
					name = "wireguard@" .. s.interface, type = "oneshot", description = "private network " .. s.interface,
					exec = {
						network.script("wireguard-start", START, {
							name = s.interface, key = shell_quote(s.private_key_file), genkey = genkey, wg = package .. "/bin/wg", words = words(s),
							addresses = addresses, routes = routes, mtu = s.mtu and " mtu " .. s.mtu or "",
						}),
					},
					stop_exec = { require("system.tools").busybox .. "/bin/busybox", "ip", "link", "del", s.interface, "type", "wireguard" },
					requires = { "activation", "file-systems" }, wants = { "loopback" },
					after = { "firewall", "kernel-modules", "networks", "random-seed" },
					-- An endpoint's name may not be known before the network is.
					restart = "on-failure", restart_limit = 0, restart_delay = "2s",
					capabilities = { "default", "net_admin" },
				},
			},
		}
	end,
}
