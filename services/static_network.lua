-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A network card with a fixed address.

local service = require "system.service"
local tools = require "system.tools"

-- Cards that need a module may come a little later; one that never comes is a failure that is tried
-- again. The address is put in place once more without harm.
local START = [[
#!@busybox@ sh
b=@busybox@
name=$1 address=$2 gateway=$3
tries=15
while :; do
	if [ "$name" = - ]; then
		for i in /sys/class/net/*; do
			[ ! -e "$i/device" ] || { name=${i##*/}; break; }
		done
	fi
	[ ! -e "/sys/class/net/$name" ] || break
	tries=$((tries - 1))
	[ $tries -gt 0 ] || { echo "there is no network card $name"; exit 1; }
	$b sleep 1
done
$b ip link set dev "$name" up
$b ip addr show dev "$name" | $b grep -qF " $address " || $b ip addr add "$address" dev "$name" || exit 1
[ "$gateway" = - ] || $b ip route replace default via "$gateway" dev "$name"
]]

local STOP = [[
#!@busybox@ sh
b=@busybox@
name=$1 address=$2
for i in /sys/class/net/*; do
	! $b ip addr show dev "${i##*/}" | $b grep -qF " $address " || $b ip addr del "$address" dev "${i##*/}"
done
]]

return service.service_type {
	name = "static_network", many = true,
	doc = "a fixed address",
	fields = {
		interface = schema.string { optional = true, pattern = "^[%w_.-]+$", what = "the name of a network card",
			doc = "left out: the first one there is" },
		address = schema.string { pattern = "^[%x.:]+/%d+$", what = "an address with prefix such as 192.0.2.5/24" },
		gateway = schema.string { optional = true, pattern = "^[%x.:]+$", what = "an address" },
	},
	extend = function(s)
		local busybox = tools.busybox .. "/bin/busybox"
		local function script(name, contents)
			return text(name, (contents:gsub("@busybox@", function()
				return busybox
			end)), { executable = true, busybox = busybox })
		end
		return {
			init = {
				{
					name = s.interface and "network@" .. s.interface or "network", type = "oneshot",
					description = "network address " .. s.address,
					exec = { script("network-start", START), s.interface or "-", s.address, s.gateway or "-" },
					stop_exec = { script("network-stop", STOP), s.interface or "-", s.address },
					requires = { "activation" }, wants = { "loopback", "file-systems" },
					capabilities = { "default", "net_admin" },
				},
			},
		}
	end,
}
