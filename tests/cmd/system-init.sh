#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 600
# cairn system init: a system into a directory that stands for a mounted disk; what is refused, and what
# happens when it is cut off.
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
[ "$(id -u)" = 0 ] || { echo "skip: not root, so files cannot be root's"; exit 77; }
for tool in sfdisk setpriv unshare; do
	command -v $tool >/dev/null || { echo "skip: $tool is not installed"; exit 77; }
done
. "$SRC/tests/cmd/world.inc"
mock_grub "$TMP/world"
config=$TMP/system.lua
cp "$SRC/examples/minimal.lua" "$config"
init() { "$CAIRN" system init --root "$R" --modules "$TMP/world" --quiet "$@"; }
code() { # STATUS TEXT COMMAND...
	want=$1 text=$2
	shift 2
	"$@" >"$TMP/code" 2>&1
	got=$?
	cat "$TMP/code"
	echo "status $got"
	[ $got = "$want" ] && grep -qF -e "$text" "$TMP/code"
}
# Everything but times of directories that are not the store's, and of the installation, as lines to compare.
listing() {
	(cd "$1" && find . ! -name grubenv -printf '%p %y %m %U %G %l\n' | sort &&
		find . -type f ! -name grub.cfg -print0 | sort -z | xargs -0 sha256sum && sed 's/, 2[0-9-]* [0-9:]*, Linux/, Linux/' boot/grub/grub.cfg)
}
empty() { [ -z "$(ls -A "$1")" ]; }

# ---- Done in one go
T=$TMP/target
mkdir "$T"
check 'without a place for the boot loader' code 1 'say where the boot loader goes' init "$config" "$T"
check 'with two opinions' code 1 'contradicts' init --no-bootloader --esp "$T" "$config" "$T"
check 'not a directory' code 1 'Not a directory' init --no-bootloader "$config" "$config"
check 'no directory' code 1 'No such file' init --no-bootloader "$config" "$TMP/none"
check 'the running system' code 1 'root of the running system' init --no-bootloader "$config" /
check 'no partition' code 1 'not on a partition of its own' init --esp "$T" "$config" "$T"
check 'an ESP that is none' code 1 'No such file' init --esp "$TMP/none" --root-partition 3 "$config" "$T"
check 'and nothing was written' empty "$T"
F=$TMP/fresh
mkdir "$F"
check 'a dry run before anything is built' code 0 'derivations would be built first' init -n --root "$F" --no-bootloader "$config" "$T"
init -n --json --root "$F" --no-bootloader "$config" "$T" >"$TMP/json" 2>/dev/null
check 'as JSON' python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["dry_run"] and d["build"] > 5 and (d["items"], d["bytes"], d["needed"], d["free"]) == (0, 0, None, None), d' "$TMP/json"
check 'builds nothing' sh -c '! ls -d "$1"/gnu/store/*-system' sh "$F"
check 'and one after that' code 0 'items would be installed, 0 of them are there, ' init -n --no-bootloader "$config" "$T"
init -n --json --no-bootloader "$config" "$T" >"$TMP/json" 2>/dev/null
check 'as JSON' python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["dry_run"] and (d["build"], d["kept"], d["bytes"]) == (0, 0, 0) and d["items"] > 5 and 0 < d["needed"] < d["free"], d' "$TMP/json"
check 'write nothing' empty "$T"
check 'installs' init --no-bootloader --json "$config" "$T"
cp "$TMP/out" "$TMP/json"
listing "$T" >"$TMP/good"
check 'and says what as JSON' python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert not d["dry_run"] and d["build"] == 0 and d["items"] > 5 and d["kept"] == 0 and d["needed"] < d["free"] and d["bytes"] > 1000000, d' "$TMP/json"
system=$(readlink "$T/var/guix/profiles/system-1-link")
check 'generation 1 is the system' test -e "$T$system/boot/entry"
check 'made when it was installed' test "$(($(date +%s) - $(stat -c %Y "$T/var/guix/profiles/system-1-link")))" -lt 600
check 'the profile names it' test "$(readlink "$T/var/guix/profiles/system")" = system-1-link
check 'the store is whole and nothing else is in it' sh -c "
	'$CAIRN' store query --root '$T' -R $system | sed 's|.*/||' | sort >'$TMP/want'; ls -A '$T/gnu/store' | sort | diff - '$TMP/want'"
check 'the store verifies' sh -c "'$CAIRN' store verify --root '$T'"
check 'no deriver is claimed' sh -c "[ -z \"\$(sqlite3 '$T/var/guix/db/db.sqlite' 'select deriver from ValidPaths where deriver is not null and deriver != \"\"')\" ]"
check 'store times, owners, modes' sh -c "[ -z \"\$(find '$T/gnu/store' -mindepth 1 ! -type l \\( -newermt @1 -o ! -uid 0 -o ! -gid 0 -o -perm /222 \\))\" ]"
check '/tmp is 1777' test "$(stat -c %a "$T/tmp")" = 1777
check '/root is 0700' test "$(stat -c %a "$T/root")" = 700
check 'a boot menu' grep -q "cairn.system=$system" "$T/boot/grub/grub.cfg"
check 'an environment block' test "$(stat -c %s "$T/boot/grub/grubenv")" = 1024
check 'the configuration' cmp "$config" "$T/etc/cairn/system.lua"
check 'no marker stays' test ! -e "$T/.cairn-install"
check 'no temporary name' sh -c "[ -z \"\$(find '$T' -name '.cairn-*' -o -name '.tmp-*')\" ]"
listing "$T" >"$TMP/before"
check 'a second time is refused' code 3 'holds an installation already' init --no-bootloader "$config" "$T"
unchanged() { listing "$T" | cmp - "$TMP/before"; }
check 'and changes nothing' unchanged
check 'it can be changed as a machine, from its own store' env -u CAIRN_ROOT "$CAIRN" system reconfigure --modules "$TMP/world" --target-root "$T" "$config"
cp -a "$T" "$TMP/other"
check 'not from another one' code 3 'which could not start what is made there' "$CAIRN" system reconfigure --modules "$TMP/world" --root "$R" --target-root "$T" "$config"
check 'which changes nothing' diff -r --no-dereference "$TMP/other/var/guix/profiles" "$T/var/guix/profiles"

# ---- What is there already
mkdir -p "$TMP/f/gnu/store/abc"
check 'a foreign store' code 3 'has a store with abc in it' init --no-bootloader "$config" "$TMP/f"
check 'is not touched' test "$(cd "$TMP/f" && find . | sort | tr '\n' ' ')" = '. ./gnu ./gnu/store ./gnu/store/abc '
mkdir -p "$TMP/l/lost+found" "$TMP/l/etc/cairn" "$TMP/outside"
ln -s "$TMP/outside" "$TMP/l/gnu"
check 'a link in the way' code 1 'in the way' init --no-bootloader "$config" "$TMP/l"
check 'is not followed' empty "$TMP/outside"
rm "$TMP/l/gnu"
echo mine >"$TMP/l/etc/cairn/system.lua"
check 'goes on once it is gone' init --no-bootloader "$config" "$TMP/l"
check 'a file of another configuration is kept' grep -qx mine "$TMP/l/etc/cairn/system.lua.saved"

# ---- Boot loader
truncate -s 64M "$TMP/disk"
printf 'label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\ntype=linux\n' | sfdisk -q "$TMP/disk"
mkdir -p "$TMP/b" "$TMP/esp/EFI/BOOT" "$TMP/esp/EFI/Other"
echo other >"$TMP/esp/EFI/BOOT/BOOTX64.EFI"
echo other >"$TMP/esp/EFI/Other/x.efi"
check 'with GRUB for both' init --boot-disk "$TMP/disk" --esp "$TMP/esp" --root-partition 2 "$config" "$TMP/b"
check 'the boot sector' test "$(dd if="$TMP/disk" bs=1 skip=510 count=2 status=none | od -An -tx1 | tr -d ' ')" = 55aa
check 'the core knows the partition' sh -c "dd if='$TMP/disk' bs=1M skip=1 count=1 status=none | grep -aqx 'partition 2'"
check 'the table is as before' sh -c "sfdisk --verify '$TMP/disk' | grep -q 'No errors'"
check 'the ESP' grep -qx 'partition 2' "$TMP/esp/EFI/BOOT/BOOTX64.EFI"
check 'what stood there is kept' grep -qx other "$TMP/esp/EFI/BOOT/BOOTX64.EFI.saved"
check 'and another system is not touched' grep -qx other "$TMP/esp/EFI/Other/x.efi"
check 'only files that belong there' test "$(cd "$TMP/esp" && find . -type f | sort | tr '\n' ' ')" = './EFI/BOOT/BOOTX64.EFI ./EFI/BOOT/BOOTX64.EFI.saved ./EFI/Other/x.efi '

# ---- Kernels on the ESP, without GRUB
sed -e 's|type = "grub", timeout = 1, serial = true|type = "efi"|' \
	-e 's|{ mount_point = "/tmp"|{ device = "LABEL=ESP", mount_point = "/boot/efi", type = "vfat" },\n&|' "$config" >"$TMP/efi.lua"
mkdir -p "$TMP/efi-c/boot/efi" "$TMP/ext-d"
esp=$TMP/efi-c/boot/efi
check 'GRUB is not wanted' code 1 'does not use' init --boot-disk "$TMP/disk" --root-partition 2 "$TMP/efi.lua" "$TMP/efi-c"
check 'an ESP that is mounted elsewhere' code 1 'boot partition at /boot/efi' init --esp "$TMP/esp" --root-partition 2 "$TMP/efi.lua" "$TMP/efi-c"
check 'an ESP for a loader without one' code 1 'nothing for --esp' sh -c '
	sed "s|type = \"efi\"|type = \"extlinux\"|" "$3/efi.lua" >"$3/ext.lua"
	"$1" system init --root "$2" --modules "$3/world" --quiet --esp "$3/esp" --root-partition 2 "$3/ext.lua" "$3/ext-d"' - "$CAIRN" "$R" "$TMP"
check 'with kernels on the ESP' init --esp "$esp" --root-partition 2 "$TMP/efi.lua" "$TMP/efi-c"
check 'the program' test "$(head -c 2 "$esp/EFI/BOOT/BOOTX64.EFI")" = MZ
check 'the menu' grep -qx 'default 1' "$esp/EFI/cairn/menu"
check 'files by content' sh -c 'cd "$1" && for f in *-kernel *-initrd; do
	[ "${f%-*}" = "$(sha256sum "$f" | cut -c1-32)" ] && grep -qF " $f" menu || exit 1; done' - "$esp/EFI/cairn"
check 'no menu of GRUB' test ! -e "$TMP/efi-c/boot/grub/grub.cfg"
check 'extlinux' init --no-bootloader "$TMP/ext.lua" "$TMP/ext-d"
check 'its file names what is there' sh -c 'cd "$1" && set -- $(sed -n "s/^\t\(LINUX\|INITRD\) //p" extlinux.conf) && [ $# = 2 ] && ls "$@"' - "$TMP/ext-d/boot/extlinux"
truncate -s 4M "$TMP/blank"
mkdir "$TMP/c"
check 'a disk without a table' code 1 'blank: no GUID partition table' init --boot-disk "$TMP/blank" --root-partition 2 "$config" "$TMP/c"
check 'was not made bootable' cmp -n 4194304 "$TMP/blank" /dev/zero

# ---- Cut off: at moments spread over the time that it takes; then run again
now() { python3 -c 'import time; print(int(time.monotonic() * 1000))'; }
start=$(now)
mkdir "$TMP/timed"
init --no-bootloader "$config" "$TMP/timed" >/dev/null
took=$(($(now) - start))
cuts=8 unfinished=0 differ=0
for i in $(seq $cuts); do
	K=$TMP/kill$i
	mkdir "$K"
	k=$((i * 3 % cuts + 1)) # early ones are close together: the measured time may have been a long one
	ms=$((took * k * k / cuts / cuts))
	timeout --foreground -s KILL "$((ms / 1000)).$(printf %03d $((ms % 1000)))" "$CAIRN" system init --root "$R" --modules "$TMP/world" \
		--quiet --no-bootloader "$config" "$K" >"$TMP/k" 2>&1
	[ ! -e "$K/.cairn-install" ] || {
		unfinished=$((unfinished + 1))
		[ ! -e "$K/var/guix/profiles/system" ] || [ -e "$K/var/guix/db/db.sqlite" ] || differ=$((differ + 1))
	}
	[ ! -e "$K/.cairn-install" ] && [ -e "$K/boot/grub/grub.cfg" ] || init --no-bootloader "$config" "$K" >"$TMP/k" 2>&1 || cat "$TMP/k"
	listing "$K" | diff "$TMP/good" - || differ=$((differ + 1))
	rm -r "$K"
done
echo "# $unfinished of $cuts were cut off in the middle of $took ms"
check 'some were cut off in the middle' test $unfinished -gt 0
check 'all were completed, to the very same' test $differ = 0

# ---- Cut off at chosen places: whole items stay, half ones go
H=$TMP/half
mkdir -p "$H/.cairn-install" "$H/gnu/store"
cp -a "$TMP/l/gnu/store/." "$H/gnu/store/"
one=$(cd "$H/gnu/store" && ls -d *-busybox-1.0) two=$(cd "$H/gnu/store" && ls -d *-cairn-1.0)
rm -r "$H/gnu/store/$two"
chmod u+w "$H/gnu/store/$one/bin" "$H/gnu/store/$one/bin/busybox"
echo x >>"$H/gnu/store/$one/bin/busybox"
mkdir -p "$H/gnu/store/.cairn-$two/bin"
mkdir "$H/gnu/store/of-another-run"
size=$("$CAIRN" store query --root "$R" --size "/gnu/store/$two")
check 'what would go on' sh -c "'$CAIRN' system init -n --root '$R' --modules '$TMP/world' --quiet --no-bootloader --json '$config' '$H' >'$TMP/json'"
check 'needs no more than what is not there' python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["dry_run"] and d["kept"] == d["items"] - 1 and d["needed"] == int(sys.argv[2]), d' "$TMP/json" "$size"
check 'and takes nothing away' test -e "$H/gnu/store/of-another-run" -a -e "$H/gnu/store/.cairn-$two/bin"
check 'goes on' sh -c "'$CAIRN' system init --root '$R' --modules '$TMP/world' --quiet --no-bootloader --json '$config' '$H' >'$TMP/json'"
check 'with all but two' python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["kept"] == d["items"] - 2, d' "$TMP/json"
listing "$H" >"$TMP/halved"
check 'to the very same again' cmp "$TMP/good" "$TMP/halved"
mkdir -p "$TMP/used/.cairn-install" "$TMP/used/var/guix/profiles"
ln -s /gnu/store/00000000000000000000000000000000-x "$TMP/used/var/guix/profiles/system-7-link"
check 'a machine that has been used' code 3 'it has a generation 7' init --no-bootloader "$config" "$TMP/used"
lock() { # holds the lock while init runs
	mkdir -p "$TMP/o/.cairn-install"
	python3 - "$TMP/o/.cairn-install/lock" "$CAIRN" system init --root "$R" --modules "$TMP/world" --no-bootloader "$config" "$TMP/o" <<'PY'
import fcntl, os, struct, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
sys.exit(subprocess.call(sys.argv[2:]))
PY
}
check 'two at a time' code 3 'somebody else is installing' lock

# ---- A source that is damaged, a target that is full
D=$TMP/damage
cp -a "$R" "$D"
victim=$(ls -d "$D"/gnu/store/*-linux-1.0/bzImage)
chmod u+w "$victim"
echo damage >"$victim"
mkdir "$TMP/d"
check 'a damaged source' code 65 'is damaged where it comes from' \
	"$CAIRN" system init --root "$D" --modules "$TMP/world" --quiet --no-bootloader "$config" "$TMP/d"
check 'is not installed' test ! -e "$TMP/d/gnu/store/$(basename "$(dirname "$victim")")" -a ! -e "$TMP/d/boot/grub/grub.cfg"
small() { # SIZE: on a file system of that size
	unshare -m sh -c '
		mount -t tmpfs -o size="$1" none "$2" || exit 99
		shift 2
		"$@"
		r=$?
		find "$T" -mindepth 1
		exit $r' sh "$1" "$TMP/small" "$CAIRN" system init --root "$R" --modules "$TMP/world" --quiet --no-bootloader "$config" "$TMP/small"
}
mkdir "$TMP/small"
export T="$TMP/small"
check 'no room' code 3 'are needed' small 2M
check 'leaves nothing' sh -c "[ \$(grep -c '$TMP/small/' '$TMP/code') = 0 ]"
check 'room enough' code 0 /gnu/store small 200M
finish
