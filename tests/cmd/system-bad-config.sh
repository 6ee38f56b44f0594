#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Wrong configurations: each gives one clear error with its place, status 65, and leaves nothing.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
R=$TMP/machine
mkdir -p "$R" "$TMP/c"
"$(dirname "$0")/mock-world" "$TMP/world" || exit 1

# NAME, what the message must say, changes of a good configuration (a Lua table's inside)
wrong() {
	name=$1 want=$2 change=$3
	cat >"$TMP/c/system.lua" <<LUA
local services = require "services"
local system = require "system"
local base = {
	host_name = "cairn",
	file_systems = { { device = "LABEL=cairn-root", mount_point = "/" } },
}
local function with(changes)
	for k, v in pairs(changes) do base[k] = v end
	return base
end
return system.operating_system(with {
	$change
})
LUA
	"$CAIRN" system build --root "$R" --modules "$TMP/world" "$TMP/c/system.lua" >"$TMP/out" 2>"$TMP/err"
	status=$?
	why=
	[ $status = 1 ] || why="status $status"
	[ ! -s "$TMP/out" ] || why="something on standard output"
	grep -q '\.lua:[0-9]*: ' "$TMP/err" || why="no place"
	grep -qF -- "$want" "$TMP/err" || why="it does not say '$want'"
	[ "$(wc -l <"$TMP/err")" = 1 ] || why="not one line"
	result "$name${why:+: $why}" "$([ -z "$why" ]; echo $?)"
}

wrong "a word of services.base" "services.base: there is no field 'witout'" 'services = services.base { witout = { "dhcp" } }'
wrong "what is added is no list" "users: add: expected a list" 'users = system.inherit({ users = {} }, { users = system.change { add = { name = "eve" } } }).users'
wrong "unknown field" "unknown field 'host_nmae'; did you mean 'host_name'?" 'host_nmae = "x"'
wrong "ill-typed field" "host_name: expected string, got number" 'host_name = 5'
wrong "bad host name" "is not a host name" 'host_name = "two words"'
wrong "unknown keyboard layout" "there is no keyboard layout 'de-latin' [there are: de-latin1-nodeadkeys, de-latin1]" 'keyboard = "de-latin"'
wrong "unknown time zone" "unknown time zone 'Mars/Olympus'" 'timezone = "Mars/Olympus"'
wrong "no root" "no file system is mounted at '/'" 'file_systems = { { device = "LABEL=x", mount_point = "/home" } }'
wrong "device without meaning" "expected LABEL=" 'file_systems = { { device = "sda1", mount_point = "/" } }'
wrong "two at one mount point" "two file systems are mounted at '/'" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=b", mount_point = "/" } }'
wrong "what a bound directory is not" "what is bound is a directory" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=b", mount_point = "/b", flags = { "bind" } } }'
wrong "a store elsewhere" "the store is on the root" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=b", mount_point = "/gnu" } }'
wrong "a device that would be two words of the command line" "cannot stand on the kernel" \
	'file_systems = { { device = "/dev/a init=/bin/sh", mount_point = "/" } }'
wrong "a newline in fstab" "holds a control character" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "tmpfs", type = "tmpfs", mount_point = "/a\tb" } }'
wrong "what is waited for, and is not mounted" "no file system is mounted at '/data'" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" } }, swap = { { device = "/dev/x", dependencies = { "/data" } } }'
wrong "group of a user that is missing" "there is no group 'whele'" 'users = { { name = "ann", groups = { "whele" } } }'
wrong "uid 0 for another name" "uid 0 belongs to root" 'users = { { name = "ann", uid = 0 } }'
wrong "a password and a file for it" "there is a password, too" 'users = { { name = "ann", password = "", password_file = "/x" } }'
wrong "a password file in the store" "everybody can read" 'users = { { name = "ann", password_file = "/gnu/store/x" } }'
wrong "a password in the clear" "expected the output of crypt(3)" 'users = { { name = "ann", password = "secret" } }'
wrong "a method that crypt(3) does not know" "users[1] › password: '\$y\$' is no method" 'users = { { name = "ann", password = "$y$j9T$abc$def" } }'
wrong "a colon in a home" "users[1] › home: holds a colon" 'users = { { name = "ann", home = "/home/a:b" } }'
wrong "a newline in a comment" "users[1] › comment" 'users = { { name = "ann", comment = "x\nevil::0:0::/:/bin/sh" } }'
wrong "a skeleton that climbs" "is not a path below the home" 'skeletons = { ["../x"] = "y" }'
wrong "where subordinate numbers begin, but not how many" "how many" 'users = { { name = "ann", subid_start = 200000 } }'
wrong "a privileged program of nowhere" "a file of a package" 'privileged_programs = { { program = "/bin/su" } }'
wrong "an unknown capability" "did you mean 'net_raw'" \
	'privileged_programs = { { program = require("packages.busybox") .. "/bin/busybox", capabilities = { "net_rwa" } } }'
wrong "two users of one name" "there are two users 'ann'" 'users = { { name = "ann" }, { name = "ann" } }'
wrong "what is no service" "expected a service" 'services = { "sshd" }'
wrong "field of a service" "unknown field 'termnial'; did you mean 'terminal'?" 'services = { services.getty { termnial = "tty1" } }'
wrong "requirement that is missing" "which does not exist" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "nobody" } } }'
wrong "services in a circle" "system.lua:12: simple: services wait for each other: a -> b -> a" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "b" } }, services.simple { name = "b", exec = { "/bin/b" }, requires = { "a" } } }'
wrong "services in a circle that an order closes" "services wait for each other" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "b" }, before = { "b" } }, services.simple { name = "b", exec = { "/bin/b" } } }'
wrong "a service that requires itself" "requires itself" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "a" } } }'
wrong "two services of one name" "system.lua:12: simple › name: there are two services 'a' [the first: $TMP/c/system.lua:12]" \
	'services = { services.simple { name = "a", exec = { "/bin/a" } }, services.simple { name = "a", exec = { "/bin/b" } } }'
wrong "a second of what there is one of" "there is a second logs service [the first: $TMP/c/system.lua:12]" \
	'services = { services.logs {}, services.logs {} }'
wrong "a name that is taken" "a log that is no service's" \
	'services = { services.simple { name = "kernel", exec = { "/bin/a" } } }'
simple() { echo "services = { services.simple { name = \"a\", exec = { \"/bin/a\" }, $1 } }"; }
wrong "a text that would join the next line" "system.lua:12: simple › description: 'x\\' ends in a backslash" "$(simple 'description = "x\\\\"')"
wrong "a capability in capitals" "the name of a capability" "$(simple 'capabilities = { "CAP_KILL" }')"
wrong "a profile of calls that is unknown" "there is no profile 'servce'" "$(simple 'seccomp = "servce"')"
wrong "a sandbox that is unknown" "is not one of" "$(simple 'sandbox = "strict"')"
wrong "a path that is not absolute" "is not an absolute path" "$(simple 'bind_paths = { "srv:/srv" }')"
wrong "processors by name" "a processor or a range" "$(simple 'cpu_affinity = { "all" }')"
service() { echo "services = { services.$1 { $2 } }"; }
wrong "an address with a number too large" "is not an address with prefix" "$(service static_network 'address = "192.0.2.300/24"')"
wrong "a prefix too long" "is not an address with prefix" "$(service static_network 'addresses = { "2001:db8::1/129" }')"
wrong "two short forms in an address" "is not an address with prefix" "$(service static_network 'address = "2001::db8::1/64"')"
wrong "a VLAN without a tag" "link › id: a vlan needs it" "$(service static_network 'interface = "v", link = { kind = "vlan", parent = "eth0" }')"
wrong "a port of a VLAN" "belongs to a bridge" "$(service static_network 'interface = "v", link = { kind = "vlan", parent = "e", id = 1, ports = { "f" } }')"
wrong "an interface with a long name" "more than 15" "$(service static_network 'interface = "averylonginterfacename"')"
wrong "a router of the other family" "of another family" "$(service static_network 'address = "192.0.2.1/24", routes = { { to = "2001:db8::/32", via = "192.0.2.2" } }')"
wrong "a port that is none" "is not a port such as" "$(service firewall 'open = { "80/icmp" }')"
wrong "ports backwards" "is not a port such as" "$(service firewall 'open = { { port = "5-4" } }')"
wrong "everything is passed on" "would pass on everything" "$(service firewall 'forward = { {} }')"
wrong "a private key in the store" "everybody can read" "$(service wireguard 'private_key_file = "/gnu/store/x"')"
wrong "no time to ask for" "there is no server to ask" "$(service ntp '')"
wrong "a job without a time" "schedule: missing" "$(service job 'name = "a", run = "b"')"
wrong "a command twice" "there is run, too" "$(service command 'name = "a", run = "b", exec = { "/b" }')"
wrong "root= by hand" "is written by Cairn" 'kernel_arguments = { "root=/dev/vda2" }'
wrong "arguments in one string" "holds blanks" 'kernel_arguments = { "quiet panic=10" }'
wrong "package that is text" "expected package" 'packages = { "hello" }'
wrong "boot loader that is unknown" "is not one of" 'bootloader = { type = "lilo" }'
wrong "what hides the count of boots" "hides /boot/grub of the root" 'bootloader = { type = "extlinux" },
	file_systems = { { device = "LABEL=x", mount_point = "/" }, { device = "LABEL=ESP", mount_point = "/boot", type = "vfat" } }'
wrong "what hides the menu of GRUB" "hides what GRUB reads there" 'file_systems = {
	{ device = "LABEL=x", mount_point = "/" }, { device = "LABEL=ESP", mount_point = "/boot", type = "vfat" } }'
wrong "newline in the label" "label" 'label = "a\nb"'

is "nothing is left in the store" "$(ls "$R/gnu/store" 2>/dev/null | grep -v '^\.links$')" ""

# What only PID 1's own reader sees: the build says it.
sed 's|with {|with { services = { services.simple { name = "a", exec = { "httpd" } } } }|; /label = /,/^})/d' \
	"$TMP/c/system.lua" >"$TMP/c/set.lua"
echo ')' >>"$TMP/c/set.lua"
"$CAIRN" system build --root "$R" --modules "$TMP/world" "$TMP/c/set.lua" >"$TMP/out" 2>"$TMP/err"
status=$?
[ $status = 2 ] && grep -q 'set:[0-9]*: exec: needs the absolute path' "$TMP/err"
result "a set that PID 1 would refuse is not built ($status)" $?

# Everything is shut in, but what says otherwise or makes the machine; filters are compiled.
sed -e 's|"httpd"|"/bin/a"|; s|services.simple|services.dhcp {}, services.daemon {}, services.simple|' \
	-e 's|name = "a",|name = "a", private_tmp = false, capabilities = { "default", "sys_time" }, read_only_paths = { "/srv" },|' \
	"$TMP/c/set.lua" >"$TMP/c/boxes.lua"
system=$("$CAIRN" system build --root "$R" --modules "$TMP/world" --physical "$TMP/c/boxes.lua" 2>"$TMP/err")
result "a set with boxes is built" $?
set=$R$(readlink "$system/services")/set
key() { sed -n "/^\[service $1\]/,/^\[/s/^$2 = //p" "$set"; }
is "the profile by default" "$(key dhcp sandbox)" default
is "capabilities of a type" "$(key dhcp capabilities)" "default net_admin"
is "the daemon opts out" "$(key cairn-daemon sandbox)" none
is "what makes the machine, too" "$(key activation sandbox)$(key activation seccomp)" none
is "one part left out" "$(key a private-tmp)" no
is "paths" "$(key a read-only-paths)" /srv
filter=$R$(key a seccomp)
size=$(wc -c <"$filter")
check "a compiled filter" [ "$size" -gt 800 -a $((size % 8)) = 0 ]
check "another for raw sockets" [ "$(key dhcp seccomp)" != "$(key a seccomp)" ]
"$CAIRN" service check "$set" >"$TMP/out" 2>&1
result "PID 1 takes it" $?
finish
