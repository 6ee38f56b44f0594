#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Wrong configurations: each gives one clear error with its place, status 65, and leaves nothing.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
mkdir "$TMP/c"

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
# An element of a list is said by its number, and by its name.
root='file_systems = { { device = "LABEL=x", mount_point = "/" }'
for element in "users[2] ('ann'): hoem home users={{name=\"bob\"},{name=\"ann\",hoem=\"/x\"}}" \
	"users[3]: nam name users={{name=\"bob\"},{name=\"ann\"},{nam=\"c\"}}" \
	"groups[1] ('web'): gidd gid groups={{name=\"web\",gidd=9}}" \
	"file_systems[2] ('/srv'): optoins options $root,{device=\"LABEL=y\",mount_point=\"/srv\",optoins={}}}" \
	"mapped_devices[1] ('data'): sorce source mapped_devices={{type=\"luks\",target=\"data\",sorce=\"LABEL=y\"}}" \
	"swap[1] ('LABEL=s'): prioriti priority swap={{device=\"LABEL=s\",prioriti=1}}" \
	"bootloader › entries[1] ('Other'): chian chain bootloader={entries={{title=\"Other\",chian=\"/x\"}}}"; do
	place=${element%%: *} words=${element#*: }
	wrong=${words%% *} words=${words#* }
	wrong "unknown field of $place" "operating_system › $place: unknown field '$wrong'; did you mean '${words%% *}'?" "${words#* }"
done
wrong "unknown field of a network" "wifi › networks[2] ('home'): unknown field 'pks'; did you mean 'psk'?" \
	'services = services.base { services.wifi { networks = { { ssid = "a", security = "open" }, { ssid = "home", pks = "x" } } } }'
wrong "unknown field of a service" "openssh: unknown field 'prot'; did you mean 'port'?" 'services = services.base { services.openssh { prot = 5 } }'
wrong "a key of two lines" "sysctl['net.a\nb']: holds a newline" 'sysctl = { ["net.a\nb"] = "1" }'
wrong "ill-typed field" "host_name: expected string, got number" 'host_name = 5'
wrong "bad host name" "is not a host name" 'host_name = "two words"'
wrong "unknown keyboard layout" "there is no keyboard layout 'de-latin' [there are: de-latin1-nodeadkeys, de-latin1]" 'keyboard = "de-latin"'
wrong "unknown time zone" "unknown time zone 'Mars/Olympus'" 'timezone = "Mars/Olympus"'
for rule in CET-1CEST,M3.5 CET-1CEST CET-1CEST,M3.5.0 CET-1CEST,M13.5.0,M10.5.0 CET-1CEST,M3.5.0,M10.5.7 CET-1CEST,M3.5.0,M10.5.0/ CET CE-1 CET-25 CET-1:60 \
	CET-1CEST,J0,J365 CET-1CEST,0,366 CET-1CEST,M3.5.0,M10.5.0x "<+3-3"; do
	wrong "no rule of a time zone: $rule" "unknown time zone '$rule'" "timezone = \"$rule\""
done
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
wrong "a service that a file system waits for" "file_systems[2] ('/x') › services: there is no service 'bsae'; did you mean 'base'?" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=x", mount_point = "/x", services = { "bsae" } } }'
wrong "file systems that wait for each other" "system.lua:11: operating_system: services wait for each other: mount@x -> mount@y -> mount@x" \
	'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=x", mount_point = "/x", dependencies = { "/y" } },
		{ device = "LABEL=y", mount_point = "/y", dependencies = { "/x" } } }'
wrong "a field of what is modified" "system.lua:12: dhcp: unknown field 'intrface'; did you mean 'interface'?" \
	'services = system.modify_services(services.base {}, { dhcp = { intrface = "x" } })'
mapped() { echo "mapped_devices = { $1 }, file_systems = { { device = \"LABEL=a\", mount_point = \"/\" }, ${2-} }"; }
wrong "a mapped device that nobody makes" "file_systems[2] ('/d') › device: no mapped device makes '/dev/mapper/dat'; did you mean '/dev/mapper/data'?" \
	"$(mapped '{ type = "luks", target = "data", source = "LABEL=x" }' '{ device = "/dev/mapper/dat", mount_point = "/d" }')"
wrong "an array that nobody makes" "no mapped device makes '/dev/md0'" "$(mapped '' '{ device = "/dev/md0", mount_point = "/d" }')"
wrong "a volume that nobody makes" "no mapped device makes '/dev/vg/y'" \
	"$(mapped '{ type = "lvm", target = "vg-x", source = "vg" }' '{ device = "/dev/vg/y", mount_point = "/d" }')"
wrong "a volume without any mapped device" "no mapped device makes '/dev/vg0/home'" "$(mapped '' '{ device = "/dev/vg0/home", mount_point = "/d" }')"
wrong "a key file of no secret" "mapped_devices[1] ('x') › key_file: there is no secret 'disk-kye'; did you mean 'disk-key'?" \
	"$(mapped '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/run/secrets/disk-kye" }'), secrets = { { name = \"disk-key\" } }"
wrong "what is no UUID" "file_systems[2] ('/d') › device: 'UUID=zzz' is no UUID" "$(mapped '' '{ device = "UUID=zzz", mount_point = "/d" }')"
wrong "swap space that nobody makes" "swap[1] ('/dev/mapper/s') › device: no mapped device makes" 'swap = { { device = "/dev/mapper/s" } }'
wrong "a name of the kernel's" "is another device at each boot" "$(mapped '' '{ device = "/dev/dm-0", mount_point = "/d" }')"
wrong "two mapped devices of one name" "there are two mapped devices 'x'" \
	"$(mapped '{ type = "luks", target = "x", source = "LABEL=x" }, { type = "raid", target = "x", sources = { "/dev/a" } }')"
wrong "a kind of mapped device that is unknown" "'luk' is not one of 'luks', 'raid' or 'lvm'; did you mean 'luks'?" \
	"$(mapped '{ type = "luk", target = "x", source = "LABEL=x" }')"
wrong "a mapped device of nothing" "mapped_devices[1] ('x') › source: missing" "$(mapped '{ type = "luks", target = "x" }')"
wrong "an array of nothing" "mapped_devices[1] ('x') › source: an array has either" "$(mapped '{ type = "raid", target = "x" }')"
wrong "an array's disk by the array's name" "mapped_devices[1] ('x') › sources: the disks of an array have one UUID" \
	"$(mapped '{ type = "raid", target = "x", sources = { "UUID=a" } }')"
wrong "an array by less than its UUID" "expected the array's UUID" "$(mapped '{ type = "raid", target = "x", source = "UUID=0123" }')"
wrong "a level that there is not" "there is no level 7" "$(mapped '{ type = "raid", target = "x", sources = { "/dev/a" }, level = 7 }')"
wrong "a volume of another group" "is called 'my--vg-VOLUME'" "$(mapped '{ type = "lvm", target = "my-vg-x", source = "my-vg" }')"
wrong "a field of another kind" "mapped_devices[1] ('vg-x') › tries: a device of type 'lvm' has no such field" \
	"$(mapped '{ type = "lvm", target = "vg-x", source = "vg", tries = 1 }')"
wrong "a key in the store" "everybody can read" "$(mapped '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/gnu/store/k" }')"
wrong "mapped devices of each other" "are made from each other: a -> b -> a" \
	"$(mapped '{ type = "luks", target = "a", source = "/dev/mapper/b" }, { type = "luks", target = "b", source = "/dev/mapper/a" }')"
wrong "a dependency that is no mapped device" "there is no mapped device 'y'" \
	"$(mapped '{ type = "luks", target = "x", source = "LABEL=x", dependencies = { "y" } }')"
wrong "a file system's dependency that is no mapped device" "file_systems[2] ('/d') › dependencies: there is no mapped device 'y'" \
	"$(mapped '' '{ device = "LABEL=d", mount_point = "/d", dependencies = { "y" } }')"
root() { echo "bootloader = { type = \"$1\" }, mapped_devices = { $2 }, file_systems = { { device = \"/dev/mapper/x\", mount_point = \"/\" }, ${3-} }"; }
wrong "a root that GRUB cannot read" "file_systems[1] ('/') › device: GRUB reads menu and kernels from it, and opens no mapped device [bootloader = { type" \
	"$(root grub '{ type = "luks", target = "x", source = "LABEL=x" }')"
wrong "a root that extlinux cannot read" "the boot loader reads kernels from it" "$(root extlinux '{ type = "luks", target = "x", source = "LABEL=x" }')"
wrong "an EFI system partition that firmware cannot read" "firmware opens no mapped device" \
	"$(root efi '{ type = "luks", target = "x", source = "LABEL=x" }' '{ device = "/dev/mapper/x", mount_point = "/boot/efi", type = "vfat" }')"
wrong "a key file before there are files" "key_file: stage 1 opens it for '/', and has no secrets" \
	"$(root none '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/k" }')"
wrong "a key file below what is asked for" "key_file: stage 1 asks for the passphrase of 'y'" \
	"$(mapped '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/k" }, { type = "luks", target = "y", source = "/dev/mapper/x" }')"
needed() { mapped '' "{ device = \"LABEL=b\", mount_point = \"$1\", needed_for_boot = true, ${2-} }"; }
fs() { mapped '' "{ device = \"LABEL=b\", mount_point = \"/srv\", $1 }"; }
wrong "a file system that no kernel has" "file_systems[2] ('/srv') › type: a file system 'ext5' is not known here; did you mean 'ext4'?" "$(fs 'type = "ext5"')"
wrong "no kind" "a file system 'fuse.' is not known here" "$(fs 'type = "fuse."')"
# Accepted, in a machine that is not built: NAME, what the warning says ("": there is none), changes
taken() {
	printf 'return require("system").operating_system { host_name = "x", %s }\n' "$3" >"$TMP/c/taken.lua"
	"$CAIRN" system build --dry-run --root "$R" --modules "$TMP/world" "$TMP/c/taken.lua" >"$TMP/out" 2>"$TMP/err"
	is "$1: it is taken" $? 0
	is "$1: what is said" "$(sed -n 's/^warning: [^ ]* //p' "$TMP/err")" "$2"
}
taken "a file system like no other" "operating_system › file_systems[2] ('/srv') › type: a file system 'wunderfs' is not known here: the kernel must have it" \
	"$(fs 'type = "wunderfs"')"
taken "a kind of what has no kinds" "operating_system › file_systems[2] ('/srv') › type: a file system 'ext4.big' is not known here: the kernel must have it" \
	"$(fs 'type = "ext4.big"')"
taken "one that stage 1 mounts" "operating_system › file_systems[2] ('/srv') › type: a file system 'wunderfs' is not known here: the kernel must have it in itself, or initrd_modules its module" \
	"$(needed /srv 'type = "wunderfs"')"
taken "one that modules of a package may be for" "operating_system › file_systems[2] ('/srv') › type: a file system 'ext5' is not known here: the kernel must have it" \
	"kernel_loadable_modules = { require 'packages.busybox' }, $(fs 'type = "ext5"')"
taken "one that another kernel may have" "operating_system › file_systems[2] ('/srv') › type: a file system 'ext5' is not known here: the kernel must have it" \
	"kernel = require 'packages.linux', $(fs 'type = "ext5"')"
for type in fuse.sshfs fuse.ntfs-3g fuseblk.ntfs sysv functionfs; do
	taken "a type that is known: $type" '' "$(fs "type = \"$type\"")"
done
for line in 'type = "ext5"' 'type = "wunderfs"' 'type = "none"' 'type = "ntfs3"'; do
	taken "what is only a line of fstab: $line" '' "$(fs "mount = false, $line")"
done
for bound in 'options = { "bind" }' 'options = { "rbind", "ro" }' 'flags = { "bind" }'; do
	for point in /srv /var/log; do
		taken "bound at $point by $bound" '' "$(mapped '' "{ device = \"/home\", mount_point = \"$point\", type = \"none\", $bound }")"
	done
	taken "bound, and no type: $bound" '' "$(mapped '' "{ device = \"/home\", mount_point = \"/srv\", $bound }")"
	taken "a line of fstab that binds: $bound" '' "$(mapped '' "{ device = \"/home\", mount_point = \"/srv\", type = \"none\", mount = false, $bound }")"
done
wrong "what is bound, and no path" "device: what is bound is a directory" "$(fs 'options = { "rbind" }')"
# Services mount the logs' file system where the initramfs cannot.
for how in 'options = { "nofail" }' 'options = { "x-foo" }' 'type = "auto"' 'type = "overlay"' 'may_fail = true' 'services = { "udev" }' \
	'dependencies = { "/srv" }' 'device = "/srv/log.img"' 'device = "/dev/mapper/x"'; do
	taken "a file system for logs: $how" '' "services = { require('services').simple { name = 'udev', exec = { '/bin/a' }, type = 'oneshot' } },
		$(mapped '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/k" }' \
		"{ device = \"LABEL=s\", mount_point = \"/srv\" }, { mount_point = \"/var/log\", device = \"LABEL=b\", $how }" | sed 's/device = "LABEL=b", \(device.*\)/\1/')"
done
taken "logs in memory below what may fail" '' \
	"$(mapped '' '{ device = "LABEL=b", mount_point = "/var/log", may_fail = true }, { mount_point = "/var/log/cairn", type = "tmpfs" }')"
because="so that the initramfs does: "
for how in 'options|options = { "nofail" }|'"'nofail' is for mount programs" 'type|type = "auto"|the initramfs has to be told' \
	'type|type = "overlay"|the initramfs would look for the directories of an overlay in itself' \
	'device|device = "/srv/log.img"|the initramfs waits for a device, and mounts no file'; do
	field=${how%%|*} said=${how##*|} how=${how#*|}
	how=${how%|*}
	wrong "what activation has there, $how" "file_systems[2] ('/etc') › $field: activation has /etc there before services mount it, $because$said" \
		"$(mapped '' "{ mount_point = \"/etc\", device = \"LABEL=b\", $how }" | sed 's/device = "LABEL=b", \(device.*\)/\1/')"
	wrong "needed for boot, $how" "file_systems[2] ('/srv') › $field: $said" \
		"$(mapped '' "{ mount_point = \"/srv\", device = \"LABEL=b\", needed_for_boot = true, $how }" | sed 's/device = "LABEL=b", needed\(.*device.*\)/needed\1/')"
done
wrong "the accounts' file system on what a key file opens" "key_file: stage 1 opens it for '/var/lib', and has no secrets" \
	"$(mapped '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/k" }' '{ device = "/dev/mapper/x", mount_point = "/var/lib" }')"
wrong "one that stage 1 is to find out" "file_systems[2] ('/srv') › type: the initramfs has to be told which it is" "$(needed /srv 'type = "auto"')"
wrong "none, and not bound" "file_systems[2] ('/srv') › type: only what is bound has none" "$(fs 'type = "none"')"
wrong "a menu that waits unseen" "bootloader › hidden: a menu that nobody sees would wait for ever" 'bootloader = { timeout = -1, hidden = true }'
for locale in C.utf8 C.UTF8 c.UTF-8; do
	wrong "what is meant by '$locale'" "operating_system › locale: there is no locale '$locale'; did you mean 'C.UTF-8'?" "locale = \"$locale\""
done
for locale in de_DE.UTF-8 en_US.utf8 C.UTF-16 ""; do
	wrong "a locale that there is not: '$locale'" "operating_system › locale: " "locale = \"$locale\""
done
wrong "and why" "there is no locale 'de_DE.UTF-8': the C library knows C.UTF-8" 'locale = "de_DE.UTF-8"'
for name in no.such/../x .. ../x a..b a//b /a a/ .a a. ./a; do
	wrong "a kernel setting without a name: $name" "operating_system › sysctl['$name']: '$name' has a part without a name" "sysctl = { [\"$name\"] = 1 }"
done
wrong "a value of two lines" "sysctl" 'sysctl = { ["vm.swappiness"] = "1\nvm.x = 2" }'
wrong "what the initramfs mounts below what it does not" "file_systems[2] ('/srv') › mount_point: '/srv/a', which is mounted by the initramfs, is below it" \
	"$(mapped '' '{ device = "LABEL=b", mount_point = "/srv" }, { device = "LABEL=c", mount_point = "/srv/a", needed_for_boot = true }')"
wrong "what is needed for boot and may fail" "file_systems[2] ('/srv') › needed_for_boot: the initramfs mounts it" \
	"$(mapped '' '{ device = "LABEL=b", mount_point = "/srv", needed_for_boot = true, may_fail = true }')"
for option in nofail noauto auto user users owner group _netdev x-systemd.automount comment=x; do
	wrong "what stage 1 mounts, and no kernel knows: $option" \
		"file_systems[2] ('/srv') › options: '$option' is for mount programs; the initramfs mounts this one, and the kernel refuses it [" \
		"$(needed /srv "options = { \"commit=5\", \"$option\" }")"
done
wrong "an option of the root that no kernel knows" "file_systems[1] ('/') › options: 'nofail' is for mount programs" \
	'file_systems = { { device = "LABEL=a", mount_point = "/", options = { "nofail" } } }'
wrong "more options than stage 1 has room for" "options: the initramfs has room for 500 bytes" \
	"$(needed /srv 'options = { ("x"):rep(501) }')"
wrong "a check of what is no ext" "file_systems[2] ('/srv') › check: only ext2, ext3 and ext4 are checked" \
	"$(needed /srv 'type = "xfs", check = true')"
wrong "a check of what is bound" "file_systems[2] ('/b') › check: only ext2" \
	"$(mapped '' '{ device = "/a", mount_point = "/b", flags = { "bind" }, check = true }')"
for point in /var /var/guix /var/guix/profiles; do
	wrong "generations that are read before they are mounted: $point" \
		"file_systems[2] ('$point') › mount_point: the initramfs reads the generations, in /var/guix/profiles, from the root" "$(needed $point)"
	wrong "generations that are hidden when services have mounted: $point" \
		"file_systems[2] ('$point') › mount_point: the initramfs reads the generations, in /var/guix/profiles, from the root" \
		"bootloader = { type = \"extlinux\" }, $(mapped '' "{ device = \"LABEL=b\", mount_point = \"$point\" }")"
done
for how in needed_for_boot=false may_fail=true 'services={"x"}' 'flags={"bind"}' 'options={"bind"}' 'options={"rbind"}'; do
	wrong "what activation writes to, $how" \
		"file_systems[2] ('/var/lib') › needed_for_boot: activation has numbers of accounts, passwords and secrets, in /var/lib/cairn there before services" \
		"$(mapped '' "{ device = \"/dev/b\", mount_point = \"/var/lib\", $how }")"
	wrong "files of /etc, $how" "file_systems[2] ('/etc') › needed_for_boot: activation has /etc there before" \
		"$(mapped '' "{ device = \"/dev/b\", mount_point = \"/etc\", $how }")"
done
wrong "more disks than an array can name" "mapped_devices[1] ('x') › sources" \
	"$(mapped '{ type = "raid", target = "x", sources = (function() local l = {} for i = 1, 33 do l[i] = "/dev/d" .. i end return l end)() }')"
wrong "group of a user that is missing" "there is no group 'whele'" 'users = { { name = "ann", groups = { "whele" } } }'
wrong "uid 0 for another name" "uid 0 belongs to root" 'users = { { name = "ann", uid = 0 } }'
wrong "another number for root" "users[1] ('root') › uid: root is 0 everywhere, not 5" 'users = { { name = "root", uid = 5 } }'
wrong "another number for the group root" "groups[1] ('root') › gid: root is 0 everywhere, not 5" 'groups = { { name = "root", gid = 5 } }'
wrong "gid 0 for another name" "gid 0 belongs to root" 'groups = { { name = "staff", gid = 0 } }'
wrong "two users of one number" "users[2] ('eve') › uid: the users 'ann' and 'eve' have one number, 1000" \
	'users = { { name = "ann", uid = 1000 }, { name = "eve", uid = 1000, group = "users" } }'
wrong "the number of nobody" "the users 'nobody' and 'ann' have one number, 65534" 'users = { { name = "ann", uid = 65534 } }'
wrong "two groups of one number" "groups[2] ('b') › gid: the groups 'a' and 'b' have one number, 900" \
	'groups = { { name = "a", gid = 900 }, { name = "b", gid = 900 } }'
wrong "the number of a usual group" "the groups 'wheel' and 'a' have one number, 10" 'groups = { { name = "a", gid = 10 } }'
wrong "a group of a user's own with the number of another" \
	"users[1] ('ann') › uid: the group of user 'ann' gets the same number 1000, which group 'staff' has [give another, or group = \"staff\"]" \
	'users = { { name = "ann", uid = 1000 } }, groups = { { name = "staff", gid = 1000 } }'
wrong "subordinate numbers of two" "the users 'ann' and 'eve' have subordinate numbers in common" \
	'users = { { name = "ann", subids = 10, subid_start = 100000 }, { name = "eve", subids = 1, subid_start = 100009 } }'
wrong "a password and a file for it" "there is a password, too" 'users = { { name = "ann", password = "", password_file = "/x" } }'
wrong "a password file in the store" "everybody can read" 'users = { { name = "ann", password_file = "/gnu/store/x" } }'
wrong "a password file of a package" "users[1] ('ann') › password_file: everybody can read what is in the store" \
	'users = { { name = "ann", password_file = text("pw", "x") .. "" } }'
for home in / /boot/grub /etc/static/x /gnu/store/x /home /root /tmp /var/empty /var/guix/profiles/x /var/lib/cairn/secrets; do
	wrong "a home that is the system's own: $home" "users[1] ('ann') › home: '$home' is the system's own [another one, such as /home/ann" \
		"users = { { name = \"ann\", home = \"$home\" } }"
done
wrong "a home in the store" "users[1] ('ann') › home: is in the store [another one, such as /home/ann" \
	'users = { { name = "ann", home = require "packages.busybox" .. "/ann" } }'
wrong "a colon in a shell of a package" "users[1] ('ann') › shell: holds a colon" \
	'users = { { name = "ann", shell = require "packages.busybox" .. "/bin/a:b" } }'
wrong "a password in the clear" "expected the output of crypt(3)" 'users = { { name = "ann", password = "secret" } }'
wrong "a method that crypt(3) does not know" "users[1] ('ann') › password: '\$y\$' is no method" 'users = { { name = "ann", password = "$y$j9T$abc$def" } }'
wrong "a colon in a home" "users[1] ('ann') › home: holds a colon" 'users = { { name = "ann", home = "/home/a:b" } }'
wrong "a newline in a comment" "users[1] ('ann') › comment" 'users = { { name = "ann", comment = "x\nevil::0:0::/:/bin/sh" } }'
wrong "a shell that nothing provides" \
	"users[1] ('ann') › shell: nothing provides '/bin/zsh' [a file of a package: require \"packages.zsh\" .. \"/bin/zsh\"; or /run/current-system/profile/bin/zsh" \
	'users = { { name = "ann", shell = "/bin/zsh" } }'
wrong "a shell of another system" "nothing provides '/usr/bin/bash'" 'users = { { name = "ann", shell = "/usr/bin/bash" } }'
wrong "a skeleton that climbs" "is not a path below the home" 'skeletons = { ["../x"] = "y" }'
wrong "a skeleton below a file" "operating_system › skeletons: 'a/b/c' is below 'a', which is a file" 'skeletons = { a = "x", ["a/b/c"] = "y" }'
wrong "a file of the initramfs that climbs" "'a/../../b' is not a path below the root of the initramfs" \
	"initrd_files = { ['a/../../b'] = require 'packages.busybox' .. '/bin/sh' }"
wrong "one that the build does not see" "initrd_files['x']: '/etc/passwd' is not a file of a package" "initrd_files = { x = '/etc/passwd' }"
wrong "one below another" "operating_system › initrd_files: 'x/y' is below 'x', which is a file" \
	"initrd_files = { x = require 'packages.busybox' .. '/bin/sh', ['x/y'] = require 'packages.busybox' .. '/bin/sh' }"
for path in init dev dev/null bin bin/busybox bin/sh modules; do
	wrong "one that the initramfs has itself: $path" "operating_system › initrd_files['$path']: the initramfs has its own '$path'" \
		"initrd_modules = { 'a' }, initrd_files = { ['$path'] = require 'packages.busybox' .. '/bin/sh' }"
done
wrong "one below such a file" "initrd_files['init/x']: 'init' is a file of the initramfs" "initrd_files = { ['init/x'] = require 'packages.busybox' .. '/bin/sh' }"
wrong "a rule that would be a comment" "device_rules[1] › subsystem: '#tty' is not a pattern" 'device_rules = { { subsystem = "#tty", mode = "0660" } }'
wrong "where subordinate numbers begin, but not how many" "how many" 'users = { { name = "ann", subid_start = 200000 } }'
wrong "more subordinate numbers than there are from there on" "users[1] ('ann') › subids: there are 65534 from 4294901760 on" \
	'users = { { name = "ann", subid_start = 4294901760, subids = 65535 } }'
wrong "a privileged program of nowhere" "a file of a package" 'privileged_programs = { { program = "/bin/su" } }'
for program in 'require "packages.busybox"' 'require "packages.busybox" .. "/"' 'require "packages.busybox" .. "/bin/", name = "su"'; do
	wrong "a privileged program that is a package: $program" "privileged_programs[1]$(case $program in *name*) echo " ('su')" ;; esac) › program: names no file of it" \
		"privileged_programs = { { program = $program } }"
done
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
wrong "a requirement that is nearly there" "did you mean 'base'?" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "bsae" } } }'
wrong "an order that is nearly one" "system.lua:12: simple › after: there is no service 'network'; did you mean 'networks'?" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, after = { "network" } } }'
wrong "an order before what is nearly there" "simple › before: there is no service 'bse'; did you mean 'base'?" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, before = { "bse" } } }'
wrong "a service that requires itself" "requires itself" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, requires = { "a" } } }'
wrong "two services of one name" "system.lua:12: simple › name: there are two services 'a' [the first: $TMP/c/system.lua:12]" \
	'services = { services.simple { name = "a", exec = { "/bin/a" } }, services.simple { name = "a", exec = { "/bin/b" } } }'
wrong "a job without a pause" "system.lua:12: job › every: '0s' is no time between two runs" \
	'services = { services.job { name = "a", run = "x", every = "0s" } }'
wrong "a script without a word" "run: has nothing but blanks" 'services = { services.command { name = "a", run = " \n\t\n" } }'
wrong "nor any other service" "system.lua:12: simple › every: '0min' is no time between two runs" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, every = "0min" } }'
wrong "not by a number, either" "simple › every: '0' is no time between two runs" \
	'services = { services.simple { name = "a", exec = { "/bin/a" }, every = 0 } }'
wrong "a root that is only read" "file_systems[1] ('/') › options: stage 1 mounts the root to be written to" \
	'file_systems = { { device = "LABEL=a", mount_point = "/", options = { "ro" } } }'
wrong "swap space twice" "swap: 'LABEL=s' is given twice" 'swap = { { device = "LABEL=s" }, { device = "LABEL=s" } }'
wrong "a host at no address" "'1.2' is not an address such as" 'hosts = { ["1.2"] = { "a" } }'
wrong "a name server at no address" "'192.0.2.300' is not an address such as" 'name_servers = { "192.0.2.300" }'
wrong "a PATH that hides the profile" "environment['PATH']: is made of the profiles" 'environment = { PATH = "/x" }'
wrong "a second of what there is one of" "there is a second logs service [the first: $TMP/c/system.lua:12]" \
	'services = { services.logs {}, services.logs {} }'
wrong "a second of what services.base has" "[services.base has it: without = { \"logs\" } leaves it out; or system.modify_services changes it]" \
	'services = services.base { services.logs {} }'
wrong "a service of a name that services.base has" "there are two services 'dhcp' [the first: $TMP/c/system.lua:12] [services.base has it" \
	'services = services.base { services.dhcp {} }'
wrong "a name that is taken" "system.lua:12: init_service › name: 'kernel' is the name of a log that is no service's" \
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
# Not wrong, but perhaps not meant: NAME, what is said ("": nothing), services beside a firewall, its fields, line if it is not theirs
warned() {
	printf 'local services, system = require "services", require "system"\nreturn system.operating_system { host_name = "x",\n' >"$TMP/c/system.lua"
	echo "file_systems = { { device = \"LABEL=x\", mount_point = \"/\" } }, services = services.base { $3," >>"$TMP/c/system.lua"
	echo "services.firewall { $4 } } }" >>"$TMP/c/system.lua"
	"$CAIRN" system build --dry-run --root "$R" --modules "$TMP/world" "$TMP/c/system.lua" >"$TMP/out" 2>"$TMP/err"
	is "$1: it is evaluated" $? 0
	is "$1: what is said" "$(sed -n 's/^warning: //p' "$TMP/err")" "${2:+$TMP/c/system.lua:${5-3}: $2}"
}
shut() { echo "other machines do not reach $1 port $2, which the firewall [$TMP/c/system.lua:4] keeps closed [open = { $3 } there lets them in, closed = { $3 } says that it is meant so]"; }
ssh='services.openssh {}' ntp='services.ntp { serve = true }'
warned "a port that the firewall keeps closed" "openssh › port: $(shut tcp 22 22)" "$ssh" ''
warned "one that it opens to others only" "ntp › serve: $(shut udp 123 '"123/udp"')" "$ntp" 'open = { 123, "122/udp" }'
warned "a socket that PID 1 makes" "simple › listen: $(shut tcp 81 81)" \
	'services.simple { name = "a", exec = { "/bin/a" }, type = "simple", listen = { "tcp [::]:81" } }' 'open = { 80, 82 }'
warned "the machine's own" '' 'services.httpd { listen = "127.0.0.1" }' ''
ceiling='services.command { name = "c", run = "x", user = "nobody", capabilities = { "default", "net_bind_service" }'
warned "a user who has none of what he could have" "command › capabilities: 'nobody' has none of them [ambient_capabilities names those that it is to have; {} says that it is meant so]" \
	"$ceiling }" ''
warned "and one who is not to" '' "$ceiling, ambient_capabilities = {} }" ''
warned "one that is meant to be closed" '' "$ssh, $ntp" 'closed = { "20-22", "123/udp" }'
warned "one that is not" "openssh › port: $(shut tcp 22 22)" "$ssh" 'closed = { 23, "22/udp" }'
wrong "a port that is open and closed" "firewall › open[2]: is among those of closed" "$(service firewall 'open = { 80, "22-23" }, closed = { 23 }')"
warned "an address of the machine" "httpd › port: $(shut tcp 80 80)" 'services.httpd { listen = "192.0.2.1" }' ''
warned "a port that is open" '' "$ssh, $ntp" 'open = { "20-22", { port = "100-123/udp", from = { "192.0.2.0/24" } } }'
warned "a rule for it" '' "$ssh" 'rules = { "family 4 saddr 192.0.2.0/24 proto tcp dport 22-22 accept" }'
warned "a rule for another" "openssh › port: $(shut tcp 22 22)" "$ssh" 'rules = { "proto udp dport 22-22 accept", "proto tcp dport 22-22 drop", "proto tcp dport 23-24 accept" }'
warned "everything of an interface" '' "$ssh" 'trusted_interfaces = { "lan0" }'
wrong "a port that is none" "is not a port such as" "$(service firewall 'open = { "80/icmp" }')"
wrong "ports backwards" "is not a port such as" "$(service firewall 'open = { { port = "5-4" } }')"
# Rules in words: each is checked before anything is built.
while IFS='|' read -r rule want; do
	wrong "the rule '$rule'" "firewall › rules[2]: $want" "$(service firewall "rules = { \"state new drop\", \"$rule\" }")"
done <<'END'
proto tcp dport 22-22 acept|unknown word 'acept'; did you mean 'accept'?
proto tcp dprot 22-22 accept|unknown word 'dprot'; did you mean 'dport'?
proto tcp dport 22 accept|'22' is not FIRST-LAST [22-22]
proto tcp dport 22-99999 accept|'22-99999' is not FIRST-LAST, two ports up to 65535
proto tcp dport 9-8 accept|'9-8' goes backwards
dport 22-22 accept|'dport' is for packets of tcp and udp [proto tcp dport …]
proto tpc dport 22-22 accept|'tpc' is not a protocol: tcp, udp, icmp or icmpv6; did you mean 'tcp'?
saddr 192.0.2.0/24 accept|an address is looked at where its family was looked at before [family 4 saddr …]
family 6 saddr 192.0.2.0/24 accept|'192.0.2.0/24' is never of family 6
family 4 saddr 192.0.2.7 accept|'192.0.2.7' is not a network
family 4 saddr 192.0.2.0/33 accept|'192.0.2.0/33' is not a network
family 5 accept|'5' is no family, 4 or 6
iif a-name-with-16-by accept|'a-name-with-16-by' is longer than a name of an interface
proto tcp type 8 accept|'type' is for packets of icmp and icmpv6
proto icmp type 300 accept|'300' is not a number up to 255
state old accept|'old' is not a state of connections
limit 10/day 5 accept|'10/day' is not N/second, N/minute or N/hour
limit 10/hour accept|how many may come at once is missing
proto udp reset|'reset' is for packets of tcp
proto tcp dport|'dport' says nothing: a word is missing
proto tcp|what happens is missing
proto tcp accept drop|'drop' stands behind what happens
END
warned "rules that are fine" '' "$ssh" 'rules = { "iif lan0 oif lan1 family 6 proto icmpv6 type 128 limit 5/second 9 log ping: continue",
	"family 6 saddr 2001:db8::/32 daddr ::1/128 proto udp dport 53-53 state new,related reject", "proto tcp dport 1-9 reset", "status dnat accept" }'
warned "a redirect of many ports to one" "firewall › redirects[1]: all ports from 80 to 89 lead to the one port 8080 [without :8080 each leads to its own]" \
	'services.httpd { listen = "127.0.0.1" }' 'redirects = { { port = "80-89", to = "10.0.0.2:8080" }, { port = "90-91", to = "10.0.0.2" } }, masquerade = { "lan0" }' 4
wrong "a firewall that lets everything in" "rules[2]: lets everything in" "$(service firewall 'rules = { "proto tcp dport 1-2 accept", "accept" }')"
wrong "a firewall with all ports open" "open[1]: opens all ports" "$(service firewall 'open = { "1-65535" }')"
wrong "everything is passed on" "would pass on everything" "$(service firewall 'forward = { {} }')"
wrong "nothing is passed on" "firewall › masquerade: nothing is passed on that could leave there [forward = { { from = INTERFACE, to = \"eth0\" } } says what is]" \
	"$(service firewall 'masquerade = { "eth0" }')"
wrong "a list that was made, and is empty" "open[1] ('22') › from: must not be empty" "$(service firewall 'open = { { port = 22, from = {} } }')"
wrong "a port too large behind the machine" "redirects[1] ('10.0.0.2:99999') › to: '99999' is not a port, 1 to 65535" "$(service firewall 'redirects = { { port = 80, to = "10.0.0.2:99999" } }')"
wrong "no port behind the machine" "redirects[1] ('[2001:db8::1]:0') › to: '0' is not a port" "$(service firewall 'redirects = { { port = 80, to = "[2001:db8::1]:0" } }')"
wrong "a router out of reach" "'198.51.100.1' is in no network of addresses" "$(service static_network 'address = "192.0.2.1/24", gateway = "198.51.100.1"')"
wrong "a router out of reach by one bit" "'192.0.2.8' is in no network" "$(service static_network 'address = "192.0.2.1/29", gateway = "192.0.2.8"')"
wrong "a router of IPv6 out of reach" "'2001:db8:0:1::1' is in no network" "$(service static_network 'address = "2001:db8::5/64", gateway = "2001:db8:0:1::1"')"
wrong "a router that is the machine" "the machine's own address" "$(service static_network 'address = "2001:db8::5/64", gateway = "2001:db8:0::5"')"
wrong "two routers of a family" "there are two of IPv4" "$(service static_network 'address = "192.0.2.5/24", gateway = { "192.0.2.1", "192.0.2.2" }')"
wrong "a way by what cannot be reached" "routes[1]: via: '198.51.100.1'" "$(service static_network 'address = "192.0.2.5/24", routes = { { to = "10.0.0.0/8", via = "198.51.100.1" } }')"
wrong "an address twice" "'2001:db8::5' stands there twice" "$(service static_network 'addresses = { "2001:db8:0::5/64", "2001:db8::5/96" }')"
two() { echo "services = { services.$1 { $2 }, services.$3 { $4 } }"; }
wrong "an address of two interfaces" "another interface has the address 192.0.2.5" \
	"$(two static_network 'interface = "a", address = "192.0.2.5/24"' static_network 'interface = "b", address = "192.0.2.5/25"')"
wrong "DHCP of the first card and its address" "system.lua:12: static_network › addresses: DHCP of the first card takes all other" \
	"$(two dhcp '' static_network 'address = "192.0.2.5/24"')"
wrong "DHCP of the first card and the address of a card" "DHCP of the first card takes all other" \
	"$(two dhcp '' static_network 'interface = "eth0", address = "192.0.2.5/24"')"
wrong "DHCP of a card and the address of the first one" "DHCP of eth0 takes all other" \
	"$(two dhcp 'interface = "eth0"' static_network 'address = "192.0.2.5/24"')"
wrong "an address beside the usual DHCP" \
	"[services.base has it: without = { \"dhcp\" } leaves it out; or name the card of each: interface = …] [$TMP/c/system.lua:12]" \
	'services = services.base { services.static_network { address = "192.0.2.5/24" } }'
wrong "DHCP of the first card and of another" "system.lua:12: dhcp › interface: DHCP of the first card may ask for the same one [name the" \
	"$(two dhcp 'interface = "eth0"' dhcp '')"
wrong "DHCP of a card beside the usual DHCP" "for the same one [services.base has it: without = { \"dhcp\" } leaves it out" \
	'services = services.base { services.dhcp { interface = "eth0" } }'
wrong "DHCP and an address" "DHCP of a takes all other addresses of IPv4 away" "$(two dhcp 'interface = "a"' static_network 'interface = "a", address = "192.0.2.5/24"')"
bridge() { echo "interface = \"$1\", link = { kind = \"bridge\", ports = { \"$2\" } }"; }
wrong "DHCP of a port" "static_network › link › ports: what comes in at a is for the bridge, and DHCP of a would ask there [let it ask at the bridge: interface = \"br0\"]" \
	"$(two dhcp 'interface = "a"' static_network "$(bridge br0 a)")"
wrong "DHCP of a port of a bridge with an address" "DHCP of a would ask there [leave it out]" \
	"$(two dhcp 'interface = "a"' static_network "$(bridge br0 a), address = \"192.0.2.5/24\"")"
wrong "DHCP of the first card, which may be a port" "DHCP of the first card would ask there [name the card of each: interface = …]" \
	"$(two dhcp '' static_network "$(bridge br0 a)")"
wrong "DHCP of the first card beside a bridge" "what comes in at a is for the bridge, and DHCP of the first card would ask there [services.base has it: without = { \"dhcp\" } leaves it out; or name the card of each: interface = …]" \
	"services = services.base { services.static_network { $(bridge br0 a) } }"
wrong "a port of two bridges" "static_network › link › ports: 'a' is a port of br1, and of one bridge at most" "$(two static_network "$(bridge br0 a)" static_network "$(bridge br1 a)")"
wrong "a VLAN of what is switched off" "link › parent: 'a' is left switched off" \
	"$(two static_network 'interface = "a", up = false' static_network 'interface = "v", link = { kind = "vlan", parent = "a", id = 1 }')"
wrong "a way to an address in a network" "'10.1.2.3/16' is an address in the network 10.1.0.0/16 [name the network, or the address without /16]" \
	"$(service static_network 'address = "192.0.2.5/24", routes = { { to = "10.1.2.3/16" } }')"
wrong "peers in a network of IPv6" "› allowed_ips[1]: '2001:DB8:1::f001/116' is an address in the network 2001:db8:1:0:0:0:0:f000/116" \
	"$(service wireguard 'peers = { { public_key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", allowed_ips = { "2001:DB8:1::f001/116" } } }')"
wrong "all of IPv6, and more" "'::1/0' is an address in the network ::/0 [" "$(service static_network 'routes = { { to = "::1/0" } }')"
wrong "name servers twice" "the system has name_servers, too" "$(service static_network 'address = "192.0.2.5/24", name_servers = { "192.0.2.1" }'), name_servers = { \"192.0.2.2\" }"
wrong "a port of two services" "listen: tcp port 80 is taken at 192.0.2.1: httpd listens there, too" \
	"$(two httpd '' simple 'name = "web", exec = { "/bin/true" }, listen = { "tcp 192.0.2.1:80" }')"
wrong "a port of everybody and of one address" "port: tcp port 8080 is taken at 192.0.2.1: publish listens there, too" "$(two publish 'port = 8080' httpd 'port = 8080, listen = "192.0.2.1"')"
wrong "a port of UDP twice" "listen: udp port 123 is taken at ::: ntp listens there, too" \
	"$(two ntp 'serve = true' simple 'name = "time", exec = { "/bin/true" }, listen = { "udp [::]:123" }')"
home='ssid = "home", psk = "home"'
wifi() { echo "services = { services.wifi { networks = { { $1 } } ${2-} } }"; }
wrong "a wireless network without passphrase" 'psk: it names the secret' "$(wifi 'ssid = "home"')"
wrong "a passphrase of an open network" "a network that is open has no passphrase" "$(wifi "$home, security = \"open\"")"
wrong "a passphrase that is no secret" "there is no secret 'home'" "$(wifi "$home")"
wrong "somebody else's passphrase" "belongs to mail" "$(wifi "$home"), secrets = { { name = \"home\", user = \"mail\" } }, users = { { name = \"mail\" } }"
wrong "a name with too many bytes" "more than 32" "$(wifi 'ssid = ("x"):rep(33), security = "open"')"
wrong "a country by its name" "two capital letters" "$(wifi 'ssid = "home", security = "open"' ', country = "Germany"')"
wrong "a wireless network twice" "'home' is there already" "$(service wifi 'networks = { { ssid = "home", security = "open" }, { ssid = "home", security = "open" } }')"
for socket in /etc/passwd /bin/sh /boot/x /dev/null /tmp /var/guix/db/db.sqlite /run/current-system/x /var/guix/daemon-socket; do
	wrong "a socket in the place of what is the system's: $socket" "daemon › socket: what is at '$socket' is the system's own, and would be removed [a path below /run" \
		"$(service daemon "socket = \"$socket\"")"
done
# The program says the same of each.
says() { "$CAIRN" publish --compression="$1" --ttl=never 2>&1 | grep -qF -- "$2"; }
for kind in foo zstd: zstd:23 gzip:-1 zst:3; do
	check "no way to compress for the program: $kind" says "$kind" "'$kind' is no way to compress"
	wrong "a way to compress that there is not: $kind" "publish › compression[1]: '$kind' is no way to compress [zstd, gzip, xz, lzip, bzip2 or none" \
		"$(service publish "compression = { \"$kind\" }")"
done
for kinds in '"zstd", "gzip:9", "xz:6", "lzip"' '"bzip2", "none", "zstd:22", "zstd:0"'; do
	taken "ways to compress: $kinds" "" "services = { require('services').publish { compression = { $kinds } } }, $(mapped '' '')"
	for kind in $(echo "$kinds" | tr -d '",'); do
		check "one for the program: $kind" says "$kind" "--ttl: 'never' is no time"
	done
done
wrong "a time that is none" "publish › ttl: '30x' is not a duration" "$(service publish 'ttl = "30x"')"
wrong "too many of them" "publish › compression: has 5 elements, more than 4" "$(service publish 'compression = { "zstd", "gzip", "xz", "lzip", "none" }')"
wrong "a private key in the store" "everybody can read" "$(service wireguard 'private_key_file = "/gnu/store/x"')"
tunnel() { service wireguard "peers = { { public_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", allowed_ips = { \"$1\" } } } ${2-}"; }
wrong "a tunnel for everything" "wireguard › peers[1]: '0.0.0.0/0' would take the place of the way to everywhere, the tunnel's own packets included [routes = false; or" \
	"$(tunnel 0.0.0.0/0)"
wrong "a tunnel for all of IPv6" "'0::/0' would take the place" "$(tunnel 0::/0)"
wrong "a key that is no secret" "wireguard › private_key_file: there is no secret 'wg'; did you mean 'wg0'?" \
	"$(service wireguard 'private_key_file = "/run/secrets/wg"'), secrets = { { name = \"wg0\" } }"
wrong "a key of a peer that is no secret" "› preshared_key_file: there is no secret 'both'" \
	"$(tunnel 10.0.0.0/8 | sed 's|allowed_ips|preshared_key_file = "/run/secrets/both", &|')"
# Containers: NAME FIELDS SERVICES
box() { echo "services.container { name = \"$1\", $2, system = { host_name = \"in\", file_systems = { { device = \"none\", mount_point = \"/\", type = \"tmpfs\" } }, services = { ${3-} } } }"; }
wire() { echo "network = { host_address = \"$1\", address = \"$2\" ${3-} }"; }
boxes() { echo "services = { $1, $2 }"; }
nets=$(wire 10.8.0.1/24 10.8.0.2/24)
wrong "two ends of one name" "container › network: the host's end of the container 'application-one' has the name ve-application-, too [host_interface names it] [$TMP/c/" \
	"$(boxes "$(box application-one "$nets")" "$(box application-two "$(wire 10.9.0.1/24 10.9.0.2/24)")")"
wrong "two wires of one address" "container › network: the host has the address 10.8.0.1 on the wire of the container 'a', too" \
	"$(boxes "$(box a "$nets")" "$(box b "$(wire 10.8.0.1/24 10.8.0.3/24)")")"
wrong "two containers of one address" "container › network: the container 'a' has the address 10.8.0.2, too" \
	"$(boxes "$(box a "$nets")" "$(box b "$(wire 10.8.0.9/24 10.8.0.2/24)")")"
wrong "the host's address twice" "container › network: another interface has the host's address 10.8.0.1" \
	"$(boxes "$(box a "$nets")" 'services.static_network { interface = "x", address = "10.8.0.1/32" }')"
wrong "an end that is another interface" "container › network: there is another interface ve-a [host_interface names" \
	"$(boxes "$(box a "$nets")" 'services.static_network { interface = "ve-a", link = { kind = "dummy" } }')"
wrong "a container out of reach" "container › network › address: '10.8.1.2' is in no network of host_address (10.8.0.1/24)" "$(boxes "$(box a "$(wire 10.8.0.1/24 10.8.1.2/16)")" nil)"
wrong "a router out of reach of the container" "host_address: '10.8.0.1' is in no network of address (10.8.1.2/24)" "$(boxes "$(box a "$(wire 10.8.0.1/24 10.8.1.2/24)")" nil)"
wrong "a router of the other family" "host_address: '10.8.0.1' is in no network of address" "$(boxes "$(box a "$(wire 10.8.0.1/24 2001:db8::1/64)")" nil)"
wrong "a router that is the container" "host_address: is the container's, too" "$(boxes "$(box a "$(wire 10.8.0.1/24 10.8.0.1/24)")" nil)"
wrong "two containers with one root" "container › state: is that of the container 'a', too" "$(boxes "$(box a 'state = "/srv/a"')" "$(box b 'state = "/srv/a"')")"
for state in / /etc /home /tmp /var/lib /var/lib/cairn/a; do
	wrong "a container whose root is the system's own: $state" \
		"container › state: '$state' is the system's own, and would be the container's root's [one of its own, such as /var/lib/containers/a]" \
		"$(boxes "$(box a "state = \"$state\"")" nil)"
done
wrong "ids of two that overlap" "container › first_id: some of its ids are those of the container 'a' [the same first_id, or one that is 65536 away]" \
	"$(boxes "$(box a 'first_id = 1000000')" "$(box b 'first_id = 1065535')")"
wrong "ids of a user" "container › first_id: some of its ids are subordinate numbers of the user 'ann'" \
	"$(boxes "$(box a 'first_id = 300000')" nil), users = { { name = \"ann\", subids = 2, subid_start = 365535 } }"
wrong "ids that a user may be given" "container › first_id: users may be given the subordinate numbers up to 165535 [a higher one]" \
	"$(boxes "$(box a 'first_id = 165535')" nil), users = { { name = \"ann\", subids = 65536 } }"
wrong "a port of the host that a container has" "container › network: tcp port 80 is taken: httpd listens there, too" \
	"$(boxes 'services.httpd {}' "$(box a 'network = "host"' 'services.httpd {}')")"
warned "a bridge that nobody makes" "container › network: no service makes the bridge 'br1'; did you mean 'br0'?" \
	"$(box a "$(wire 10.8.0.1/24 10.8.0.2/24 ', bridge = "br1"')"), services.static_network { interface = \"br0\", link = { kind = \"bridge\" } }" ''
warned "containers that have what each needs" '' "services.static_network { interface = \"br0\", link = { kind = \"bridge\" }, address = \"10.8.0.1/24\" },
	$(box a "$(wire 10.8.0.1/24 10.8.0.2/24 ', bridge = "br0"')" 'services.httpd {}'), $(box b "$(wire 10.8.0.1/24 10.8.0.3/24 ', bridge = "br0"')" 'services.httpd {}'),
	$(box c "$(wire 10.8.0.2/24 10.8.0.3/24), first_id = 2000000"), $(box d "$(wire 10.9.0.1/24 10.9.0.2/24), first_id = 2065536")" ''
wrong "no time to ask for" "there is no server to ask" "$(service ntp '')"
wrong "a job without a time" "schedule: missing" "$(service job 'name = "a", run = "b"')"
wrong "a command twice" "there is run, too" "$(service command 'name = "a", run = "b", exec = { "/b" }')"
# What PID 1's own reader says is said at the line of the configuration.
at() { wrong "$1" "system.lua:12: $2" "services = { services.$3 }"; }
at "a day that is none" "job 'b' › schedule: 'Mno 3:00': expected weekdays such as Mon..Fri, or a date MONTH-DAY; did you mean 'Mon'?" \
	'job { name = "b", run = "x", schedule = "Mno 3:00" }'
at "one time of several" "job 'b' › schedule: 'dayly': expected a time HOUR:MINUTE[:SECOND]; did you mean 'daily'?" \
	'job { name = "b", run = "x", schedule = { "daily", "dayly" } }'
at "a unit of time that is none" "job › every: '5mins' is not a duration such as '250ms', '90s', '15min', '2h' or '1d'" \
	'job { name = "b", run = "x", every = "5mins" }'
at "a time that only commands read" "upgrade › trial: '5mins' is not a duration" 'upgrade { trial = "5mins" }'
at "a program without its directory" "job 'b' › exec: 'tar': needs the absolute path of a program [one of a package: require \"packages.busybox\" .. \"/bin/tar\"]" \
	'job { name = "b", exec = { "tar" }, schedule = "daily" }'
at "no program at all" "simple 'a' › exec: needs the absolute path" 'simple { name = "a", exec = {} }'
at "a capability that is nearly one" "command 'c' › capabilities: unknown capability 'net_amdin'; did you mean 'net_admin'?" \
	'command { name = "c", run = "x", capabilities = { "net_amdin" } }'
at "all that root needs, for a user" "simple › ambient_capabilities: 'default' would make a user as good as root" \
	'simple { name = "a", exec = { "/bin/a" }, user = "nobody", ambient_capabilities = { "default", "net_bind_service" } }'
at "and for that of a command" "command › ambient_capabilities: 'all' would make a user as good as root" \
	'command { name = "c", run = "x", user = "nobody", ambient_capabilities = { "all" } }'
at "what root has anyway" "command › ambient_capabilities: root has all of capabilities" \
	'command { name = "c", run = "x", ambient_capabilities = { "net_raw" } }'
at "more than it can have" "command 'c': a capability that is to be kept is not among" \
	'command { name = "c", run = "x", user = "nobody", capabilities = {}, ambient_capabilities = { "net_raw" } }'
at "a kind of socket" "simple 'a' › listen: unknown value 'tpc' [did you mean 'tcp'?]" \
	'simple { name = "a", exec = { "/bin/a" }, listen = { "tpc 0.0.0.0:80" } }'
at "a port without an address" "simple 'a' › listen: 'tcp 80': expected IP:PORT" \
	'simple { name = "a", exec = { "/bin/a" }, listen = { "tcp 80" } }'
at "an option of a socket" "simple 'a' › listen: unknown option 'mdoe'; did you mean 'mode'?" \
	'simple { name = "a", exec = { "/bin/a" }, listen = { "stream /run/x mdoe=0666" } }'
at "a limit" "simple 'a' › limit: unknown resource 'nofiles'; did you mean 'nofile'?" 'simple { name = "a", exec = { "/bin/a" }, limit = { "nofiles 100" } }'
at "a signal" "simple 'a' › stop_signal: unknown signal 'TREM'; did you mean 'TERM'?" \
	'simple { name = "a", exec = { "/bin/a" }, stop_signal = "TREM" }'
at "what does not go together" "simple 'a': a oneshot cannot restart always" \
	'simple { name = "a", exec = { "/bin/a" }, type = "oneshot", restart = "always" }'
at "a setting of PID 1" "logs › size: must be a size such as 512K or 2G" 'logs { size = "99999999999T" }'

# Names of what modules have.
at "a type of service" "there is no module 'services.opnssh'; did you mean 'services.openssh'?" 'opnssh {}'
at "a type of service that is none" "there is no module 'services.sshd' [cairn system search finds services]" 'sshd {}'
names() { wrong "$1" "system.lua:12: $2" "$3"; }
names "a package" "there is no module 'packages.bussybox'; did you mean 'packages.busybox'?" 'packages = { require "packages.bussybox" }'
names "a package that there is not" "there is no module 'packages.emacs' [cairn package search finds packages]" 'packages = { require "packages.emacs" }'
names "a package by name" "there is no package 'hlelo'; did you mean 'hello'?" 'packages = { find_package "hlelo" }'
names "a constructor" "system has no field 'usr'; did you mean 'user'?" 'users = { system.usr { name = "a" } }'
names "a variable" "variable 'sytem' is not defined; did you mean 'system'?" 'users = { sytem.user { name = "a" } }'
names "a variable that is a module" "variable 'packages' is not defined [require \"packages.NAME\" is a package]" 'packages = { packages.curl }'
names "a base service" "services.base: there is no base service 'dhpc' to leave out; did you mean 'dhcp'?" 'services = services.base { without = { "dhpc" } }'

# Accounts and services that are only named.
at "a user of a job" "job 'b' › user: there is no user 'bakcup'; did you mean 'backup'?" \
	'job { name = "b", run = "x", every = "1h", user = "bakcup" }, services.command { name = "c", run = "x", user = "backup", account = true }'
at "a user that could be made" "command 'c' › user: there is no user 'web' [account = true makes it]" 'command { name = "c", run = "x", user = "web" }'
at "a user of a program" "simple 'a' › user: there is no user 'nobdy'; did you mean 'nobody'?" 'simple { name = "a", exec = { "/bin/a" }, user = "nobdy" }'
at "a group of a program" "simple 'a' › group: there is no group 'weel'; did you mean 'wheel'?" 'simple { name = "a", exec = { "/bin/a" }, group = "weel" }'
at "a further group" "simple 'a' › groups: there is no group 'vidoe'; did you mean 'video'?" \
	'simple { name = "a", exec = { "/bin/a" }, groups = { "vidoe" } }'
at "who may control it" "simple 'a' › control: there is no group 'wheell'" 'simple { name = "a", exec = { "/bin/a" }, control = { "group:wheell" } }'
at "whose socket it is" "simple 'a' › listen: there is no user 'rooot'" \
	'simple { name = "a", exec = { "/bin/a" }, listen = { "stream /run/a user=rooot" } }'
at "a rule of doas" "doas_rule › user: there is no user 'rot'; did you mean 'root'?" 'doas { rules = { { user = "rot" } } }'
at "a group of doas" "doas_rule › group: there is no group 'whel'" 'doas { rules = { { group = "whel" } } }'
at "as whom" "doas_rule › as: there is no user 'rot'" 'doas { rules = { { user = "root", as = "rot" } } }'
at "whose keys" "openssh › authorized_keys: there is no user 'rot'; did you mean 'root'?" 'openssh { authorized_keys = { rot = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx" } } }'
ed=AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx
key() { at "$1" "openssh › authorized_keys['root'][1]: $3" "openssh { authorized_keys = { root = { $2 } } }"; }
key "a key that is none" '"foo bar"' "the server knows no keys of the kind 'foo' [it knows ssh-ed25519]"
key "a key of another kind" '"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQB4 ann"' "the server knows no keys of the kind 'ssh-rsa'"
key "a key that was cut" "\"ssh-ed25519 ${ed%?????} ann\"" "the key is not all there, or not one of ssh-ed25519"
key "a key with more behind it" "\"ssh-ed25519 ${ed}AAAA\"" "the key is not all there"
key "a key without its kind" "\"$ed ann\"" "the server knows no keys of the kind"
key "two keys in one" "\"ssh-ed25519 $ed\\nssh-ed25519 $ed\"" "holds several lines"
cat >"$TMP/world/packages/dropbear.lua" <<'LUA'
return require "packages.openssh"
LUA
at "a kind that Dropbear does not know" "dropbear › authorized_keys['root'][1]: the server knows no keys of the kind 'ssh-dss' [it knows ssh-ed25519, ssh-rsa, " \
	'dropbear { authorized_keys = { root = { "ssh-dss AAAA" } } }'
at "a key of Dropbear's that was cut" "dropbear › authorized_keys['root'][1]: the key is not all there" \
	"dropbear { authorized_keys = { root = { \"ssh-ed25519 ${ed%?????}\" } } }"
at "each of them is looked at" "dropbear › authorized_keys['root'][4]: the key is not all there" 'dropbear { authorized_keys = { root = {
	"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA0PIRhZt8/L4U2HPhTZR5gb+1N4sWx64gM7A/NWvkwJ72sL6eYUfno/MYhYubeCew866ibO9tsSVAW01sf3aOU= x",
	"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsxAAAABHNzaDo= x",
	"restrict,command=\"ls, -l\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx bob", "ssh-rsa AAAAB3NzaC1yc2E=" } } }'
key "the name of a file of keys" '"ann.pub"' "is no public key, as 'ssh-ed25519 AAAA… ann@home' [read_file"
# What stands before a key is what the server takes, or it would leave the key out.
before() { key "$1" "'$2 ssh-ed25519 $ed ann'" "$3"; }
before "an option that no server has" no-ptty "the server takes no option 'no-ptty' before a key [it takes X11-forwarding, agent-forwarding, cert-authority"
before "one of several" 'restrict,from="192.0.2.0/24,!192.0.2.7",no-ptty' "the server takes no option 'no-ptty'"
for option in from=192.0.2.1 'command="ls' 'no-pty,' 'no-pty="x"' 'from=""x' 'command="a \\"'; do
	before "options that are not written so: $option" "$option" "before the key, '"
done
key "a key that was cut, behind options" "'no-pty ssh-ed25519 ${ed%?????}'" "the key is not all there"
at "an option that Dropbear does not take" "dropbear › authorized_keys['root'][1]: the server takes no option 'from' before a key [it takes command, no-X11-forwarding, " \
	"dropbear { authorized_keys = { root = { 'from=\"192.0.2.1\" ssh-ed25519 $ed' } } }"
at "a value that Dropbear reads otherwise" "dropbear › authorized_keys['root'][1]: before the key, 'command=" \
	"dropbear { authorized_keys = { root = { 'command=\"a \\\\\"b c\\\\\"\" ssh-ed25519 $ed' } } }"
key "a private key of SSH" '"-----BEGIN OPENSSH PRIVATE KEY-----\nx"' "is a private key"
for line in "PasswordAuthentication yes" "Passwordauthentication yes" "Port 23" "Subsystem sftp internal-sftp" "SUBSYSTEM  Sftp /x"; do
	at "'$line', which is a field" "openssh › settings: '$line': the field " "openssh { settings = { \"$line\" } }"
done
at "what must be up after an upgrade" "upgrade › services: there is no service 'bse'; did you mean 'base'?" 'upgrade { services = { "bse" } }'
wrong "whose a directory is" "directory › user: there is no user 'rooot'" 'directories = { { path = "/srv/x", user = "rooot" } }'
# What the system needs as it is: nobody gets it, and nothing is mounted over it.
own="is the system's own, and root alone"
closed="is the system's own, and would be closed to others"
wrong "a directory of the system, for a user" "› user: '/etc' $own has it" 'directories = { { path = "/etc", user = "nobody" } }'
wrong "one below what it alone writes to" "› user: '/var/guix/profiles/x' $own has it" 'directories = { { path = "/var/guix/profiles/x", user = "nobody" } }'
wrong "one that a group may change" "› mode: '/var/log' $own changes names in it" 'directories = { { path = "/var/log", mode = "2770", group = "users" } }'
wrong "one that everybody may change" "› mode: '/usr' $own changes names in it" 'directories = { { path = "/usr", mode = "0777" } }'
wrong "one that nobody could enter" "› mode: '/var/log' $closed [a mode such as 0755]" 'directories = { { path = "/var/log", mode = "0750", group = "users" } }'
wrong "the top" "› mode: '/' $closed" 'directories = { { path = "/", mode = "0700" } }'
wrong "homes that nobody would come to" "› mode: '/home' $closed" 'directories = { { path = "/home", mode = "0710" } }'
wrong "one that all write to, each his own" "› mode: '/tmp' is for all, each his own files [1777" 'directories = { { path = "/tmp", mode = "0755", clean = true } }'
wrong "one of a service type" "mine: '/etc' $own has it" 'services = { require("system.service").service_type { name = "mine", fields = {},
	extend = function() return { activation = { { directory = "/etc", mode = "0755", user = "nobody" } } } end } {} }'
at "a job in one" "job › directory: '/' $closed [leave it out, and begin run with cd /]" 'job { name = "b", run = "x", every = "1h", user = "nobody", directory = "/" }'
at "a command in what is everybody's" "command › directory: '/tmp' $closed" 'command { name = "c", run = "x", directory = "/tmp" }'
at "a service for which one is made" "simple › directories: '/home' $closed [leave it out: it is there]" \
	'simple { name = "a", exec = { "/bin/a" }, directories = { "/srv/a", "/home" } }'
at "one of the store" "simple › directories: " 'simple { name = "a", exec = { "/bin/a" }, directories = { require "packages.busybox" .. "/bin" } }'
for where in /run /dev /sys /sys/fs/cgroup /run/cairn /run/current-system /etc/static/x /proc; do
	wrong "a file system over $where" "mount_point: '$where' has what the running system needs, and it would be hidden" \
		"file_systems = { { device = \"LABEL=a\", mount_point = \"/\" }, { device = \"LABEL=b\", mount_point = \"$where\" } }"
done
wrong "one in the store" "the store is on the root" 'file_systems = { { device = "LABEL=a", mount_point = "/" }, { device = "LABEL=b", mount_point = "/gnu/store/x" } }'
wrong "a mode of three digits" "daemon › mode: '660' is not an octal mode [0660]" "$(service daemon 'mode = "660"')"
wrong "a mode that is none" "daemon › mode: '0680' is not an octal mode" "$(service daemon 'mode = "0680"')"
wrong "a group of devices" "device_rule › group: there is no group 'vidoe'" 'device_rules = { { subsystem = "x", mode = "0660", group = "vidoe" } }'
wrong "a gate that holds too long" "health_gate › hold: all of timeout (1min) passes" 'health_gate = { timeout = "1min", hold = "60s" }'
at "who is let in on a terminal" "getty › auto_login: there is no user 'rot'; did you mean 'root'?" 'getty { terminal = "tty9", auto_login = "rot" }'
at "who has no name that one could have" "getty › auto_login: 'Ann Lee' is not a name" 'getty { terminal = "tty9", auto_login = "Ann Lee" }'
wrong "a trial without time" "upgrade › trial: '500ms' is not between 1s and 1d" "$(service upgrade 'trial = "500ms"')"
wrong "a trial of days" "upgrade › trial: '25h' is not between 1s and 1d" "$(service upgrade 'trial = "25h"')"
wrong "what the gate waits for" "health_gate › services: there is no service 'bsae'; did you mean 'base'?" 'health_gate = { services = { "bsae" } }'

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

sed 's|with {|with { services = { services.simple { name = "a", exec = { "httpd" } } } }|; /label = /,/^})/d' \
	"$TMP/c/system.lua" >"$TMP/c/set.lua"
echo ')' >>"$TMP/c/set.lua"

# An order is of use where the other service is, and what looks like another name may be one.
sed -e 's|"httpd"|"/bin/a"|; s|name = "a",|name = "web1", after = { "web2", "firewall", "dropbear", "dhcp@eth1", "postgres" },|' "$TMP/c/set.lua" >"$TMP/c/order.lua"
"$CAIRN" system build --root "$R" --modules "$TMP/world" --dry-run "$TMP/c/order.lua" >"$TMP/out" 2>"$TMP/err"
result "what may be there or not is no mistake" $?
sed -e 's|"httpd"|"/bin/a"|; s|name = "a",|name = "a", user = "nobody", directories = { "/srv", "/var/lib/a" },|' \
	-e 's|with {|with { directories = { { path = "/home", mode = "0711" }, { path = "/tmp", clean = true }, { path = "/var/tmp", mode = "1777" }, { path = "/root", mode = "0700" }, { path = "/boot", mode = "0700" }, { path = "/var/log/a", user = "nobody" } },|' \
	-e 's|{ services = { services.simple|{ file_systems = { { device = "LABEL=a", mount_point = "/" }, { type = "tmpfs", mount_point = "/dev/shm" }, { type = "proc", mount_point = "/proc", options = { "hidepid=2" } } },\n&|; s|^{ services|services|' \
	"$TMP/c/set.lua" >"$TMP/c/own.lua"
"$CAIRN" system build --root "$R" --modules "$TMP/world" --dry-run "$TMP/c/own.lua" >"$TMP/out" 2>"$TMP/err"
result "what leaves the system as it is is no mistake" $?
system=$("$CAIRN" system build --root "$R" --modules "$TMP/world" --physical "$TMP/c/own.lua" 2>"$TMP/err")
is "what is for all stays so" "$(sed -n '/^\[directory .tmp\]/,/^$/p' "$system/activation" | tr '\n' ' ')" "[directory /tmp] mode = 1777 user = root clean = yes  "

# Rules of time zones that are right, with those of all names; labels with blanks.
cat >"$TMP/c/zones.lua" <<'LUA'
local services, system, zones = require "services", require "system", require "system.zones"
for name, rule in pairs(zones.rules) do
	assert(zones.rule(name) == rule and zones.rule(rule) == rule, name)
end
for _, rule in ipairs { "CET-1CEST,M3.5.0,M10.5.0/3", "<+0530>-5:30", "EST5EDT4,M3.2.0/2:00:00,M11.1.0/-1", "XXX+3YYY,J1,J365/167", "A1", "AAA24BBB-24,0,365" } do
	assert(zones.rule(rule) == (#rule > 2 and rule or nil), rule)
end
return system.operating_system {
	host_name = "cairn", bootloader = { type = "none" },
	file_systems = { { device = "LABEL=cairn-root", mount_point = "/" }, { device = "LABEL=my data", mount_point = "/srv" } },
	swap = { { device = "PARTLABEL=more memory" } },
	services = { services.upgrade { trial = "1500ms" } },
}
LUA
system=$("$CAIRN" system build --root "$R" --modules "$TMP/world" --physical "$TMP/c/zones.lua" 2>"$TMP/err")
result "rules that are right, and blanks in labels" $?
check "of file systems" grep -q '"LABEL=my data" /srv yes$' "$R$(readlink "$system/services")/set"
check "as fstab(5) writes them" grep -q '^LABEL=my\\040data	/srv	' "$R$(readlink "$system/etc")/fstab"
check "and of swap space" grep -q 'swapon "PARTLABEL=more memory"$' "$R$(readlink "$system/services")/set"
check "the machine is told which are needed" grep -qx 'spec = LABEL=my data' "$system/devices"
wrong "a label that ends in a blank" "names no device" 'file_systems = { { device = "LABEL=x", mount_point = "/" }, { device = "LABEL=x ", mount_point = "/srv" } }'
wrong "a label with a blank on the command line" "cannot stand on the kernel's command line" 'file_systems = { { device = "LABEL=my root", mount_point = "/" } }'
wrong "a label with a blank in the initramfs" "the initramfs cannot be told of blanks" \
	'file_systems = { { device = "LABEL=x", mount_point = "/" }, { device = "LABEL=my data", mount_point = "/srv", needed_for_boot = true } }'

# Everything is shut in, but what says otherwise or makes the machine; filters are compiled.
sed -e 's|"httpd"|"/bin/a"|; s|services.simple|services.httpd { listen = "192.0.2.1" }, services.httpd { listen = "2001:db8::1", scripts = true }, services.dhcp {}, services.daemon {}, services.command { name = "c", run = "x", user = "nobody", capabilities = { "default", "net_admin" }, ambient_capabilities = { "net_admin" } }, services.command { name = "d", run = "x", user = "nobody", capabilities = { "default" } }, services.simple|' \
	-e 's|name = "a",|name = "a", private_tmp = false, capabilities = { "default", "sys_time" }, read_only_paths = { "/srv" },|' \
	"$TMP/c/set.lua" >"$TMP/c/boxes.lua"
system=$("$CAIRN" system build --root "$R" --modules "$TMP/world" --physical "$TMP/c/boxes.lua" 2>"$TMP/err")
result "a set with boxes is built" $?
set=$R$(readlink "$system/services")/set
key() { sed -n "/^\[service $1\]/,/^\[/s/^$2 = //p" "$set"; }
is "the profile by default" "$(key dhcp sandbox)" default
is "capabilities of a type" "$(key dhcp capabilities)" "default net_admin"
is "a command's are what it can have at most" "$(key c capabilities): $(key c ambient-capabilities)" "default net_admin: net_admin"
is "a user has none that were not given" "$(key d capabilities): $(key d ambient-capabilities)" "default: "
is "files are sent by what runs none" "$(key httpd@80-192.0.2.1 exec | sed 's|/gnu/store/[a-z0-9]*-||')" "httpd-1.0/bin/httpd -f -p 192.0.2.1:80 -h /srv/www -c /dev/null"
is "scripts are run at another address" "$(key httpd@80-2001_db8__1 exec | sed 's|/gnu/store/[a-z0-9]*-||')" \
	"busybox-1.0/bin/busybox httpd -f -p [2001:db8::1]:80 -h /srv/www -c /dev/null"
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
is "what is no router asks others as ever" "$(grep uplink "$set")" ""
sed -i 's|services.dhcp {}|services.dhcp { interface = "eth0" }|; s|services = {|sysctl = { ["net.ipv6.conf.all.forwarding"] = 1 }, &|' "$TMP/c/boxes.lua"
system=$("$CAIRN" system build --root "$R" --modules "$TMP/world" --physical "$TMP/c/boxes.lua" 2>"$TMP/err")
set=$R$(readlink "$system/services")/set
is "a router does before its card is switched on" "$(key dhcp@eth0 after | tr ' ' '\n' | grep uplink)" uplink@eth0
is "as it may" "$(key uplink@eth0 protect-kernel)" no
finish
