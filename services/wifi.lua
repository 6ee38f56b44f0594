-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A wireless card joins the networks that it knows: wpa_supplicant. The store has the names of networks and of secrets;
-- passphrases come to them in a file below /run when it starts, which goes as soon as it is read.

local network = require "system.network"
local secrets = require "system.secrets"
local service = require "system.service"

-- What is said of the keys of a network. Frames of management are protected where both sides can.
local SECURITY = {
	["wpa2-wpa3"] = { "key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", "proto=RSN", "ieee80211w=1" },
	wpa2 = { "key_mgmt=WPA-PSK WPA-PSK-SHA256", "proto=RSN", "ieee80211w=1" },
	wpa3 = { "key_mgmt=SAE", "proto=RSN", "ieee80211w=2" },
	["enhanced-open"] = { "key_mgmt=OWE", "proto=RSN", "ieee80211w=2" },
	open = { "key_mgmt=NONE" },
}

local function has_key(n)
	return n.security ~= "open" and n.security ~= "enhanced-open"
end

local wifi_network = schema.record("wifi_network", {
	ssid = schema.string { min = 1, max = 32, what = "the name of a network: 1 to 32 bytes", doc = "its name, of any bytes" },
	psk = schema.string { optional = true, pattern = "^[%w_][%w._-]*$", max = 64, what = "the name of a secret",
		doc = "the secret with the passphrase (8 to 63 characters), or with the key in 64 hexadecimal digits" },
	security = schema.enum({ "wpa2-wpa3", "wpa2", "wpa3", "open", "enhanced-open" },
		{ default = "wpa2-wpa3", doc = "what is accepted of it; enhanced-open: encrypted without a passphrase" }),
	hidden = schema.boolean { default = false, doc = "it does not tell its name: it is called by it" },
	priority = schema.integer { default = 0, min = 0, max = 1000, doc = "of several that are there the highest is joined" },
}, {
	doc = "a wireless network that may be joined",
	check = function(n)
		if has_key(n) and not n.psk then
			return "it names the secret that has the passphrase; without one, say security = \"open\"", "psk"
		elseif not has_key(n) and n.psk then
			return "a network that is " .. n.security .. " has no passphrase", "psk"
		end
	end,
})

-- A network whose secret cannot be used is left out, the others are not. It is up when it has joined one, or when there was
-- none for a while: what comes after it must not wait for ever on a machine that is on the way.
local START = [[
#!@busybox@ sh
b=@busybox@
name=@name@ file=/run/wifi/@name@.conf count=0
umask 077
$b mkdir -p /run/wifi && $b cat @config@ >"$file.new" || exit 1
key() {
	[ -r "/run/secrets/$1" ] || { echo "there is no secret $1: it is to be listed in secrets, and to have a value"; return 1; }
	value=$($b cat "/run/secrets/$1")
	length=$(printf %s "$value" | $b wc -c)
	if [ "$length" -eq 64 ] && [ -z "$(printf %s "$value" | $b tr -d 0-9a-fA-F)" ]; then
		key="psk=$value"
	elif [ "$length" -lt 8 ] || [ "$length" -gt 63 ]; then
		echo "the secret $1 has $length characters: a passphrase has 8 to 63, a key 64 hexadecimal digits"
		return 1
	elif [ "$(printf %s "$value" | $b tr -d '\000-\037\177' | $b wc -c)" -ne "$length" ]; then
		echo "the secret $1 has control characters or more than one line: a passphrase has one"
		return 1
	else
		key="psk=\"$value\""
	fi
}
# network LINES [SECRET]
network() {
	key=
	[ $# -eq 1 ] || key "$2" || return
	printf 'network={\n%s\n%s\n}\n' "$1" "$key" >>"$file.new" || exit 1
	count=$((count + 1))
}
@networks@
[ $count -gt 0 ] || { echo "there is no network that could be joined"; exit 1; }
$b mv "$file.new" "$file" || exit 1
@wait@
# Beside what follows, and no child of it.
( {
	tries=20
	until state=$(@wpa@/bin/wpa_cli -i "$name" status 2>/dev/null) && $b rm -f "$file" &&
		printf '%s\n' "$state" | $b grep -qx wpa_state=COMPLETED; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "no network was joined so far; it goes on trying"; break; }
		$b sleep 1
	done
	$b rm -f "$file"
	echo up >&3
	exec 3>&-
	@events@
} & )
exec 3>&- @wpa@/sbin/wpa_supplicant -i "$name" -c "$file" -D nl80211
]]

-- Another network has another address.
local EVENT = [[
#!@busybox@ sh
[ "$2" != CONNECTED ] || @cairn@/bin/cairn service reload @dhcp@
exit 0
]]

local function hex(text)
	return (text:gsub(".", function(c)
		return ("%02x"):format(c:byte())
	end))
end

-- The lines of a network: words of ours, and its name in digits, whatever bytes it has.
local function lines(n)
	local out = { "ssid=" .. hex(n.ssid) }
	for _, line in ipairs(SECURITY[n.security]) do
		out[#out + 1] = line
	end
	if n.hidden then
		out[#out + 1] = "scan_ssid=1"
	end
	out[#out + 1] = "priority=" .. n.priority
	return table.concat(out, "\n")
end

-- The service of DHCP that is, or may be, for this interface: it is told when a network was joined.
local function dhcp_of(s, os)
	local any
	for _, other in ipairs(os.services) do
		if schema.name(other) == "dhcp" then
			if other.interface == s.interface then
				return "dhcp@" .. s.interface
			end
			any = any or not other.interface and "dhcp" or nil
		end
	end
	return any
end

-- The secrets of its networks: they are the system's, and root's.
local function secrets_of(s, os)
	local known, out = {}, {}
	for _, secret in ipairs(os.secrets) do
		known[secret.name] = secret
	end
	for _, n in ipairs(s.networks) do
		local secret = n.psk and known[n.psk]
		if n.psk and not secret then
			schema.fail(n, "there is no secret '" .. n.psk .. "': list it in secrets of the system", "psk")
		elseif secret and secret.user ~= "root" then
			schema.fail(n, "the secret '" .. n.psk .. "' belongs to " .. secret.user .. ", and this service runs as root", "psk")
		end
		out[#out + 1] = secret
	end
	return out
end

return service.service_type {
	name = "wifi", many = true,
	doc = "a wireless card joins the networks that it knows (WPA2, WPA3)",
	keywords = "wlan wireless wpa",
	example = [[
services.wifi {
	interface = "wlan0", country = "DE",
	networks = { { ssid = "home", psk = "wifi-home" }, { ssid = "Café", security = "open", priority = 0 } },
}]],
	fields = {
		interface = network.interface { default = "wlan0", doc = "the card" },
		networks = schema.list(schema.of(wifi_network), { min = 1, unique = "ssid", doc = "those that may be joined" }),
		country = schema.string { optional = true, pattern = "^%u%u$", what = "two capital letters such as DE",
			doc = "where the machine is: which frequencies are allowed; left out: those that are allowed everywhere" },
	},
	extend = function(s, os)
		local environment = secrets.versions(secrets_of(s, os))
		local package, name = require "packages.wpa", "wifi@" .. s.interface
		local config, networks = "ctrl_interface=/run/wpa_supplicant\nsae_pwe=2\n", {}
		if s.country then
			config = config .. "country=" .. s.country .. "\n"
		end
		for i, n in ipairs(s.networks) do
			networks[i] = "network '" .. lines(n) .. "'" .. (n.psk and " " .. n.psk or "")
		end
		local dhcp = dhcp_of(s, os)
		local events = dhcp and "exec " .. package .. "/bin/wpa_cli -r -i \"$name\" -a "
			.. network.script("wifi-event", EVENT, { cairn = require("system.tools").cairn, dhcp = dhcp }) .. " >/dev/null" or ""
		return {
			profile = { package, require "packages.iw" }, firmware = { require "packages.wireless-regdb" },
			-- The kernel asks for these by a program that there is not.
			kernel_modules = { "aes_generic", "ctr", "ccm", "ghash-generic", "gcm", "cmac" },
			network = { name },
			init = {
				{
					name = name, type = "notify", notify = "fd:3", description = "wireless network of " .. s.interface,
					exec = {
						network.script("wifi-start", START, {
							name = s.interface, config = text("wifi.conf", config), networks = table.concat(networks, "\n"),
							wait = network.WAIT, wpa = package, events = events,
						}),
					},
					environment = next(environment) and environment or nil,
					requires = { "activation" }, wants = { "loopback", "file-systems" }, after = { "firewall", "kernel-modules", "hotplug" },
					restart = "on-failure", restart_limit = 0, restart_delay = "2s",
					capabilities = { "default", "net_admin", "net_raw" }, seccomp = "service-packet",
				},
			},
		}
	end,
}
