-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A system of ours in a container: the one that a container image holds, run from the host's store as it lies there. Its
-- PID 1 is cairn-init, in users, process numbers, mounts, names and a network of its own.

local contained = require "system.contained"
local generation = require "system.generation"
local network = require "system.network"
local operating_system = require "system.operating_system"
local service = require "system.service"

local veth = schema.record("container_network", {
	host_interface = network.interface { optional = true, default_doc = "ve- and the container's name", doc = "the end that the host sees" },
	host_address = network.prefix { doc = "the host's address on it; the container's router" },
	address = network.prefix { doc = "of the container, whose end is eth0" },
	bridge = network.interface { optional = true, doc = "the host's end is a port of that bridge; then host_address is the router's and is not set" },
}, { doc = "a wire between host and container" })

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
	echo "0 @first@ 65536" >/proc/$holder/uid_map && echo "0 @first@ 65536" >/proc/$holder/gid_map || say "cannot give it users"
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
	echo go >&3
	$b kill $holder
	wait $outer
	exit
fi
root=@state@
read -r go && [ "$go" = go ] || exit 1
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

-- Both ends are made in the host's network.
local WIRE = [[
	$b ip link del @host@ type veth 2>/dev/null
	$b ip link add name @host@ type veth || say "cannot make the wire @host@"
	for i in /sys/class/net/*; do
		[ "$($b cat "$i/ifindex" 2>/dev/null)" != "$($b cat /sys/class/net/@host@/iflink)" ] || peer=${i##*/}
	done
	$b ip link set dev "$peer" name @peer@ && $b ip link set dev @peer@ netns "$pid" || say "cannot give the container its end of @host@"
	@place@ && $b ip link set dev @host@ up || say "cannot set up @host@"
]]

local INSIDE = [[
$b ip link set dev lo up
$b ip link set dev @peer@ name eth0 && $b ip addr add @address@ dev eth0 && $b ip link set dev eth0 up || say "cannot set up eth0"
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

-- Shell that connects the container, outside and inside.
local function wire(s)
	if s.network == "host" then
		return "", ""
	elseif s.network == "none" then
		return "", "$b ip link set dev lo up"
	end
	local n = s.network
	local host = n.host_interface or ("ve-" .. s.name):sub(1, 15)
	local values = {
		host = host, peer = ("vp-" .. s.name):sub(1, 15), address = n.address, family = network.family_of(n.address),
		router = n.host_address:match("^[^/]+"),
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
		state = schema.path { doc = "its root: what is kept of it", default_doc = "/var/lib/containers/NAME", default = function(s) return "/var/lib/containers/" .. s.name end },
		network = schema.one_of({ schema.enum { "host", "none" }, schema.of(veth) },
			{ default = "none", doc = "the host's, nothing but loopback, or a wire to the host" }),
		shares = schema.list(schema.of(share), { default = {}, doc = "directories of the host" }),
		first_id = schema.integer { default = 1000000, min = 100000, max = 4294900000,
			doc = "its users and groups are 65536 ids of the host from here on, which nobody else has" },
		memory_max = schema.string { optional = true, pattern = "^%d+[KMGT]?$", what = "a size such as '512M'", doc = "its memory" },
		pids_max = schema.integer { default = 4096, min = 16, max = 4194304, doc = "its processes" },
		requires = schema.list(schema.string {}, { default = { "base" }, doc = "services that must be up" }),
	},
	extend = function(s)
		local system = generation.parts(contained(s.system, { daemon = true }):with { read_only_store = false }).system
		local outside, inside = wire(s)
		local own = s.network ~= "host"
		local values = {
			netns = own and "-n" or "", state = shell_quote(s.state), pidfile = "/run/container-" .. s.name .. ".pid",
			wire = outside, network = inside, shares = shares(s.shares), hostname = s.system.host_name, system = system,
			first = s.first_id,
			sys = own and "$b mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys" or "$b mount --rbind /sys sys",
		}
		return {
			kernel_modules = type(s.network) == "table" and { "veth" } or {},
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
