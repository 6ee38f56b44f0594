#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# A disk that fails while an image is written to it: whichever write gets EIO or ENOSPC, be it of the writer or of a program
# it runs, there is one error with a reason, and no image. Short writes are gone on with, or refused as well. The faults come from
# faults.c; FAULTS says how many of the writes are tried of each type (0: all).
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
for tool in mke2fs mkfs.fat mtools mksquashfs xorriso gcc; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done
if ! gcc -shared -fPIC -O1 -o "$TMP/faults.so" "$SRC/tests/cmd/faults.c" ||
	! LD_PRELOAD=$TMP/faults.so "$CAIRN" --version >/dev/null 2>&1 || ! grep -q ld-linux "$CAIRN"; then
	echo "skip: $CAIRN cannot be preloaded"
	exit 77
fi
root=${CAIRN_ROOT:-$HOME/.local/state/cairn}
erofs=
for tool in "$root"/gnu/store/*-erofs-utils-1.8*/bin/mkfs.erofs; do # Debian's may be too old
	[ ! -x "$tool" ] || erofs=$tool
done
[ -n "$erofs" ] || echo "# without erofs: erofs-utils is not built yet"
# Programs are given an environment of their own.
mkdir "$TMP/bin"
for tool in mke2fs mkfs.fat mtools mksquashfs xorriso ${erofs:+mkfs.erofs}; do
	case $tool in
	mkfs.erofs) real=$erofs ;;
	*) real=$(command -v $tool) ;;
	esac
	printf '#!/bin/sh\n. "%s/env"\nexport LD_PRELOAD FAULT FAULT_AT FAULT_BELOW FAULT_COUNT\nexec "%s" "$@"\n' "$TMP" "$real" >"$TMP/bin/$tool"
done
chmod +x "$TMP"/bin/*

make_store "$TMP/a" "$(seq 1 30)"
seq 1 9999 >"$TMP/a$linux/bzImage"
seq 1 999 | gzip -n >"$TMP/a$linux/initrd"
sed -i "s,^kernel .*,&\ninitrd $linux/initrd," "$TMP/a$system/boot/entry"
head -c 300000 /dev/urandom >"$TMP/a$tree/random"
mkdir -p "$TMP/a/grub/EFI/BOOT"
seq 1 20000 | head -c 65536 >"$TMP/a/grub/bios.img"
seq 1 20000 | head -c 512 >"$TMP/a/grub/boot_hybrid.img"
seq 1 9000 >"$TMP/a/grub/EFI/BOOT/BOOTX64.EFI"
{ head -c 510 /dev/zero && printf '\125\252'; } >"$TMP/a/grub/boot.img"
seq 1 2000 >"$TMP/a/grub/core.img"
make_closure "$TMP/closure"
layout() { # ROOT-LINE...
	printf '[partition bios-boot]\ncontent = bios-boot\n[partition esp]\ncontent = esp\nsize = 8M\n'
	printf '[partition swap]\ncontent = swap\nsize = 1M\n[partition root]\ncontent = root\n'
	printf '%s\n' "$@"
}
layout 'free = 1M' >"$TMP/ext4"
for t in squashfs erofs; do
	layout "file-system = $t" '[partition boot]' 'content = boot' 'size = 16M' >"$TMP/$t"
done
truncate -s 8M "$TMP/disk"
seq 1 90000 | dd of="$TMP/disk" bs=1M seek=3 conv=notrunc 2>/dev/null

write() { # TYPE IMAGE: with what is in $WITH
	programs="--mksquashfs $TMP/bin/mksquashfs"
	fat="--mkfs-fat $TMP/bin/mkfs.fat --mtools $TMP/bin/mtools"
	store="--closure $TMP/closure --system $system --store-prefix $TMP/a --work $TMP/f/work"
	disk="--esp $TMP/a/grub/ $programs $fat --mke2fs $TMP/bin/mke2fs --mkfs-erofs $TMP/bin/mkfs.erofs --bios-code $TMP/a/grub"
	case $1 in
	ext4 | squashfs | erofs) args="image-raw $store --layout $TMP/$1 $disk" ;;
	iso9660) args="image-iso $store $programs $fat --xorriso $TMP/bin/xorriso --label X --bios-code /grub --efi /grub" ;;
	initramfs) args="image-initramfs $store $programs" ;;
	qcow2) args="image-qcow2 --input $TMP/disk" ;;
	*) args="image-$1 $store" ;;
	esac
	rm -rf "$TMP/f"
	mkdir -p "$TMP/f/work"
	head -c 8 /dev/zero >"$TMP/count"
	# shellcheck disable=SC2086
	LD_PRELOAD=$TMP/faults.so "$CAIRN" builder $args -o "$2"
}
with() { # FAULT NUMBER
	export FAULT="$1" FAULT_AT="$2" FAULT_BELOW="$TMP/f" FAULT_COUNT="$TMP/count"
	printf '%s\n' "LD_PRELOAD=$TMP/faults.so" "FAULT=$FAULT" "FAULT_AT=$FAULT_AT" "FAULT_BELOW=$FAULT_BELOW" \
		"FAULT_COUNT=$FAULT_COUNT" >"$TMP/env"
}
count() { od -An -tu8 "$TMP/count" | tr -d ' '; }
one() { # TYPE FAULT NUMBER TEXT
	with "$2" "$3"
	write "$1" "$TMP/f/image" >"$TMP/said" 2>&1
	status=$?
	if [ $status = 0 ] && diff -rq "$TMP/$1.image" "$TMP/f/image" >/dev/null; then
		# Only what makes no difference may go wrong.
		harmless=$((harmless + 1))
		return 0
	fi
	lines=$(grep -vc hdrcharset "$TMP/said")
	[ $status -gt 0 ] && [ $status -lt 100 ] && [ ! -e "$TMP/f/image" ] && [ "$lines" -ge 1 ] && [ "$lines" -le 10 ] &&
		tail -n 1 "$TMP/said" | grep -q '^cairn builder image' && grep -qE "$4" "$TMP/said" && return 0
	echo "number $3: status $status"
	ls -d "$TMP/f/image" 2>/dev/null
	cut -c1-200 "$TMP/said"
	return 1
}
sweep() { # TYPE FAULT TEXT
	harmless=0 done=0 bad=0
	i=0
	while [ $i -lt "$tries" ]; do
		at=$((1 + i * (total - 1) / (tries > 1 ? tries - 1 : 1)))
		one "$1" "$2" $at "$3" || bad=$((bad + 1))
		i=$((i + 1))
	done
	echo "$i of $total, $harmless without effect"
	[ $bad = 0 ]
}
reason='Input/output error|No space left|[Ss]hort|I/O error|failed: exit code|not be written|is full'
types='ext4 squashfs iso9660 initramfs docker tarball qcow2'
[ -z "$erofs" ] || types="$types erofs"
for t in $types; do
	with EIO 0
	check "$t" write "$t" "$TMP/f/image"
	mv "$TMP/f/image" "$TMP/$t.image"
	total=$(count)
	tries=${FAULTS-5}
	[ "$tries" != 0 ] && [ "$tries" -le "$total" ] || tries=$total
	for fault in EIO ENOSPC short; do
		check "$t: $fault at $tries of $total" sweep "$t" $fault "$reason"
	done
	rm -rf "$TMP/$t.image"
done
finish
