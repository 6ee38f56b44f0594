#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Mapped devices of a configuration: what stage 1 opens, with which programs and modules, and what services open.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
mkdir "$TMP/c"

# build NAME DEVICES FILE_SYSTEMS: the generation at $system, the files of its initramfs below $TMP/NAME
build() {
	cat >"$TMP/c/$1.lua" <<LUA
return require("system").operating_system {
	host_name = "stone", bootloader = { type = "efi" }, kernel_modules = {}, ${fields-}
	mapped_devices = { $2 },
	file_systems = { { device = "LABEL=ESP", mount_point = "/boot/efi", type = "vfat" }, $3 },
}
LUA
	system=$("$CAIRN" system build --physical --root "$R" --modules "$TMP/world" "$TMP/c/$1.lua" 2>"$TMP/err") ||
		{ cat "$TMP/err"; return 1; }
	mkdir -p "$TMP/$1"
	gzip -dc "$R$(readlink "$system/initrd")" | (cd "$TMP/$1" && busybox cpio -id 2>/dev/null)
	services=$R$(readlink "$system/services")/set
}

# has NAME: the section [service NAME] of the set
section() {
	sed -n "/^\[service $1\]/,/^\$/p" "$services"
}

plain='{ device = "LABEL=root", mount_point = "/" }'
build none '' "$plain"
result "without mapped devices the initramfs has nothing of them" \
	"$([ ! -e "$TMP/none/mapped" ] && [ ! -e "$TMP/none/sbin/cryptsetup" ] && [ ! -e "$TMP/none/modules" ]; echo $?)"

luks='{ type = "luks", target = "root", source = "PARTLABEL=crypt", allow_discards = true, tries = 5 }'
build root "$luks, { type = \"raid\", target = \"md0\", sources = { \"PARTLABEL=a\", \"/dev/vdc\" }, level = 1 },
	{ type = \"lvm\", target = \"vg--0-my--data\", source = \"vg-0\" },
	{ type = \"luks\", target = \"keyed\", source = \"/dev/md0\", key_file = \"/srv/keys/k\" }" \
	'{ device = "/dev/mapper/root", mount_point = "/" }, { device = "/dev/mapper/keyed", mount_point = "/home" },
	{ device = "/dev/vg-0/my-data", mount_point = "/data" }, { device = "LABEL=srv", mount_point = "/srv" },
	{ device = "LABEL=lib", mount_point = "/var/lib", flags = { "no_exec" }, options = { "suid", "commit=9" } },
	{ device = "LABEL=log", mount_point = "/var/log", repair = "all", check_clean = true },
	{ mount_point = "/var/x", needed_for_boot = true, type = "tmpfs" },
	{ device = "LABEL=old", mount_point = "/var/log/cairn", may_fail = true }, { device = "LABEL=var", mount_point = "/var", mount = false },
	{ device = "/dev/md0p1", mount = false, mount_point = "/mnt" }'
[ "$(cat "$TMP/root/mapped")" = "luks needed /dev/mapper/root PARTLABEL=crypt 5 discards" ]
result "stage 1 opens what the root is on, and nothing else" $?
cat >"$TMP/want" <<END
/var/lib LABEL=lib ext4 noexec,suid,commit=9 -p
/var/log LABEL=log ext4 defaults -yf
/var/x tmpfs tmpfs defaults -
END
cmp -s "$TMP/want" "$TMP/root/mounts"
result "stage 1 mounts what is needed for boot" $?
[ "$(cd "$TMP/root/modules" && cat order | tr '\n' ' ')" = "dm-crypt.ko xts.ko ecb.ko aes_generic.ko aesni-intel.ko " ]
result "the modules for it are there" $?
[ -x "$TMP/root/sbin/cryptsetup" ] && [ ! -e "$TMP/root/sbin/mdadm" ] && [ ! -e "$TMP/root/sbin/lvm" ]
result "its program is, and no other" $?
! grep -q "^\[service mapped@root\]" "$services" && ! grep -q "^\[service mount@var-lib\]" "$services"
result "no service opens or mounts that again" $?
section mapped@md0 | grep -q "^exec = .*open-raid .*/sbin/mdadm raid1 /dev/md0 - PARTLABEL=a /dev/vdc\$"
result "an array is opened by a service" $?
section mapped@md0 | grep -q "^stop-exec = .*/mdadm --stop /dev/md0"
result "and closed by it" $?
section mapped@keyed | tr '\n' ' ' | grep -q "requires = activation devices mapped@md0 after = mount@srv "
result "a key file's file system comes first, and so does the device below" $?
section mapped@vg--0-my--data | grep -q "^exec = .*/dev/mapper/vg--0-my--data vg-0/my-data\$"
result "names of volumes are read back" $?
section mount@data | grep -q "^requires = .*mapped@vg--0-my--data" && section mount@home | grep -q "^requires = .*mapped@keyed"
result "file systems wait for their devices" $?
grep -q "PARTLABEL=crypt" "$system/devices" && ! grep -q "/dev/mapper" "$system/devices"
result "a reconfiguration looks for the disk, not for what is opened from it" $?

build chain '{ type = "luks", target = "pv", source = "/dev/md/both" }, { type = "raid", target = "both", source = "UUID=01234567:89abcdef:01234567:89abcdef" },
	{ type = "lvm", target = "vg-root", source = "vg" }, { type = "luks", target = "data", source = "PARTLABEL=data" }' \
	'{ device = "/dev/mapper/vg-root", mount_point = "/" }, { device = "/dev/mapper/data", mount_point = "/data", may_fail = true }'
cat >"$TMP/want" <<END
raid needed /dev/md/both 01234567:89abcdef:01234567:89abcdef
luks needed /dev/mapper/pv /dev/md/both 3 -
lvm needed /dev/mapper/vg-root vg/root
luks wanted /dev/mapper/data PARTLABEL=data 3 -
END
cmp -s "$TMP/want" "$TMP/chain/mapped"
result "a chain is opened from the disks on; what asks for a passphrase, in stage 1" $?
[ -x "$TMP/chain/sbin/cryptsetup" ] && [ -x "$TMP/chain/sbin/mdadm" ] && [ -x "$TMP/chain/sbin/lvm" ] &&
	[ -e "$TMP/chain/modules/raid456.ko" ]
result "with all programs, and modules of all levels" $?
section mapped@data | grep -q "^exec = .* PARTLABEL=data -\$"
result "its service knows of no key, and closes it" $?

# ---- the keyboard, where there is something to type
initrd() { # initrd NAME DEVICES FIELDS: the initramfs with and without a layout, and the file of it
	fields="$3" build "$1-us" "$2" "$plain" && printf '%s ' "$(readlink "$system/initrd")"
	fields="$3 keyboard = \"de-latin1\"," build "$1" "$2" "$plain" && readlink "$system/initrd"
	[ ! -e "$TMP/$1-us/keymap" ] || echo "a layout that nobody asked for"
}
changed() { [ "$1" != "$2" ] && cmp -s "$TMP/$3/keymap" "$W/packages/world/keymaps/share/keymaps/de-latin1.bmap"; }
same() { [ -n "$2" ] && [ "$1" = "$2" ] && [ ! -e "$TMP/$3/keymap" ]; }
check "the shell of the initramfs has the layout" changed $(initrd shell '' '') shell
check "so has who is asked for a passphrase" changed $(initrd ask "$luks" 'initrd_rescue = false,') ask
check "also for what is not needed" changed $(initrd wanted '{ type = "luks", target = "x", source = "LABEL=x" }' 'initrd_rescue = false,') wanted
check "where nothing is typed the initramfs is the same" same $(initrd mute '' 'initrd_rescue = false,') mute
check "and where a file has the key" same $(initrd keyed '{ type = "luks", target = "x", source = "LABEL=x", key_file = "/etc/k" },
	{ type = "raid", target = "md0", source = "UUID=01234567:89abcdef:01234567:89abcdef" }' 'initrd_rescue = false,') keyed

# ---- types of file systems that stage 1 mounts
build types '' "$plain, { device = \"LABEL=h\", mount_point = \"/home\", type = \"xfs\", needed_for_boot = true },
	{ device = \"LABEL=o\", mount_point = \"/opt\", type = \"f2fs\" },
	{ device = \"LABEL=n\", mount_point = \"/n\", type = \"ntfs3\", mount = false }"
[ -e "$TMP/types/modules/xfs.ko" ] && [ ! -e "$TMP/types/modules/f2fs.ko" ]
result "what stage 1 mounts has its module there" $?
for type in 9p virtiofs; do
	modules="$type.ko "
	[ $type != 9p ] || modules="9p.ko 9pnet_virtio.ko "
	build host-$type '' "$plain, { device = \"logs\", mount_point = \"/var/log\", type = \"$type\" }"
	is "what the host shares: $type" "$(cat "$TMP/host-$type/mounts"; tr '\n' ' ' <"$TMP/host-$type/modules/order")" "/var/log logs $type defaults -
$modules"
done
# Below a root that is only read stage 1 mounts them so.
build erofs '' '{ device = "PARTLABEL=root", mount_point = "/", type = "erofs" }, { device = "LABEL=data", mount_point = "/var/lib", options = { "commit=9" } },
	{ device = "LABEL=log", mount_point = "/var/log", type = "xfs" }, { device = "LABEL=usr", mount_point = "/usr", flags = { "read_only" } },
	{ device = "LABEL=x", mount_point = "/srv" }'
is "those that are written to" "$(sed -n 's/^\[service \(writable@.*\)\]/\1/p' "$services" | tr '\n' ' ')" "writable@var-lib writable@var-log "
is "come before activation" "$(section activation | grep '^after')" "after = writable@var-lib writable@var-log"
section writable@var-lib | grep -q '^exec = .*-writable [^ ]*/cairn [^ ]*/e2fsck -p ext4 commit=9 LABEL=data /var/lib$'
result "as the configuration says" $?
section writable@var-log | grep -qx 'after = writable@var-lib'
result "one after the other" $?
! build nontype '' "$plain, { device = \"LABEL=x\", mount_point = \"/srv\", type = \"ntfs\" }" && grep -q "› type: the kernel has no module 'ntfs'\$" "$TMP/err"
result "of modules that nobody named, no other name is meant" $?
! build odd '' '{ device = "LABEL=root", mount_point = "/", type = "btrfs" }' >/dev/null && grep -q "no module 'btrfs'" "$TMP/err"
result "a type that the kernel has no module for fails the build" $?
finish
