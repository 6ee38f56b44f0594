#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 600
# cairn install beside another system, killed before KILLS of its writes to the disk (see faults.c): what starts that system is there until ours is complete, what
# was not named is never written, and the same command completes it.
set -u
. "$SRC/tests/cmd/install.inc"
kills=${KILLS-6} seed=${SEED-1}
if ! ${CC:-cc} -shared -fPIC -O1 -o "$TMP/faults.so" "$SRC/tests/cmd/faults.c" || ! grep -q ld-linux "$CAIRN" ||
	! LD_PRELOAD=$TMP/faults.so "$CAIRN" --version >/dev/null 2>&1; then
	echo "skip: $CAIRN cannot be preloaded"
	exit 77
fi
parts=$TMP/parts old=$TMP/parts.old
other_system "$old" || exit 1
# Its boot code in the disk's first sector.
head -c 440 "$TMP/noise" | dd of="$old" conv=notrunc status=none
cp "$old" "$parts"
answers "$TMP/p" "$parts" 'root-partition = 5' 'esp-partition = 2' 'bios-partition = 1' 'swap-partition = 3' \
	'root-uuid = 5a7e0f3c-8f60-4c12-9d1e-2b1c5d6e7f80'
fs="$parts?offset=$((77 * 1048576))"
named_only() { # the table, the other's partition, the end of the disk
	cmp -n 16968 -i 440 "$parts" "$old" && cmp -n 33554432 -i $((45 * 1048576)) "$parts" "$old" &&
		cmp -i $((377 * 1048576)) "$parts" "$old"
}
esp() { # FILE
	mtools -c mtype -i "$TMP/part" "::/EFI/$1"
}
complete() {
	e2fsck -fn "$fs" >/dev/null 2>&1 && debugfs -R 'cat /boot/grub/grub.cfg' "$fs" 2>/dev/null | grep -q menuentry
}
# by BIOS, by UEFI: the other system's, or one that finds a complete root
starts() {
	dd if="$parts" of="$TMP/part" bs=1M skip=2 count=33 status=none
	esp Other/other.efi | cmp - "$TMP/other.efi" || return 1
	cmp -n 440 "$parts" "$old" >/dev/null || complete || { echo "the boot code is ours, the root is not complete"; return 1; }
	esp BOOT/BOOTX64.EFI >"$TMP/boot" || return 1
	cmp -s "$TMP/boot" "$TMP/other.efi" && return 0
	esp BOOT/BOOTX64.EFI.saved | cmp - "$TMP/other.efi" || return 1
	complete || { echo "BOOTX64.EFI is ours, the root is not complete"; return 1; }
}
starts_not() { ! starts; }
differs() { ! named_only; }
cut() { # NUMBER: killed before that write; 0: never
	head -c 8 /dev/zero >"$TMP/count"
	env LD_PRELOAD="$TMP/faults.so" FAULT=kill FAULT_AT="$1" FAULT_BELOW="$TMP/part" FAULT_COUNT="$TMP/count" \
		"$CAIRN" install --root "$R" --modules "$TMP/world" --quiet --answers "$TMP/p"
}
check 'undisturbed' code 0 installed cut 0
writes=$(od -An -tu8 "$TMP/count" | tr -d ' ')
check 'its writes are counted' test "$writes" -gt 100
check 'writes what was named only' named_only
check 'and starts' starts
# What this would look like.
dd if=/dev/zero of="$parts" bs=1M seek=77 count=1 conv=notrunc status=none
check 'a loader of ours without a root would be seen' starts_not
printf xxxxxxxxxxxxxxxx | dd of="$parts" bs=1 seek=$((60 * 1048576)) conv=notrunc status=none
check 'and a byte of another partition' differs
half=0 wrong=0 number=0
# Every other one is near the end, where boot loaders are written.
for at in $(awk -v n="$kills" -v seed="$seed" -v all="$writes" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%d\n", 1 + (i % 2 ? all * rand() : all - 1 - 60 * rand()) }'); do
	number=$((number + 1))
	cp --sparse=always "$old" "$parts"
	cut "$at" >"$TMP/k" 2>&1
	[ $? != 137 ] || grep -qx installed "$TMP/k" || half=$((half + 1))
	named_only >"$TMP/bad" 2>&1 && starts >>"$TMP/bad" 2>&1 || {
		echo "# kill $number of seed $seed, before write $at of $writes:"
		sed 's/^/# /' "$TMP/bad"
		wrong=$((wrong + 1))
	}
done
is 'all were killed in the middle' "$half" "$kills"
check 'none took the other system away' test $wrong = 0
check 'it is completed' code 0 installed install --answers "$TMP/p"
check 'with a sound root' e2fsck -fn "$fs"
check 'and starts' starts
check 'and has written what was named only' named_only
dd if="$parts" of="$TMP/part" bs=1M skip=2 count=33 status=none
check 'a sound ESP' fsck.fat -n "$TMP/part"
finish
