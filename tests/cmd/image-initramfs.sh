#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A whole system as an initramfs, of a small made-up closure: what the kernel would unpack is the generation's initramfs
# and the root, and nothing but the closure decides the bytes. (That it starts is shown in a machine.)
set -u
. "$SRC/tests/cmd/image.inc"
for tool in busybox mksquashfs unsquashfs; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done

# An initramfs whose size is no multiple of anything.
echo 'stage 1' >"$TMP/init"
(cd "$TMP" && echo init | busybox cpio -o -H newc 2>/dev/null | gzip -n) >"$TMP/initrd"
[ $(($(stat -c %s "$TMP/initrd") % 4)) != 0 ] || printf x >>"$TMP/initrd"
add_initrd() { # add_initrd STORE: the generation gets it
	cp "$TMP/initrd" "$1$linux/initrd"
	sed -i "s,^kernel .*,&\ninitrd $linux/initrd," "$1$system/boot/entry"
}
make_store "$TMP/a" "$(seq 1 400)"
cp -R "$TMP/a" "$TMP/bare"
add_initrd "$TMP/a"
make_closure "$TMP/closure"

write() { # write STORE DIRECTORY [OPTION...]
	prefix=$1 to=$2
	shift 2
	mkdir -p "$to.work"
	"$CAIRN" builder image-initramfs --closure "$TMP/closure" --system $system --store-prefix "$prefix" \
		--work "$to.work" -o "$to" "$@"
}
img=$TMP/img
check 'an image is written' write "$TMP/a" "$img"
check 'of three files' test "$(ls "$img" | tr '\n' ' ')" = 'bzImage cmdline initrd '
check 'the kernel' cmp "$img/bzImage" "$TMP/a$linux/bzImage"
check 'its command line' test "$(cat "$img/cmdline")" = "root=initramfs cairn.image=/root.squashfs cairn.system=$system"
size=$(stat -c %s "$TMP/initrd")
check "the generation's initramfs comes first" cmp -n "$size" "$TMP/initrd" "$img/initrd"
at=$(((size + 511) / 512 * 512))
check 'zeros follow' sh -c 'test -z "$(head -c "$2" "$1" | tail -c "$3" | tr -d "\\0")"' sh "$img/initrd" $at $((at - size))
tail -c "+$((at + 1))" "$img/initrd" >"$TMP/second"
mkdir "$TMP/x"
check 'an archive follows' sh -c 'cd "$2" && busybox cpio -i <"$1"' sh "$TMP/second" "$TMP/x"
check 'of one file' test "$(ls "$TMP/x")" = root.squashfs
check 'that ends as archives do' grep -aq 'TRAILER!!!' "$TMP/second"
check 'the root' unsquashfs -q -n -d "$TMP/tree" "$TMP/x/root.squashfs"
check 'holds the closure, byte for byte' diff -r --no-dereference "$TMP/a/gnu" "$TMP/tree/gnu"
check 'and no boot menu' test ! -e "$TMP/tree/boot/grub/grub.cfg"
check 'the first generation' test "$(readlink "$TMP/tree/var/guix/profiles/system-1-link")" = $system

# Same input, same bytes: other times, modes, order of creation, umask, time zone, user, processors.
other_store "$TMP/b"
add_initrd "$TMP/b"
chmod -R a+rX "$TMP/b"
other() {
	(
		umask 077
		TZ=Asia/Tokyo SOURCE_DATE_EPOCH=99999 LC_ALL=C.UTF-8 NIX_BUILD_CORES=3 as_other "$CAIRN" builder image-initramfs \
			--closure "$TMP/closure" --system $system --store-prefix "$TMP/b" --work "$TMP/free" -o "$TMP/free/b"
	)
}
check 'another user writes another image' other
check 'the bytes are the same' diff -r "$img" "$TMP/free/b"

# What cannot be done leaves nothing behind.
refuse() { # TEXT STORE [OPTION...]
	text=$1 store=$2
	shift 2
	if write "$store" "$TMP/bad" "$@" >"$TMP/bad.out" 2>&1; then
		echo "accepted"
		return 1
	fi
	cat "$TMP/bad.out"
	[ "$(grep -vc hdrcharset "$TMP/bad.out")" -le 2 ] && grep -qF -e "$text" "$TMP/bad.out" && [ ! -e "$TMP/bad" ]
}
check 'a system without an initramfs' refuse 'no initramfs' "$TMP/bare"
check 'a missing mksquashfs' refuse /nonexistent/mksquashfs "$TMP/a" --mksquashfs /nonexistent/mksquashfs
check 'an mksquashfs that fails' refuse 'failed: exit code 1' "$TMP/a" --mksquashfs /bin/false
printf '#!/bin/sh\ncat >/dev/null\ntruncate -s 4G "$2"\n' >"$TMP/mk-large"
chmod +x "$TMP/mk-large"
check 'a system that has no room in an archive' refuse 'larger than 4 GiB, an initramfs cannot be' "$TMP/a" --mksquashfs "$TMP/mk-large"
rm "$TMP/a$linux/bzImage"
check 'a closure without its kernel' refuse 'bzImage' "$TMP/a"
mkdir "$TMP/there"
there() { ! write "$TMP/b" "$TMP/there" && [ -d "$TMP/there" ]; }
check 'a directory that is there stays' there
finish
