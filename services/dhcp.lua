-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- An address from the network.

local network = require "system.network"
local service = require "system.service"
local tools = require "system.tools"

-- Called by udhcpc with what it learnt in the environment. Descriptor 9 (udhcpc takes the first ones itself): it is up when it
-- has an address, or when nobody gave it one: what comes after it must not wait for ever where there is no server.
-- Addresses of IPv6 are not its own, and the kernel ends IPv6 on a card that loses its last one.
local SCRIPT = [[
#!@busybox@ sh
b=@busybox@
trap '' PIPE
case $1 in
deconfig)
	$b ip -4 addr flush dev "$interface"
	$b ip link set dev "$interface" up
	;;
bound|renew)
	# With an address that goes, all routes of IPv4 go: the same one, again, stays.
	$b ip -4 addr show dev "$interface" | $b grep -qF " $ip/${mask:-24} " || $b ip -4 addr flush dev "$interface"
	$b ip addr replace "$ip/${mask:-24}" ${broadcast:+broadcast "$broadcast"} dev "$interface"
	while $b ip -4 route del default dev "$interface" 2>/dev/null; do :; done
	metric=0
	for r in $router; do
		$b ip route add default via "$r" dev "$interface" metric $metric
		metric=$((metric + 1))
	done
	@resolv@
	;;
esac
case $1 in
bound|leasefail) { echo up >&9; } 2>/dev/null ;;
esac
exit 0
]]

local RESOLV = [[
if [ -n "$dns" ] && [ ! -L /etc/resolv.conf ]; then
		{
			[ -z "$domain" ] || echo "search $domain"
			for d in $dns; do echo "nameserver $d"; done
		} >/etc/resolv.conf.new && $b mv /etc/resolv.conf.new /etc/resolv.conf
	fi
]]

-- The first network card that is not virtual, when none is named. Cards that need a module may come
-- a little later; a machine without any is fine.
local START = [[
#!@busybox@ sh
b=@busybox@
name=$1
tries=15
while [ "$name" = - ]; do
	for i in /sys/class/net/*; do
		[ ! -e "$i/device" ] || { name=${i##*/}; break; }
	done
	[ "$name" = - ] || break
	tries=$((tries - 1))
	[ $tries -gt 0 ] || { echo "there is no network card"; echo up >&9; exit 0; }
	$b sleep 2
done
exec $b udhcpc -f -i "$name" -s "$2" -t 5 -T 2 -A 10 -S
]]

-- The kernel of a router takes no address and no way out from other routers, unless it is told so of a card. Where none shall be
-- taken (0) it stays so. The client may not change what the kernel is set to, so this is no part of it.
local UPLINK = [[
#!@busybox@ sh
b=@busybox@
name=@name@
@wait@
of=/proc/sys/net/ipv6/conf/$name/accept_ra
[ ! -e "$of" ] || [ "$($b cat "$of")" != 1 ] || echo 2 >"$of"
]]

local function uplink(s)
	return {
		name = s.interface and "uplink@" .. s.interface or "uplink", type = "oneshot", description = "addresses from routers, for a router",
		exec = { network.script("uplink", UPLINK, { name = s.interface or "-", wait = network.WAIT }) },
		requires = { "activation" }, after = { "kernel-modules", "sysctl" }, condition = { "not-virtual:container" },
		restart = "on-failure", restart_limit = 0, restart_delay = "1s", protect_kernel = false,
	}
end

return service.service_type {
	name = "dhcp", many = true,
	doc = "an address from the network (DHCP)",
	keywords = "network internet ethernet dns",
	example = [[services.dhcp { interface = "eth0" }]],
	fields = {
		interface = schema.string { optional = true, pattern = "^[%w_.-]+$", what = "the name of a network card",
			doc = "left out: the first one there is" },
		resolv_conf = schema.boolean { default = true, doc = "write name servers into /etc/resolv.conf" },
	},
	extend = function(s, os)
		local busybox = tools.busybox .. "/bin/busybox"
		local function script(name, contents)
			return text(name, (contents:gsub("@(%w+)@", {
				busybox = busybox, resolv = s.resolv_conf and RESOLV or ":",
			})), { executable = true, busybox = busybox })
		end
		local name, after = s.interface and "dhcp@" .. s.interface or "dhcp", { "firewall", "kernel-modules" }
		for _, other in ipairs(os.services) do
			-- Two of one name are told apart from this by their name.
			if schema.name(other) == "dhcp" and other.interface ~= s.interface and network.may_share(s, other, os) then
				local first = s.interface and other or s
				schema.fail(s.interface and s or other, "DHCP of the first card may ask for the same one " .. service.hint(first,
					"name the card of each") .. " [" .. schema.location(first) .. "]", "interface")
			end
			if schema.name(other) == "wifi" and (other.interface == s.interface or not s.interface) then
				after[#after + 1] = "wifi@" .. other.interface
			end
		end
		local before
		if network.is_router(os) then
			before = uplink(s)
			after[#after + 1] = before.name -- the kernel asks routers when the card is switched on
		end
		return {
			network = { name },
			init = {
				{
					name = name, type = "notify", notify = "fd:9",
					description = "network address" .. (s.interface and " of " .. s.interface or ""),
					exec = { script("dhcp-start", START), s.interface or "-",
						script("dhcp-event", SCRIPT) },
					requires = { "activation" }, wants = { "loopback", "file-systems" }, after = after,
					reload_signal = "USR1", -- it asks anew
					restart = "on-failure", restart_limit = 0,
					capabilities = { "default", "net_admin" }, seccomp = "service-packet",
				},
				before,
			},
		}
	end,
}
