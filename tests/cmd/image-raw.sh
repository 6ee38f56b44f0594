#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The raw image writer on a small made-up closure: the disk is sound, holds exactly what it should, GRUB
# can read it, and nothing but the closure decides its bytes.
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
for tool in mke2fs e2fsck debugfs sfdisk grub-fstest sqlite3 mkfs.fat fsck.fat mtools; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done

make_store "$TMP/a" "$(seq 1 400)"
make_closure "$TMP/closure"

# Partitions at 1 MiB (GRUB's core), 2 MiB (ESP of 40 MiB), 42 MiB (root), then swap and nothing.
layout() { # layout ROOT-LINE...
	printf '[partition bios-boot]\ncontent = bios-boot\n'
	printf '[partition esp]\ncontent = esp\nsize = 40M\nlabel = ESP\n'
	printf '[partition root]\ncontent = root\n'
	printf '%s\n' "$@"
	printf '[partition swap]\ncontent = swap\nsize = 2M\nlabel = test-swap\n'
	printf '[partition data]\ncontent = empty\nsize = 3M\nflags = no-auto\n'
}
layout 'label = root-of-test' 'free = 8M' >"$TMP/layout"
chmod 644 "$TMP/layout"
mkdir -p "$TMP/esp/EFI/BOOT"
seq 1 100000 >"$TMP/esp/EFI/BOOT/BOOTX64.EFI"
chmod -R a+rX "$TMP/esp"
write() { # write STORE IMAGE [OPTION...]
	prefix=$1 image=$2
	shift 2
	mkdir -p "$image.work"
	"$CAIRN" builder image-raw --closure "$TMP/closure" --system $system --store-prefix "$prefix" \
		--layout "$TMP/layout" --esp "$TMP/esp" --mke2fs "$(command -v mke2fs)" --work "$image.work" -o "$image" "$@"
}
img=$TMP/a.raw
fs="$img?offset=$((42 * 1048576))"
look() { debugfs -R "$1" "$fs" 2>/dev/null; }
check 'an image is written' write "$TMP/a" "$img"
check 'its file system is sound' e2fsck -fn "$fs"
check 'its partition table is sound' sh -c "sfdisk --verify '$img' | grep -q 'No errors'"
dd if="$img" of="$TMP/fat" bs=1M skip=2 count=40 status=none
check 'its ESP is sound' fsck.fat -n "$TMP/fat"
check 'what is in the ESP' sh -c "mtools -c mtype -i '$img@@2M' ::/EFI/BOOT/BOOTX64.EFI | cmp - '$TMP/esp/EFI/BOOT/BOOTX64.EFI'"
check 'swap space' sh -c "blkid -p -O $(( (42 + $(dumpe2fs -h "$fs" 2>/dev/null | sed -n 's/^Block count: *//p') / 256) * 1048576)) '$img' | grep 'LABEL=\"test-swap\".*TYPE=\"swap\"'"
check 'five partitions' sh -c "sfdisk -d '$img' | grep -c 'start=' | grep -qx 5"
check 'an attribute' sh -c "sfdisk -d '$img' | grep 'name=\"data\".*attrs=\"GUID:63\"'"
check 'it is sparse' test "$(du -k "$img" | cut -f1)" -lt $(($(stat -c %s "$img") / 2048))

# What is written is what is in it: nothing twice, no zeros. (Counted for a larger system by make bench.)
economy() {
	printf '[partition root]\ncontent = root\n' >"$TMP/plain.layout"
	cp -a "$TMP/a" "$TMP/big"
	head -c 80000000 /dev/urandom >"$TMP/big$linux/more"
	set -- --closure "$TMP/closure" --system $system --store-prefix "$TMP/big" --layout "$TMP/plain.layout" --no-menu \
		--mke2fs "$(command -v mke2fs)" --work "$TMP" -o "$TMP/e.raw"
	strace -f -qq -o "$TMP/trace" -e trace=write,pwrite64,writev,pwritev "$CAIRN" builder image-raw "$@" || return 1
	bytes=$(sed -n 's/.*= \([0-9]*\)$/\1/p' "$TMP/trace" | awk '{ n += $1 } END { printf "%d", n }')
	room=$(($(stat -c %b "$TMP/e.raw") * 512))
	echo "$bytes bytes written, $room allocated"
	rm -rf "$TMP/e.raw" "$TMP/big"
	[ "$bytes" -gt 80000000 ] && [ "$bytes" -le $((room + room / 20)) ]
}
if command -v strace >/dev/null && strace true 2>/dev/null; then
	check 'what is written is what is in it' economy
else
	echo '# bytes written are not counted: no strace'
fi

# A disk of a given size: the root takes what the others leave.
check 'an image of 128 MiB' write "$TMP/a" "$TMP/s.raw" --size 128M
check 'has 128 MiB' test "$(stat -c %s "$TMP/s.raw")" = $((128 * 1048576))
check 'and a sound table' sh -c "sfdisk --verify '$TMP/s.raw' | grep -q 'No errors'"
check 'and a sound file system' e2fsck -fn "$TMP/s.raw?offset=$((42 * 1048576))"
rm -f "$TMP/s.raw"

# Contents: what comes out is what went in.
mkdir "$TMP/out.d"
look "rdump /gnu $TMP/out.d" >/dev/null
check 'the closure is in it, byte for byte' diff -r --no-dereference "$TMP/a/gnu" "$TMP/out.d/gnu"
check 'link targets are kept' test "$(readlink "$TMP/out.d$tree/long")" = "$(readlink "$TMP/a$tree/long")"
stat_is() { # PATH MODE
	look "stat $1" >"$TMP/stat"
	grep -q "Mode:  $2 " "$TMP/stat" && grep -q 'User:     0   Group:     0' "$TMP/stat" &&
		grep -q 'mtime: 0x00000001:00000000' "$TMP/stat"
}
check 'store files are 0444' stat_is $linux/bzImage 0444
check 'store programs are 0555' stat_is $tree/bin/true 0555
check 'store directories are 0555' stat_is $tree 0555
check '/tmp is 1777' stat_is /tmp 01777
check '/root is 0700' stat_is /root 0700
check 'the configuration is a file of its own' stat_is /etc/cairn/system.lua 0644
check 'the first generation' sh -c "debugfs -R 'stat /var/guix/profiles/system-1-link' '$fs' 2>/dev/null | grep -qF $system"
check 'its label' sh -c "dumpe2fs -h '$fs' 2>/dev/null | grep -q 'volume name:   root-of-test'"
check 'free space as asked for' sh -c "test \$(dumpe2fs -h '$fs' 2>/dev/null | sed -n 's/^Free blocks: *//p') -ge 2048"

# The database says the truth about the items.
look 'cat /var/guix/db/db.sqlite' >"$TMP/db.sqlite"
rows() { sqlite3 "$TMP/db.sqlite" "select path || '|' || hash || '|' || registrationTime from ValidPaths order by path"; }
expect() {
	for item in $linux $system $tree $config; do
		echo "$item|sha256:$(nix-hash --type sha256 "$TMP/a$item")|1"
	done
}
check 'hashes are those of the NARs' sh -c "[ '$(rows)' = '$(expect)' ]"
check 'references' test "$(sqlite3 "$TMP/db.sqlite" 'select count(*) from Refs')" = 3

# FAT at its borders: of 12, 16 and 32 bits, and of clusters of one sector.
fat() { # MIB BITS
	printf '[partition esp]\ncontent = esp\nsize = %dM\n[partition root]\ncontent = root\n' "$1" >"$TMP/fat.layout"
	write "$TMP/a" "$TMP/f.raw" --layout "$TMP/fat.layout" --without-store --no-menu || return 1
	dd if="$TMP/f.raw" of="$TMP/fat" bs=1M skip=1 count="$1" conv=sparse status=none
	fsck.fat -nv "$TMP/fat" >"$TMP/fsck" && grep -q "FATs, $2 bit" "$TMP/fsck" && ! grep -qi 'too few\|warning' "$TMP/fsck" &&
		mtools -c mtype -i "$TMP/f.raw@@1M" ::/EFI/BOOT/BOOTX64.EFI | cmp - "$TMP/esp/EFI/BOOT/BOOTX64.EFI" &&
		rm -f "$TMP/f.raw" "$TMP/fat"
}
for size in '8 12' '9 16' '33 16' '34 32' '256 32' '257 32'; do
	# shellcheck disable=SC2086
	check "an ESP of ${size% *} MiB" fat $size
done

# A file system without anything left.
layout 'free = 0' >"$TMP/full.layout"
check 'no room is left' write "$TMP/a" "$TMP/f.raw" --layout "$TMP/full.layout"
check 'and it is sound' e2fsck -fn "$TMP/f.raw?offset=$((42 * 1048576))"
rm -f "$TMP/f.raw"

# Without the store's items: the database knows them all the same.
layout 'free = 64M' >"$TMP/roomy"
check 'an image without store' write "$TMP/a" "$TMP/n.raw" --layout "$TMP/roomy" --without-store --no-menu
nofs="$TMP/n.raw?offset=$((42 * 1048576))"
check 'is sound' e2fsck -fn "$nofs"
check 'has no items' sh -c "debugfs -R 'ls -p /gnu/store' '$nofs' 2>/dev/null | grep -c / | grep -qx 2"
debugfs -R 'cat /var/guix/db/db.sqlite' "$nofs" 2>/dev/null >"$TMP/n.sqlite"
check 'but the same database' cmp "$TMP/db.sqlite" "$TMP/n.sqlite"
rm -f "$TMP/n.raw"

# GRUB reads the menu and the kernel with its own ext4 driver.
check 'GRUB reads the menu' sh -c "grub-fstest '$img' cat '(loop0,gpt3)/boot/grub/grub.cfg' >'$TMP/cfg' && grep -q \"set default='gen-1'\" '$TMP/cfg'"
kernel=$(sed -n "s/^\tlinux '\([^']*\)'.*/\1/p" "$TMP/cfg")
check 'GRUB reads the kernel that it names' grub-fstest "$img" cmp "(loop0,gpt3)$kernel" "$TMP/a$linux/bzImage"
inode() { debugfs -R "stat $1" "$fs" 2>/dev/null | sed -n -e 's/^Inode: \([0-9]*\) .*/\1/p' -e 's/^Links: \([0-9]*\) .*/\1/p' | tr '\n' ' '; }
check 'which is the file of the store' test "$(inode "$kernel")" = "$(inode "$linux/bzImage")"
check 'under two names' sh -c "case '$(inode "$kernel")' in ?*' 2 ') ;; *) false;; esac"
check 'GRUB reads a file of holes' grub-fstest "$img" cmp "(loop0,gpt3)$tree/zero" "$TMP/a$tree/zero"

# Same input, same bytes: other times, modes, order of creation, umask, time zone, user.
other_store "$TMP/b"
other() {
	if [ "$(id -u)" = 0 ]; then
		chmod a+x "$TMP"
		setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
	else
		"$@"
	fi
}
other() {
	(
		umask 077
		TZ=Asia/Tokyo SOURCE_DATE_EPOCH=99999 LC_ALL=C.UTF-8 as_other "$CAIRN" builder image-raw \
			--closure "$TMP/closure" --system $system --store-prefix "$TMP/b" --layout "$TMP/layout" --esp "$TMP/esp" \
			--mke2fs "$(command -v mke2fs)" --work "$TMP/free" -o "$TMP/free/b.raw"
	)
}
check 'another user writes another image' other
check 'the bytes are the same' cmp "$img" "$TMP/free/b.raw"
mkdir "$TMP/c" && cp -a "$TMP/a/gnu" "$TMP/c/"
echo changed >"$TMP/c$tree/a/b"
check 'a changed store item' write "$TMP/c" "$TMP/c.raw"
check 'makes another image' sh -c "! cmp -s '$img' '$TMP/c.raw'"

# What cannot be done leaves nothing behind.
bad_layout() { # TEXT ROOT-LINE...
	text=$1
	shift
	layout "$@" >"$TMP/bad.layout"
	refuse "$text" "$TMP/a" --layout "$TMP/bad.layout"
}
check 'a label that is too long' bad_layout 'longer than 16 bytes' 'label = 12345678901234567'
check 'a bad UUID' bad_layout 'uuid is no UUID' 'uuid = 1234'
check 'a size of no whole MiB' bad_layout 'not a number of MiB' 'size = 1000K'
check 'a root that is too small' bad_layout 'KiB are missing' 'size = 12M'
check 'two roots' bad_layout '2 root partitions' '[partition other]' 'content = root'
esp_name() { # NAME: nothing on FAT is called so
	mkdir -p "$TMP/esp/EFI" && touch "$TMP/esp/EFI/$1" && refuse "/EFI/$1: no name for FAT" "$TMP/a"
	r=$?
	rm "$TMP/esp/EFI/$1"
	return $r
}
for name in 'a~1' 'a:b' 'a?' dot. 'b c' "$(printf '\303\244')"; do
	check "a file '$name' for the ESP" esp_name "$name"
done
check 'an unknown key' bad_layout "unknown key" 'lable = x'
large_esp() {
	truncate -s 4G "$TMP/esp/EFI/large" && refuse '/EFI/large: files on FAT have less than 4 GiB' "$TMP/a"
	r=$?
	rm "$TMP/esp/EFI/large"
	return $r
}
check 'a file of 4 GiB for the ESP' large_esp
check 'a disk that is too small' refuse 'the image has 40 MiB' "$TMP/a" --size 40M
check 'a missing program' refuse mke2fs "$TMP/a" --mke2fs /nonexistent/mke2fs
mkdir "$TMP/d" && cp -a "$TMP/a/gnu" "$TMP/d/" && mkfifo "$TMP/d$tree/pipe"
check 'a pipe in the store' refuse 'neither file, directory nor link' "$TMP/d"
rm -rf "$TMP/d$tree/pipe" && rm "$TMP/d$system/boot/entry"
check 'a generation without boot data' refuse boot/entry "$TMP/d"
printf '%s\n\n1\n%s\n' $system $linux >"$TMP/closure"
check 'a closure that is not closed' refuse 'outside' "$TMP/a"
printf '%s\n\n0\n' $linux >"$TMP/closure"
check 'a closure without the system' refuse 'is not in the closure' "$TMP/a"
printf '%s\n\n5\n' $linux >"$TMP/closure"
check 'a closure cut short' refuse 'too few references' "$TMP/a"
finish
