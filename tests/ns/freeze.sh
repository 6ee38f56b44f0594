#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Freezing the file system of the boot menu: whatever happens to who does it, it is thawed again; what somebody else has frozen is not
# (tests/freeze_faults.c). The file system is an image of this test's own.
set -u
if [ -z "${INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
	PATH=$PATH:/usr/sbin:/sbin
	command -v mkfs.ext4 >/dev/null || { echo "skip: no mkfs.ext4 [apt install e2fsprogs]"; exit 77; }
	[ -e /dev/loop-control ] || { echo "skip: no loop devices"; exit 77; }
	INSIDE=1 exec unshare -m --propagation private sh "$0"
fi
. "$SRC/tests/tap.inc"
M=$TMP/disk
mkdir "$M" "$TMP/memory" || exit 1
truncate -s 16M "$TMP/image" && mkfs.ext4 -q "$TMP/image" && mount -o loop "$TMP/image" "$M" 2>"$TMP/err" || { echo "skip: $(cat "$TMP/err")"; exit 77; }
[ "$(stat -c %Hd "$M")" = 7 ] || { echo "$M is not on a loop device"; exit 1; }
trap 'fsfreeze -u "$M" 2>/dev/null; umount "$M"' EXIT
trap 'exit 1' HUP INT TERM

# Who writes waits for as long as it is frozen.
is_thawed() {
	rm -f "$TMP/written"
	{ touch "$M/file" && : >"$TMP/written"; } &
	retry [ -e "$TMP/written" ] || { fsfreeze -u "$M"; false; }
}
freeze() { "$OBJ/tests/freeze-faults" "$1" "${2:-$M}"; }
EIO="freezing the file system of the boot menu: Input/output error"

is "without a fault" "$(freeze none)" frozen
check "it is thawed" is_thawed
mount -t tmpfs none "$TMP/memory" || exit 1
is "a file system that cannot be frozen" "$(freeze none "$TMP/memory")" synced
for number in 1 13 22 25 95; do
	is "freezing fails with $number: synced" "$(freeze $number)" synced
done
is "another failure is one" "$(freeze 5)" "$EIO"
check "nothing is frozen then" is_thawed

is "killed inside the freeze" "$(freeze killed)" "$EIO"
check "the guard thaws" is_thawed
freeze alone >"$TMP/out" 2>&1
is "with who waits for it" "$?" 137
check "the guard thaws all the same" is_thawed
is "stuck inside the freeze: the guard thaws" "$(freeze stuck)" frozen
check "it is thawed" is_thawed
is "killed in a freeze that takes longer than the guard waits" "$(freeze late)" "$EIO"
check "the guard is still there" is_thawed
is "without a guard nothing is frozen" "$(freeze unguarded)" "freezing the file system of the boot menu: Broken pipe"
check "nothing is" is_thawed

fsfreeze -f "$M" || exit 1
is "what somebody else has frozen" "$(freeze none)" frozen
check "stays so" fsfreeze -u "$M"
finish
