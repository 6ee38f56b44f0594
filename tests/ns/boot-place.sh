#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The boot loader's files are written where the configuration has its file system, and nowhere else: not on the root below, not on
# another type, not on the partition of another machine's disk. Disks are images, which a /sys of this test's own says are mounted.
set -u
if [ -z "${INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
	PATH=$PATH:/usr/sbin:/sbin
	command -v mkfs.vfat >/dev/null || { echo "skip: no mkfs.vfat [apt install dosfstools]"; exit 77; }
	INSIDE=1 exec unshare -m --propagation private sh "$0"
fi
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
B=$TMP/built R=$TMP/machine
mkdir -p "$B/boot/loader" "$R"
"$SRC/tests/cmd/mock-world" "$TMP/world" || exit 1
run() { verb=$1 && shift && "$CAIRN" system "$verb" --target-root "$R" "$@" >"$TMP/out" 2>"$TMP/err"; }

# generation DEVICE TYPE: built where nothing is mounted, and nothing looked at
generation() {
	n_built=$((${n_built:-0} + 1))
	sed "s|host_name = \"cairn\"|host_name = \"m$n_built\"|; s|type = \"grub\", timeout = 1, serial = true|type = \"extlinux\", directory = \"/boot/loader\"|
		s|.*mount_point = \"/tmp\"|		{ $1 mount_point = \"/boot/loader\", type = \"$2\" },\\n&|" "$SRC/examples/minimal.lua" >"$TMP/$n_built.lua"
	"$CAIRN" system reconfigure --root "$B" --target-root "$B" --modules "$TMP/world" "$TMP/$n_built.lua" >"$TMP/out" 2>"$TMP/err"
}
check "generation 1: BOOT, FAT" generation 'device = "LABEL=BOOT",' vfat
check "generation 2: the same" generation 'device = "LABEL=BOOT",' vfat
check "generation 3: a tmpfs" generation '' tmpfs
check "generation 4: BOOT of any type" generation 'device = "LABEL=BOOT",' auto
check "generation 5: by its number" generation 'device = "UUID=abcd-0001",' auto
check "generation 6: by a name in /dev" generation 'device = "/dev/vda1",' auto
check "generation 7: another one" generation 'device = "LABEL=OTHER",' auto
built=$(readlink "$B/var/guix/profiles/system-1-link")
is "what a generation says of it" "$(sed -n 's/^[a-z-]* = //p' "$B$built/boot/mount" | tr '\n' ' ')" "/boot/loader vfat LABEL=BOOT "
# The machine: a file system of its own.
mount -t tmpfs none "$R" || exit 1
cp -a "$B/." "$R/"
rm -rf "$R/boot/loader" && mkdir "$R/boot/loader"

state() { (cd "$R" && { find boot -type f -exec sha256sum {} + | sort; readlink var/guix/profiles/system; ls var/guix/profiles; readlink etc/static; }); }
refuses() {
	title=$1 why=$2
	shift 2
	before=$(state)
	run "$@"
	check "$title: refused" [ $? != 0 ]
	check "$title: why" grep -q "$why" "$TMP/err"
	is "$title: nothing was written" "$(state)" "$before"
}
refuses "BOOT-05 nothing is mounted" "no file system is mounted at $R/boot/loader, where the boot loader reads \[.*LABEL=BOOT" switch-generation 1
refuses "BOOT-05 nothing is mounted, a new configuration" "no file system is mounted at" \
	reconfigure --skip-checks --root "$R" --modules "$TMP/world" "$TMP/1.lua"
mount -t tmpfs none "$R/boot/loader"
refuses "BOOT-05 another type is mounted" "what is mounted at $R/boot/loader is tmpfs, not vfat as declared" switch-generation 1
check "what is declared is mounted" run switch-generation 3
check "and has the menu" [ -s "$R/boot/loader/extlinux/extlinux.conf" ]

# ---- Which partition it is. /sys is a tree of our own; what it names are images.
disk() { # NAME OPTION…: an image with a FAT file system
	truncate -s 1M "/dev/shm/cairn-$$-$1"
	name=$1
	shift
	mkfs.vfat "$@" "/dev/shm/cairn-$$-$name" >/dev/null
}
trap 'rm -f /dev/shm/cairn-$$-*' EXIT
disk vda1 -n BOOT -i ABCD0001
disk vdb1 -n BOOT -i ABCD0002
disk vdc1 -n OTHER -i ABCD0003
mount -t tmpfs none /sys
mkdir -p /sys/dev/block
for x in vda/vda1 vda/vda2 vdb/vdb1 vdc/vdc1; do
	mkdir -p "/sys/devices/$x"
	echo 1 >"/sys/devices/$x/partition"
	echo "DEVNAME=shm/cairn-$$-${x#*/}" >"/sys/devices/$x/uevent"
done
number() { awk -v at="$1" '$5 == at { print $3 }' /proc/self/mountinfo | tail -n 1; }
ln -sn ../../devices/vda/vda2 "/sys/dev/block/$(number "$R")"
# What is mounted at /boot/loader is the partition $1.
is_mounted() { ln -sfn "../../devices/${1%?}/$1" "/sys/dev/block/$(number "$R/boot/loader")"; }

is_mounted vdc1
refuses "BOOT-05 a partition with another label" "/dev/shm/cairn-$$-vdc1, mounted at $R/boot/loader, is not LABEL=BOOT" switch-generation 4
refuses "BOOT-05 a partition with another number" "is not UUID=abcd-0001" switch-generation 5
is_mounted vdb1
refuses "BOOT-05 two disks with such partitions: that of the other machine" \
	"vdb1, mounted at $R/boot/loader, is LABEL=BOOT on another disk than the root, whose own is /dev/shm/cairn-$$-vda1 \[.*PARTUUID=" switch-generation 4
refuses "BOOT-05 two disks, by number: that of the other machine" "is not UUID=abcd-0001" switch-generation 5
is_mounted vda1
check "BOOT-05 two disks: that of the root" run switch-generation 4
check "and by number, in capitals or not" run switch-generation 5
check "names in /dev are those of the machine itself" run switch-generation 6

# From BOOT to OTHER, which is mounted now. What was cut off is undone there: it was begun there.
check "back to BOOT" run switch-generation 4
is_mounted vdc1
rm -f "$R/boot/loader/extlinux/extlinux.conf"
printf '[switch]\nfrom = 4\nto = 7\nfresh = no\npath = %s\n' "$(readlink "$R/var/guix/profiles/system-7-link")" >"$R/var/guix/profiles/system.switch"
check "BOOT-05 a switch to another partition that was cut off: the next command ends it" run pin 4
check "it was undone, there" grep -q '^DEFAULT gen-4$' "$R/boot/loader/extlinux/extlinux.conf"
check "and it can be made" run switch-generation 7
refuses "BOOT-05 the way back" "vdc1, mounted at $R/boot/loader, is not LABEL=BOOT \[.*mount LABEL=BOOT at $R/boot/loader\]" switch-generation 4
is_mounted vda1
check "with BOOT it is open" run switch-generation 4
is_mounted vdb1
mkfs.vfat -n ELSE "/dev/shm/cairn-$$-vda1" >/dev/null
check "a boot partition on another disk, and none on that of the root" run switch-generation 4
rm -f /dev/shm/cairn-$$-*
check "what nobody can look at is believed" run switch-generation 5
finish
