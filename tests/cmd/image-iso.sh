#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The ISO writer on a small made-up closure: sound by other tools, holds exactly what it should, and nothing
# but the closure decides its bytes. (That it starts is shown in a machine.)
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
for tool in xorriso mksquashfs unsquashfs blkid fsck.fat mkfs.fat mtools sfdisk; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done

make_store "$TMP/a" "$(seq 1 400)"
make_closure "$TMP/closure"
# Stand-ins for GRUB's parts: only their places matter here.
mkdir -p "$TMP/grub/EFI/BOOT"
seq 1 20000 | head -c 65536 >"$TMP/grub/bios.img"
seq 1 20000 | head -c 512 >"$TMP/grub/boot_hybrid.img"
seq 1 90000 >"$TMP/grub/EFI/BOOT/BOOTX64.EFI"
chmod -R a+rX "$TMP/grub"

write() { # write STORE IMAGE [OPTION...]
	prefix=$1 image=$2
	shift 2
	mkdir -p "$image.work"
	"$CAIRN" builder image-iso --closure "$TMP/closure" --system $system --store-prefix "$prefix" --label TEST_1 \
		--bios-code "${grub#"$prefix"}" --efi "${grub#"$prefix"}" --work "$image.work" -o "$image" "$@"
}
# The writer looks for GRUB's parts behind the prefix, as for everything in the store.
use_grub() {
	cp -R "$TMP/grub" "$1/grub"
	grub=$1/grub
}
use_grub "$TMP/a"
img=$TMP/a.iso
check 'an image is written' write "$TMP/a" "$img"
check 'xorriso reads it' sh -c "xorriso -indev '$img' -find / -exec report_lba 2>/dev/null >'$TMP/list' && grep -q root.squashfs '$TMP/list'"
check 'xorriso finds nothing wrong' sh -c "! xorriso -abort_on NEVER -report_about WARNING -indev '$img' -check_media -- 2>&1 | grep -iE 'error|fatal|bad'"
check 'its volume is called' sh -c "blkid -p -o value -s LABEL '$img' | grep -qx TEST_1"
uuid=$(blkid -p -o value -s UUID "$img")
check 'both boot images' sh -c "xorriso -indev '$img' -report_el_torito plain 2>/dev/null >'$TMP/boot'; grep -q 'BIOS' '$TMP/boot' && grep -q 'UEFI' '$TMP/boot'"
check 'a disk, too' sh -c "sfdisk -d '$img' 2>/dev/null | grep -q 'type=ef\\|C12A7328'"

take() { # take PATH FILE
	xorriso -osirrox on -indev "$img" -extract "$1" "$2" 2>/dev/null >/dev/null
}
check 'the menu' take /boot/grub/grub.cfg "$TMP/cfg"
check 'starts the root of this very volume' grep -q "'root=UUID=$uuid' 'rootfstype=iso9660' 'ro' 'cairn.image=/root.squashfs' 'cairn.volatile' 'cairn.system=$system'" "$TMP/cfg"
check 'whose boots GRUB has no reason to count' sh -c "xorriso -osirrox on -indev '$img' -extract /boot/grub/grubenv '$TMP/env' 2>/dev/null >/dev/null; grep -qx cairn_good=1 '$TMP/env'"
check 'and no other' sh -c "! grep -q root-of-test '$TMP/cfg'"
check 'the kernel' sh -c "xorriso -osirrox on -indev '$img' -extract /boot/bzImage '$TMP/k' 2>/dev/null >/dev/null; cmp '$TMP/k' '$TMP/a$linux/bzImage'"
check 'the FAT image' take /boot/efi.img "$TMP/efi.img"
check 'is sound' fsck.fat -n "$TMP/efi.img"
check 'holds GRUB' sh -c "mtools -c mtype -i '$TMP/efi.img' ::/EFI/BOOT/BOOTX64.EFI | cmp - '$TMP/grub/EFI/BOOT/BOOTX64.EFI'"
check 'which looks for this volume' sh -c "mtools -c mtype -i '$TMP/efi.img' ::/EFI/BOOT/grub.cfg | grep -q -- '--fs-uuid --set=root $uuid'"

check 'the root' take /root.squashfs "$TMP/root"
check 'is unpacked' unsquashfs -q -n -d "$TMP/tree" "$TMP/root"
check 'holds the closure, byte for byte' diff -r --no-dereference "$TMP/a/gnu" "$TMP/tree/gnu"
stat_is() { [ "$(stat -c '%a %u %g %Y' "$TMP/tree$1")" = "$2 0 0 1" ]; }
check 'store files are 0444' stat_is $linux/bzImage 444
check 'store programs are 0555' stat_is $tree/bin/true 555
check '/tmp is 1777' stat_is /tmp 1777
check 'the configuration is a file of its own' stat_is /etc/cairn/system.lua 644
check 'no boot menu in the root' test ! -e "$TMP/tree/boot/grub/grub.cfg"
check 'the first generation' test "$(readlink "$TMP/tree/var/guix/profiles/system-1-link")" = $system

# Same input, same bytes: other times, modes, order of creation, umask, time zone, user, processors.
other_store "$TMP/b"
use_grub "$TMP/b"
other() {
	(
		umask 077
		TZ=Asia/Tokyo SOURCE_DATE_EPOCH=99999 LC_ALL=C.UTF-8 NIX_BUILD_CORES=3 as_other "$CAIRN" builder image-iso \
			--closure "$TMP/closure" --system $system --store-prefix "$TMP/b" --label TEST_1 \
			--bios-code /grub --efi /grub --work "$TMP/free" -o "$TMP/free/b.iso"
	)
}
check 'another user writes another image' other
check 'the bytes are the same' cmp "$img" "$TMP/free/b.iso"

# What cannot be done leaves nothing behind.
grub=$TMP/a/grub
check 'a label with small letters' refuse "label 'small'" "$TMP/a" --label small
check 'a missing mksquashfs' refuse /nonexistent/mksquashfs "$TMP/a" --mksquashfs /nonexistent/mksquashfs
check 'an mksquashfs that fails' refuse 'failed: exit code 1' "$TMP/a" --mksquashfs /bin/false
check 'a missing xorriso' refuse /nonexistent/xorriso "$TMP/a" --xorriso /nonexistent/xorriso
check 'a xorriso that fails' refuse 'failed: exit code 1' "$TMP/a" --xorriso /bin/false
check 'no code for BIOS machines' refuse 'nowhere' "$TMP/a" --bios-code /nowhere --efi /nowhere
printf '[menu]\nloader = none\n' >"$TMP/a$system/boot/menu"
check 'a system without a boot loader' refuse 'needs a boot loader' "$TMP/a"
finish
