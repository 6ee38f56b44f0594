#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Random trees through every writer: other programs, and the kernel where it may mount, read back the same names, types,
# modes, owners, times, contents and targets. SEEDS says which trees.
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
for tool in mke2fs e2fsck debugfs mksquashfs unsquashfs xorriso mkfs.fat fsck.fat mtools grub-fstest busybox tar python3 nix-hash sqlite3 qemu-img; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done
if [ "${INSIDE-}" = "" ]; then # root, who can give files away; mounts end with this
	[ "$(id -u)" = 0 ] && map= || map=-Ur
	# shellcheck disable=SC2086
	unshare $map -m true 2>/dev/null || {
		echo "skip: no mount name space"
		exit 77
	}
	# shellcheck disable=SC2086
	INSIDE=1 exec unshare $map -m "$0"
fi
umask 022
random() { "$SRC/tests/cmd/random-tree" "$@"; }
root=${CAIRN_ROOT:-$HOME/.local/state/cairn}
erofs=
for dir in "$root"/gnu/store/*-erofs-utils-1.8*/bin; do # Debian's may be too old
	[ ! -x "$dir/fsck.erofs" ] || erofs=$dir
done
[ -n "$erofs" ] || echo "# without erofs: erofs-utils is not built yet"
mkdir "$TMP/mnt"
truncate -s 1M "$TMP/probe"
mke2fs -q "$TMP/probe"
kernel=
! mount -o loop,ro "$TMP/probe" "$TMP/mnt" 2>/dev/null || { umount "$TMP/mnt" && kernel=yes; }
[ -n "$kernel" ] || echo "# the kernel reads nothing: it may not mount here"

make_closure "$TMP/closure"
world() ( # SEED: a closure with a random tree in it, and what is to be read
	rm -rf "$TMP/a" "$TMP/esp"
	mkdir -p "$TMP/a/grub/EFI/BOOT" "$TMP/esp"
	make_store "$TMP/a" 1
	seq 1 9999 >"$TMP/a$linux/bzImage"
	seq 1 999 | gzip -n >"$TMP/a$linux/initrd"
	sed -i "s,^kernel .*,&\ninitrd $linux/initrd," "$TMP/a$system/boot/entry"
	seq 1 20000 | head -c 65536 >"$TMP/a/grub/bios.img"
	seq 1 20000 | head -c 512 >"$TMP/a/grub/boot_hybrid.img"
	seq 1 9000 >"$TMP/a/grub/EFI/BOOT/BOOTX64.EFI"
	random make "$1" "$TMP/a$tree/random" && random fat "$1" "$TMP/esp" && random store "$TMP/a/gnu" >"$TMP/want"
)
layout() { # TYPE
	printf '[partition root]\ncontent = root\nfile-system = %s\n' "$1"
	[ "$1" != ext4 ] || printf '[partition esp]\ncontent = esp\nsize = 40M\n'
}
write() { # TYPE IMAGE
	store="--closure $TMP/closure --system $system --store-prefix $TMP/a --work $TMP"
	case $1 in
	ext4 | squashfs | erofs) args="image-raw $store --layout $TMP/layout --no-menu --esp $TMP/esp --mkfs-erofs $erofs/mkfs.erofs" ;;
	iso9660) args="image-iso $store --label X --bios-code /grub --efi /grub" ;;
	*) args="image-$1 $store" ;;
	esac
	# shellcheck disable=SC2086
	layout "$1" >"$TMP/layout" && "$CAIRN" builder $args -o "$2"
}

# got DIRECTORY: is what was read back below it what the closure has?
got() {
	[ "$(stat -c '%a %u %g %Y' "$1/gnu" "$1/gnu/store" "$1" | sort -u)" = '755 0 0 1' ] || {
		echo 'the directories above the store'
		return 1
	}
	random list "$1/gnu" >"$TMP/got"
	# The store itself is no item.
	sed 's/^\(store 40000\) 755 /\1 555 /' "$TMP/got" | cmp "$TMP/want" - || {
		diff "$TMP/want" "$TMP/got" | cut -c1-300 | head -n 10
		return 1
	}
	[ "$(sqlite3 "$1/var/guix/db/db.sqlite" "select hash from ValidPaths where path = '$tree'")" = \
		"sha256:$(nix-hash --type sha256 "$TMP/a$tree")" ]
}
fresh() {
	rm -rf "$TMP/x"
	mkdir "$TMP/x"
}
mounted() { # IMAGE OPTIONS [TYPE]: by the kernel
	mount -o "loop,ro,$2" ${3:+-t "$3"} "$1" "$TMP/mnt" || return 1
	got "$TMP/mnt"
	r=$?
	umount "$TMP/mnt"
	return $r
}
packed() { # FILE OFFSET: squashfs
	fresh
	unsquashfs -q -n -f -o "$2" -d "$TMP/x" "$1" && got "$TMP/x"
}

read_ext4() {
	fresh
	e2fsck -fn "$1?offset=1048576" && debugfs -R "rdump / $TMP/x" "$1?offset=1048576" 2>/dev/null && chmod 755 "$TMP/x" &&
		find "$TMP/x" -type l -exec touch -h -d @1 {} + && touch -d @1 "$TMP/x" && got "$TMP/x" # these times are not read
}
grub_ext4() { # the only one that is neither e2fsprogs nor the kernel: contents of files with names it can be told
	LC_ALL=C find "$TMP/a$tree/random" -type f ! -path "$TMP/*[!a-zA-Z0-9./_-]*" | head -n 10 >"$TMP/names"
	[ -s "$TMP/names" ] && while read -r f; do
		grub-fstest "$1" cmp "(loop0,gpt1)${f#"$TMP/a"}" "$f" || { echo "$f" && return 1; }
	done <"$TMP/names"
}
read_esp() {
	size=$(stat -c %s "$1")
	fresh
	dd if="$1" of="$TMP/fat" bs=1M skip=$((size / 1048576 - 41)) count=40 status=none && fsck.fat -n "$TMP/fat" &&
		mtools -c mcopy -s -Q -n -i "$TMP/fat" ::/ "$TMP/x" && diff -r "$TMP/esp" "$TMP/x" || return 1
	find "$TMP/esp" -type f | head -n 20 | while read -r f; do
		grub-fstest "$TMP/fat" cmp "(loop0)${f#"$TMP/esp"}" "$f" || return 1
	done
}
read_squashfs() { packed "$1" 1048576; }
read_erofs() {
	fresh
	tail -c +1048577 "$1" >"$TMP/fs" && "$erofs/fsck.erofs" --extract="$TMP/x" --force --preserve --overwrite "$TMP/fs" && got "$TMP/x"
}
read_iso9660() {
	xorriso -osirrox on -indev "$1" -extract /root.squashfs "$TMP/fs" >/dev/null 2>&1 && packed "$TMP/fs" 0
}
read_initramfs() {
	skip=$((($(stat -c %s "$TMP/a$linux/initrd") + 511) / 512 * 512))
	mkdir "$TMP/cpio" && (cd "$TMP/cpio" && tail -c +$((skip + 1)) "$1/initrd" | busybox cpio -i) && packed "$TMP/cpio/root.squashfs" 0
}
untar() { tar --warning=no-unknown-keyword -C "$TMP/x" -xpf "$1"; }
read_tarball() {
	fresh
	untar "$1" && got "$TMP/x"
}
read_docker() {
	fresh
	mkdir "$TMP/oci"
	tar -C "$TMP/oci" -xf "$1" &&
		python3 -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))[0]["Layers"]))' "$TMP/oci/manifest.json" >"$TMP/layers" || return 1
	while read -r layer; do
		untar "$TMP/oci/$layer" || return 1
	done <"$TMP/layers"
	got "$TMP/x"
}

types='ext4 squashfs iso9660 initramfs docker tarball'
[ -z "$erofs" ] || types="$types erofs"
for seed in ${SEEDS-1}; do
	check "tree $seed" world "$seed"
	for t in $types; do
		rm -rf "$TMP/image" "$TMP/fs" "$TMP/cpio" "$TMP/oci"
		check "$seed: $t" write "$t" "$TMP/image"
		check "$seed: $t is read back" "read_$t" "$TMP/image"
		case $t in
		ext4)
			[ -z "$kernel" ] || check "$seed: $t, by the kernel" mounted "$TMP/image" offset=1048576,noload
			check "$seed: $t, by GRUB" grub_ext4 "$TMP/image"
			check "$seed: the ESP is read back" read_esp "$TMP/image"
			check "$seed: qcow2" "$CAIRN" builder image-qcow2 --input "$TMP/image" -o "$TMP/image.qcow2"
			check "$seed: qcow2 is read back" qemu-img compare "$TMP/image" "$TMP/image.qcow2"
			rm -f "$TMP/image.qcow2"
			;;
		squashfs | erofs) [ -z "$kernel" ] || check "$seed: $t, by the kernel" mounted "$TMP/image" offset=1048576 ;;
		esac
	done
done
finish
