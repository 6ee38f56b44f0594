-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A system of ours in a container: the one that a container image holds, run from the host's store as it lies there. Its
-- PID 1 is cairn-init, in users, process numbers, mounts, names and a network of its own.

local accounts = require "system.accounts"
local contained = require "system.contained"
local generation = require "system.generation"
local listening = require "system.listening"
local network = require "system.network"
local operating_system = require "system.operating_system"
local own_paths = require "system.own_paths"
local service = require "system.service"

local IDS = 65536

local function plain(prefix)
	return prefix:match("^[^/]*")
end

local veth = schema.record("container_network", {
	host_interface = network.interface { optional = true, default_doc = "ve- and the container's name", doc = "the end that the host sees" },
	host_address = network.prefix { doc = "the host's address on it; the container's router" },
	address = network.prefix { doc = "of the container, whose end is eth0" },
	bridge = network.interface { optional = true, doc = "the host's end is a port of that bridge; then host_address is the router's and is not set" },
}, {
	doc = "a wire between host and container",
	check = function(n)
		local router, own = plain(n.host_address), plain(n.address)
		if network.plain(router) == network.plain(own) then
			return "is the container's, too", "host_address"
		elseif not network.contains(n.address, router) then
			return "'" .. router .. "' is in no network of address (" .. n.address .. "), so the container cannot reach it", "host_address"
		elseif not n.bridge and not network.contains(n.host_address, own) then
			return "'" .. own .. "' is in no network of host_address (" .. n.host_address .. "), so the host cannot reach it", "address"
		end
	end,
})

local share = schema.record("container_share", {
	from = schema.path { doc = "a directory of the host" },
	to = schema.path { doc = "where the container sees it" },
	writable = schema.boolean { default = false, doc = "else it can be read only" },
}, { doc = "a directory that a container sees" })

-- The part outside has the host's rights. It makes a user namespace, whose ids are written before anything is executed in
-- it (what is executed before has no rights there for good), then the container in it, then the wire.
local START = [[
#!@busybox@ sh
b=@busybox@
say() {
	echo "$*" >&2
	exit 1
}
if [ "$1" != inside ]; then
	$b mkdir -p @state@ && $b chown @first@:@first@ @state@ && $b chmod 0755 @state@ || say "cannot make" @state@
	$b rm -f @pidfile@ @pidfile@.go && $b mkfifo -m 0600 @pidfile@.go && exec 3<>@pidfile@.go || say "cannot make a pipe in /run"
	$b unshare -U $b sleep 600 3>&- &
	holder=$!
	while [ "$($b readlink /proc/$holder/ns/user)" = "$($b readlink /proc/$$/ns/user)" ]; do $b usleep 10000; done
	echo "0 @first@ @ids@" >/proc/$holder/uid_map && echo "0 @first@ @ids@" >/proc/$holder/gid_map || say "cannot give it users"
	$b nsenter -t $holder -U -S 0 -G 0 $b unshare -m -u -i -p -f @netns@ $b sh "$0" inside <@pidfile@.go 3>&- &
	outer=$!
	while :; do
		pid=$($b pgrep -P $outer)
		[ -z "$pid" ] || break
		$b kill -0 $outer 2>/dev/null || say "the namespaces cannot be made"
		$b usleep 10000
	done
	echo "$pid" >@pidfile@ || exit 1
@wire@
	echo "go $peer" >&3
	$b kill $holder
	wait $outer
	exit
fi
root=@state@
read -r go peer && [ "$go" = go ] || exit 1
exec </dev/null
$b mount --make-rprivate / || say "cannot make the mounts private"
@network@
cd "$root" && $b mkdir -p gnu/store proc sys dev run tmp etc var && $b chmod 1777 tmp || say "cannot write to $root"
$b mount --bind "$root" "$root" && cd "$root" || say "cannot mount $root"
$b mount --bind /gnu/store gnu/store && $b mount -o remount,bind,ro,nosuid,nodev gnu/store || say "cannot mount the store"
$b mount -t proc -o nosuid,nodev,noexec proc proc && @sys@ || say "cannot mount /proc and /sys"
$b mount -t tmpfs -o nosuid,mode=0755,size=1m tmpfs dev && $b mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs run || say "cannot mount /dev and /run"
for i in null zero full random urandom tty; do
	: >"dev/$i" && $b mount --bind "/dev/$i" "dev/$i" || say "cannot make /dev/$i"
done
$b mkdir dev/pts dev/shm && $b mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts || say "cannot mount /dev/pts"
$b mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs dev/shm || exit 1
$b ln -s pts/ptmx dev/ptmx && $b ln -s /proc/self/fd dev/fd && $b ln -s /proc/self/fd/0 dev/stdin && $b ln -s /proc/self/fd/1 dev/stdout &&
	$b ln -s /proc/self/fd/2 dev/stderr || exit 1
@shares@
# The generation that activation looks for.
$b mkdir -p var/guix/profiles && $b ln -sfn @system@ var/guix/profiles/system-1-link && $b ln -sfn system-1-link var/guix/profiles/system || exit 1
$b hostname @hostname@
$b mkdir -p .host && $b pivot_root . .host && cd / && $b umount -l /.host && $b rmdir /.host || say "cannot change the root"
exec $b env -i PATH=/bin container=cairn @system@/init cairn.system=@system@
]]

-- Both ends are made in the host's network. The container's keeps the kernel's name until it is there, so it is nobody else's.
local WIRE = [[
	$b ip link del @host@ type veth 2>/dev/null
	$b ip link add name @host@ type veth || say "cannot make the wire @host@"
	for i in /sys/class/net/*; do
		[ "$($b cat "$i/ifindex" 2>/dev/null)" != "$($b cat /sys/class/net/@host@/iflink)" ] || peer=${i##*/}
	done
	$b ip link set dev "$peer" netns "$pid" || say "cannot give the container its end of @host@"
	@place@ && $b ip link set dev @host@ up || say "cannot set up @host@"
]]

local INSIDE = [[
$b ip link set dev lo up
$b ip link set dev "$peer" name eth0 && $b ip addr add @address@ dev eth0 && $b ip link set dev eth0 up || say "cannot set up eth0"
$b ip -@family@ route add default via @router@ dev eth0 || say "cannot reach @router@"
]]

local STOP = [[
#!@busybox@ sh
b=@busybox@
read -r pid <@pidfile@ || exit 0
# One that has just begun does not hear it yet.
while $b kill -TERM "$pid" 2>/dev/null; do
	for i in 1 2 3 4 5 6 7 8 9 10; do
		$b kill -0 "$pid" 2>/dev/null || break
		$b usleep 100000
	done
done
$b rm -f @pidfile@
]]

local function fill(text, values)
	return (text:gsub("@(%l+)@", function(key)
		return values[key] ~= nil and tostring(values[key]) or nil
	end))
end

-- The host's end of its wire, or nil.
local function host_interface(s)
	local n = s.network
	return type(n) == "table" and (n.host_interface or ("ve-" .. s.name):sub(1, 15)) or nil
end

-- Shell that connects the container, outside and inside.
local function wire(s)
	if s.network == "host" then
		return "", ""
	elseif s.network == "none" then
		return "", "$b ip link set dev lo up"
	end
	local n = s.network
	local host = host_interface(s)
	local values = {
		host = host, address = n.address, family = network.family_of(n.address),
		router = plain(n.host_address),
		place = n.bridge and "$b ip link set dev " .. host .. " master " .. n.bridge
			or "$b ip addr add " .. n.host_address .. " dev " .. host,
	}
	return fill(WIRE, values), fill(INSIDE, values)
end

local function shares(list)
	local out = {}
	for _, d in ipairs(list) do
		local to = shell_quote("." .. d.to)
		out[#out + 1] = "$b mkdir -p " .. to .. " && $b mount --bind " .. shell_quote(d.from) .. " " .. to
			.. " && $b mount -o remount,bind," .. (d.writable and "rw" or "ro") .. ",nosuid,nodev " .. to .. " || say 'cannot show " .. d.to:gsub("'", "") .. "'"
	end
	return table.concat(out, "\n")
end

local function fail_beside(s, other, message, field)
	schema.fail(s, message .. " [" .. schema.location(other) .. "]", field)
end

-- What two containers cannot both have.
local function check_container(s, other)
	local name, a, b = other.name, s.network, other.network
	if s.state == other.state then
		fail_beside(s, other, "is that of the container '" .. name .. "', too", "state")
	elseif s.first_id ~= other.first_id and math.abs(s.first_id - other.first_id) < IDS then
		fail_beside(s, other, "some of its ids are those of the container '" .. name .. "' [the same first_id, or one that is " .. IDS .. " away]", "first_id")
	elseif type(a) ~= "table" or type(b) ~= "table" then
		return
	elseif host_interface(s) == host_interface(other) then
		fail_beside(s, other, "the host's end of the container '" .. name .. "' has the name " .. host_interface(s)
			.. ", too [host_interface names it]", "network")
	elseif a.bridge ~= b.bridge then
		return
	elseif network.plain(plain(a.address)) == network.plain(plain(b.address)) then
		fail_beside(s, other, "the container '" .. name .. "' has the address " .. plain(a.address) .. ", too", "network")
	elseif not a.bridge and network.plain(plain(a.host_address)) == network.plain(plain(b.host_address)) then
		fail_beside(s, other, "the host has the address " .. plain(a.host_address) .. " on the wire of the container '" .. name
			.. "', too [a network of its own for each, or a bridge]", "network")
	end
end

-- What the host's networks have already. Gives the bridges that there are.
local function check_networks(s, os)
	local bridges = {}
	for _, other in ipairs(os.services) do
		local kind, host = schema.name(other), host_interface(s)
		local link = kind == "static_network" and other.link
		if (link or kind == "wireguard") and (other.interface == host or link and link.peer == host) then
			fail_beside(s, other, "there is another interface " .. host .. " [host_interface names the host's end]", "network")
		end
		for _, a in ipairs(kind == "static_network" and not s.network.bridge and other.addresses or {}) do
			if network.plain(plain(a)) == network.plain(plain(s.network.host_address)) then
				fail_beside(s, other, "another interface has the host's address " .. plain(a), "network")
			end
		end
		if link and link.kind == "bridge" then
			bridges[#bridges + 1] = other.interface
		end
	end
	return bridges
end

-- Who has one of its ids is its root, or one of its users.
local function check_ids(s, os)
	local first, given = s.first_id, accounts.FIRST_SUBID
	for _, u in ipairs(os.users) do
		if u.subid_start and u.subid_start < first + IDS and first < u.subid_start + u.subids then
			fail_beside(s, u, "some of its ids are subordinate numbers of the user '" .. u.name .. "'", "first_id")
		elseif not u.subid_start then
			given = given + u.subids
		end
	end
	if first < given then
		schema.fail(s, ("users may be given the subordinate numbers up to %d [a higher one]"):format(given - 1), "first_id")
	end
end

local function check_others(s, os)
	check_ids(s, os)
	for _, other in ipairs(os.services) do
		if other == s then
			break
		elseif schema.name(other) == "container" then
			check_container(s, other)
		end
	end
	local bridge = type(s.network) == "table" and s.network.bridge
	local bridges = type(s.network) == "table" and check_networks(s, os)
	for _, name in ipairs(bridge and bridges or {}) do
		bridge = name ~= bridge and bridge
	end
	if bridge then
		schema.warn(s, "no service makes the bridge '" .. bridge .. "'" .. schema.suggestion(bridge, bridges), "network")
	end
end

-- Ports of the host that a system in the host's network listens at.
local function listens(s, system)
	local out = {}
	for _, l in ipairs(s.network == "host" and listening.ports(service.fold(system.services, system)) or {}) do
		out[#out + 1] = { protocol = l.protocol, port = l.port, address = l.address, field = "network" }
	end
	return out
end

return service.service_type {
	name = "container", many = true,
	doc = "a system in a container: what a container image of it would run, from the host's store",
	keywords = "docker nspawn lxc oci",
	example = [[
services.container {
	name = "web", network = { host_address = "10.8.0.1/24", address = "10.8.0.2/24" },
	shares = { { from = "/srv/www", to = "/srv/www" } },
	system = system.operating_system {
		host_name = "web", file_systems = { { device = "none", mount_point = "/", type = "tmpfs" } },
		services = { services.httpd { root = "/srv/www" } },
	},
}]],
	fields = {
		name = schema.string { pattern = "^[%w][%w_-]*$", max = 40, what = "a name of letters, digits, _ and -", doc = "of the service container@NAME, and of its files" },
		system = schema.of(operating_system, { doc = "what it runs; kernel, file systems but the root, terminals, DHCP and build daemon are left out" }),
		state = schema.path { doc = "its root: what is kept of it", default_doc = "/var/lib/containers/NAME", default = function(s) return "/var/lib/containers/" .. s.name end,
			check = function(v, s)
				return own_paths.check_given(v, "the container's root's", "one of its own, such as /var/lib/containers/" .. s.name)
			end },
		network = schema.one_of({ schema.enum { "host", "none" }, schema.of(veth) },
			{ default = "none", doc = "the host's, nothing but loopback, or a wire to the host" }),
		shares = schema.list(schema.of(share), { default = {}, doc = "directories of the host" }),
		first_id = schema.integer { default = 1000000, min = 100000, max = 4294900000,
			doc = "its users and groups are 65536 ids of the host from here on, which no user has; several containers may have the same" },
		memory_max = schema.string { optional = true, pattern = "^%d+[KMGT]?$", what = "a size such as '512M'", doc = "its memory" },
		pids_max = schema.integer { default = 4096, min = 16, max = 4194304, doc = "its processes" },
		requires = schema.list(schema.string {}, { default = { "base" }, doc = "services that must be up" }),
	},
	extend = function(s, os)
		check_others(s, os)
		local inner = contained(s.system, { daemon = true }):with { read_only_store = false }
		local system = generation.parts(inner).system
		local outside, inside = wire(s)
		local own = s.network ~= "host"
		local values = {
			netns = own and "-n" or "", state = shell_quote(s.state), pidfile = "/run/container-" .. s.name .. ".pid",
			wire = outside, network = inside, shares = shares(s.shares), hostname = s.system.host_name, system = system,
			first = s.first_id, ids = IDS,
			sys = own and "$b mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys" or "$b mount --rbind /sys sys",
		}
		return {
			listens = listens(s, inner), kernel_modules = type(s.network) == "table" and { "veth" } or {},
			init = {
				{
					name = "container@" .. s.name, description = "container " .. s.name,
					exec = { network.script("container-start", START, values) },
					stop_exec = { network.script("container-stop", STOP, values) },
					requires = s.requires, after = { "networks", "firewall" },
					stop_timeout = "60s", memory_max = s.memory_max, pids_max = s.pids_max,
					sandbox = "none", -- it makes the namespaces that shut the container in
				},
			},
		}
	end,
}
