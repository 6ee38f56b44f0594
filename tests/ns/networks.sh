#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What services of networks do to interfaces, in a network of the test's own: addresses that others set stay.
if [ -z "$INSIDE" ]; then
	unshare -Urnm sh -c "mount -t sysfs sysfs /sys && ip link add lan0 type veth peer name lan1" 2>/dev/null || { echo "skip: no user namespaces, or no veth"; exit 77; }
	. "$SRC/tests/cmd/world.inc"
	printf 'kernel/%s.ko\n' 8021q bridge >>"$W/packages/world/linux/lib/modules/1.0/modules.builtin"
	cat >"$TMP/system.lua" <<'LUA'
local services, system = require "services", require "system"
return system.operating_system {
	sysctl = { ["net.ipv6.conf.all.forwarding"] = 1 },
	host_name = "net", file_systems = { { device = "LABEL=x", mount_point = "/" } },
	services = {
		services.dhcp { interface = "lan0", resolv_conf = false },
		services.static_network { interface = "br0", link = { kind = "bridge", ports = { "lan1" } }, address = "198.51.100.1/24" },
		services.static_network { interface = "tag0", link = { kind = "vlan", parent = "trunk0", id = 7 } },
		services.static_network { interface = "lan0", addresses = { "2001:DB8:0::1/64" }, routes = { { to = "2001:db8:1::/48", via = "2001:db8::2" } } },
	},
}
LUA
	system=$("$CAIRN" system build --root "$R" --modules "$W" --physical "$TMP/system.lua" 2>"$TMP/err") || { cat "$TMP/err"; exit 1; }
	INSIDE=$R$(readlink "$system/services")/set exec unshare -Urnm sh "$0"
fi
. "$SRC/tests/tap.inc"
show= R=$TMP/machine
mount -t sysfs sysfs /sys

# SERVICE KEY SCRIPT ARGUMENTS…: a script of a service, as it runs on the machine
run() {
	path=$(sed -n "/^\[service $1\]/,/^\[/s/^$2 = //p" "$INSIDE" | tr ' ' '\n' | grep -- "-$3$")
	shift 3
	sed "s|/gnu/store/|$R&|g" "$R$path" >"$TMP/script" && busybox sh "$TMP/script" "$@" 9>"$TMP/up"
}
lease() { interface=lan0 ip=$2 mask=24 router=${3-192.0.2.1} run dhcp@lan0 exec dhcp-event "$1"; }
bridge() { run network@br0 exec network-start && ip addr show dev br0 | grep -qF " 198.51.100.1/24 "; }
static() { run network@lan0 "$1" "$2"; }
has() { ip addr show dev lan0 | grep -qF " $1 "; }
no_v6() { ! has 2001:db8::1/64; }

ip link add lan0 type veth peer name lan1 && ip link set lan1 up || exit 1
check "an address of IPv6 in another form than the kernel's" static exec network-start
check "it is there" has 2001:db8::1/64
check "a bridge with an address" bridge
check "a second start changes nothing" bridge
# The kernel may have no VLAN: it is there already. Of its parent nobody else takes care.
ip link add tag0 type veth peer name tag1 && ip link add trunk0 type veth peer name trunk1 || exit 1
check "a VLAN" run network@tag0 exec network-start
is "its parent is on before it" "$(ip -o link show up | sed -n 's/.*: \(t[^@]*\)@.*/\1/p' | sort | tr '\n' ' ')" "tag0 trunk0 "
check "a lease" lease bound 192.0.2.9
check "its address is there" has 192.0.2.9/24
check "and the one of IPv6" has 2001:db8::1/64
check "and the way by it" [ -n "$(ip -6 route show 2001:db8:1::/48)" ]
ip route add 203.0.113.0/24 via 192.0.2.1 dev lan0
check "the same lease, by another router" lease renew 192.0.2.9 192.0.2.2
is "routes that others made stay" "$(ip route show 203.0.113.0/24 | wc -l)" 1
is "the way out is the new one" "$(ip route show default | sed 's/ dev.*//')" "default via 192.0.2.2"
check "the lease is another one" lease renew 192.0.2.10
is "its address is there instead" "$(ip -4 -o addr show dev lan0 | sed 's/.*inet \([^ ]*\).*/\1/')" 192.0.2.10/24
check "the one of IPv6 stays" has 2001:db8::1/64
check "no lease any more" lease deconfig
is "no address of IPv4 is left" "$(ip -4 addr show dev lan0)" ""
check "the one of IPv6 still stays" has 2001:db8::1/64
check "a second start finds it there" static exec network-start
check "a stop" static stop-exec network-stop
check "takes it away" no_v6
accept=/proc/sys/net/ipv6/conf/lan0/accept_ra
echo 1 >$accept
check "the card of a router" run uplink@lan0 exec uplink
is "takes what other routers say" "$(cat $accept)" 2
echo 0 >$accept
check "where it shall not" run uplink@lan0 exec uplink
is "it does not" "$(cat $accept)" 0
finish
