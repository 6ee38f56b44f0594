#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
# scratch: disk
# Nothing but the closure decides the bytes of an image: each writer runs, outside of any sandbox, with one thing
# changed at a time. That a writer which looks at it would be found out is shown with a planted fault (leak.c).
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$SRC/tests/cmd/image.inc"
for tool in mke2fs mkfs.fat mtools mksquashfs xorriso gcc setpriv taskset unshare; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done
if [ "${INSIDE-}" = "" ]; then # a name space of its own, for a tmpfs
	[ "$(id -u)" = 0 ] && map= || map=-Ur
	# shellcheck disable=SC2086
	unshare $map -m true 2>/dev/null || {
		echo "skip: no mount name space"
		exit 77
	}
	# shellcheck disable=SC2086
	INSIDE=1 exec unshare $map -m "$0"
fi
mkdir "$TMP/mem"
mount -t tmpfs -o mode=755 tmpfs "$TMP/mem" || exit 1
root=${CAIRN_ROOT:-$HOME/.local/state/cairn}
erofs=
for tool in "$root"/gnu/store/*-erofs-utils-1.8*/bin/mkfs.erofs; do # Debian's may be too old
	[ ! -x "$tool" ] || { cp "$tool" "$TMP/mkfs.erofs" && erofs=$TMP/mkfs.erofs; }
done
[ -n "$erofs" ] || echo "# without erofs: erofs-utils is not built yet"

# ---- The closure, again and again
closure() { # DIRECTORY ORDER
	make_store "$1" "$2"
	seq 1 60000 >"$1$linux/bzImage"
	seq 1 9999 | gzip -n >"$1$linux/initrd"
	sed -i "s,^kernel .*,&\ninitrd $linux/initrd," "$1$system/boot/entry"
	cp "$1$tree/a/b" "$1$tree/a/b2" # equal ones, for links
	cp "$1$linux/bzImage" "$1$tree/bzImage"
	mkdir -p "$1/grub/EFI/BOOT"
	seq 1 20000 | head -c 65536 >"$1/grub/bios.img"
	seq 1 20000 | head -c 512 >"$1/grub/boot_hybrid.img"
	seq 1 9000 >"$1/grub/EFI/BOOT/BOOTX64.EFI"
	find "$1" -type f ! -perm -0100 -exec chmod 0644 {} +
	chmod -R a+rX "$1"
}
usual=$(seq 1 300)
closure "$TMP/a" "$usual"
closure "$TMP/mem/order" "$(seq 300 -1 1)"
closure "$TMP/mem/place" "$usual"
cp -a "$TMP/a" "$TMP/date"
find "$TMP/date" -exec touch -h -d 2001-01-01 {} +
cp -a "$TMP/a" "$TMP/mode"
find "$TMP/mode/gnu" -type f ! -perm -0100 -exec chmod 0604 {} +
cp -a "$TMP/a" "$TMP/links"
ln -f "$TMP/links$tree/a/b" "$TMP/links$tree/a/b2"
ln -f "$TMP/links$linux/bzImage" "$TMP/links$tree/bzImage"
make_closure "$TMP/closure"
layout() { # FILE ROOT-LINE...
	printf '[partition bios-boot]\ncontent = bios-boot\n[partition esp]\ncontent = esp\nsize = 8M\n' >"$1"
	printf '[partition swap]\ncontent = swap\nsize = 1M\n' >>"$1"
	shift
	printf '%s\n' '[partition root]' 'content = root' "$@"
}
layout "$TMP/ext4" 'free = 2M' >>"$TMP/ext4"
only_read='[partition boot]\ncontent = boot\nsize = 16M\n'
for t in squashfs erofs; do
	layout "$TMP/$t" "file-system = $t" >>"$TMP/$t"
	# shellcheck disable=SC2059
	printf "$only_read" >>"$TMP/$t"
done
truncate -s 64M "$TMP/disk"
seq 1 90000 | dd of="$TMP/disk" bs=1M seek=3 conv=notrunc 2>/dev/null
cp "$TMP/disk" "$TMP/mem/disk"
chmod a+rx "$TMP" "$TMP"/* "$TMP/mem"/*
mkdir -m 777 "$TMP/free" "$TMP/mem/free"

# ---- A clock of another day, for the writer and for the programs it runs, which are given an environment of their own
if gcc -shared -fPIC -O1 -o "$TMP/clock.so" "$SRC/tests/cmd/clock.c" &&
	LD_PRELOAD=$TMP/clock.so "$CAIRN" --version >/dev/null 2>&1 && grep -q ld-linux "$CAIRN"; then
	clock=clock
	chmod a+r "$TMP/clock.so"
	mkdir "$TMP/clock-bin"
	for tool in mke2fs mkfs.fat mtools mksquashfs xorriso; do
		printf '#!/bin/sh\nexport LD_PRELOAD=%s CLOCK_SHIFT=-800000000\nexec %s "$@"\n' "$TMP/clock.so" "$(command -v $tool)" >"$TMP/clock-bin/$tool"
	done
	chmod -R a+rx "$TMP/clock-bin"
	is "another clock" "$(LD_PRELOAD=$TMP/clock.so CLOCK_SHIFT=-800000000 date +%Y)" "$(date -d @$(($(date +%s) - 800000000)) +%Y)"
else
	clock=
	echo "# without another clock: $CAIRN cannot be preloaded"
fi

# ---- Writers
types='ext4 squashfs iso9660 initramfs docker tarball qcow2'
[ -z "$erofs" ] || types="$types erofs"

# write TYPE STORE IMAGE: through $WITH, a command that runs another.
write() {
	work=${WORK-$3.work}
	mkdir -p "$work"
	chmod 777 "$work"
	store="--closure $TMP/closure --system $system --store-prefix $2 --work $work"
	disk="--esp $2/grub --mke2fs $mke2fs --mkfs-erofs ${erofs:-none}"
	case $1 in
	ext4 | squashfs | erofs) args="image-raw $store --layout $TMP/$1 $disk" ;;
	iso9660) args="image-iso $store --label X --bios-code /grub --efi /grub" ;;
	qcow2) [ "$2" = "$TMP/mem/place" ] && args="image-qcow2 --input $TMP/mem/disk" || args="image-qcow2 --input $TMP/disk" ;;
	*) args="image-$1 $store" ;;
	esac
	# shellcheck disable=SC2086
	$WITH "$CAIRN" builder $args -o "$3" && rm -rf "$work"
}
as_it_is() { "$@"; }
as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"; }
as_umask() { (umask 077 && "$@"); }
as_zone() { TZ=Asia/Tokyo "$@"; }
as_locale() { LC_ALL=C.UTF-8 LANG=de_DE.UTF-8 "$@"; }
as_date() { SOURCE_DATE_EPOCH=99999 "$@"; }
as_cores() { NIX_BUILD_CORES=1 taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')" "$@"; }
as_clock() { PATH=$TMP/clock-bin:$PATH LD_PRELOAD=$TMP/clock.so${LD_PRELOAD:+:$LD_PRELOAD} CLOCK_SHIFT=-800000000 "$@"; }
export TZ=UTC LC_ALL=C NIX_BUILD_CORES=3
umask 022

# with VARIATION: sets WITH, STORE and TO.
with() {
	STORE=$TMP/a TO=$TMP/free/image WITH=as_it_is mke2fs=$(command -v mke2fs)
	case $1 in
	date) STORE=$TMP/date WITH=as_date ;;
	clock) WITH=as_clock mke2fs=$TMP/clock-bin/mke2fs ;;
	mode | links) STORE=$TMP/$1 ;;
	order) STORE=$TMP/mem/order ;;
	place) STORE=$TMP/mem/place TO=$TMP/mem/free/image ;;
	usual) ;;
	*) WITH=as_$1 ;;
	esac
	rm -rf "$TO"
}
variations="umask zone locale date mode order place links $clock"
[ "$(id -u)" != 0 ] || setpriv --reuid 65534 --clear-groups true 2>/dev/null && variations="user $variations"
[ "$(nproc)" = 1 ] || variations="$variations cores"
same() { # TYPE VARIATION: is the image the one of $TMP/TYPE.image?
	with "$2"
	write "$1" "$STORE" "$TO" && diff -rq "$TMP/$1.image" "$TO"
}
for t in $types; do
	with usual
	check "$t" write "$t" "$TMP/a" "$TMP/$t.image"
	for v in $variations; do
		check "$t, other $v" same "$t" "$v"
	done
done

# ---- Without room each says so, and leaves nothing
mkdir "$TMP/full"
mount -t tmpfs -o size=128k tmpfs "$TMP/full" || exit 1
full() { # TYPE
	WITH=as_it_is WORK=$TMP/full.work
	write "$1" "$TMP/a" "$TMP/full/image" && return 1
	unset WORK
	grep -qi 'no space\|exceeds free space' "$TMP/out" && [ -z "$(ls -A "$TMP/full")" ]
}
for t in $types; do
	check "$t without room" full "$t"
done

# ---- A root that is only read in a partition that is too small for it
cp -a "$TMP/a" "$TMP/big"
head -c 3000000 /dev/urandom >"$TMP/big$linux/more"
mv "$TMP/squashfs" "$TMP/squashfs.kept"
printf '[partition root]\ncontent = root\nfile-system = squashfs\nsize = 2M\n' >"$TMP/squashfs"
too_small() {
	WITH=as_it_is
	! write squashfs "$TMP/big" "$TMP/small" && grep -q 'the root needs [3-9] MiB, the partition has 2 MiB' "$TMP/out" && [ ! -e "$TMP/small" ]
}
check 'a root that does not fit' too_small
rm -rf "$TMP/big"
mv "$TMP/squashfs.kept" "$TMP/squashfs"

# ---- The test itself is tested: a writer that looks at what it must not
if ! gcc -shared -fPIC -O1 -o "$TMP/leak.so" "$SRC/tests/cmd/leak.c" ||
	! LD_PRELOAD=$TMP/leak.so "$CAIRN" --version >/dev/null 2>&1 || ! grep -q ld-linux "$CAIRN"; then
	echo "# no planted faults: $CAIRN cannot be preloaded"
else
	chmod a+r "$TMP/leak.so"
	leaky() { # TYPE: an image by the writer with the fault
		LEAK=$leak LD_PRELOAD=$TMP/leak.so write "$1" "$STORE" "$TO"
	}
	found() { # TYPE VARIATION
		leak=$2
		with usual
		WITH=as_it_is
		leaky "$1" && mv "$TO" "$TMP/leaky" && with "$2" && leaky "$1" && ! cmp "$TMP/leaky" "$TO"
	}
	for v in $variations; do
		check "a fault planted for $v is found" found tarball "$v"
	done
	for t in $types; do
		[ "$t" = initramfs ] || [ "$t" = qcow2 ] || check "a fault of $t that sees links is found" found "$t" links
	done
fi
# ---- The whole derivation, in two private roots: on the disk, and in memory with what else can be other. DERIVED says which;
# iso9660 and initramfs take long to compress.
unset CAIRN_ROOT
"$SRC/tests/cmd/mock-world" "$TMP/world" || exit 1
mock_grub "$TMP/world"
host_package "$TMP/world" e2fsprogs sbin mke2fs &&
	host_package "$TMP/world" dosfstools sbin mkfs.fat && host_package "$TMP/world" mtools bin mtools &&
	host_package "$TMP/world" squashfs-tools bin mksquashfs && host_package "$TMP/world" xorriso bin xorriso || exit 1
mkdir "$TMP/mem/r"
cp "$SRC/examples/minimal.lua" "$TMP/whole.lua"
sed 's/type = "ext4"/type = "squashfs"/; s/LABEL=[a-z-]*/PARTLABEL=root/' "$TMP/whole.lua" >"$TMP/packed.lua"
derive() { # TYPE ROOT IMAGE
	config=$TMP/whole.lua type=$1
	[ "$1" != squashfs ] || config=$TMP/packed.lua type=raw
	rm -rf "$3"
	$WITH "$CAIRN" system image -t "$type" --root "$2" --modules "$TMP/world" "$config" -o "$3"
}
other_root() { TZ=Asia/Tokyo LC_ALL=C.UTF-8 as_umask as_cores "$@"; } # not the clock: builders see no preloaded code
for t in ${DERIVED-tarball docker raw qcow2}; do
	WITH=as_it_is
	check "$t from a private root" derive $t "$TMP/r" "$TMP/one"
	WITH=other_root
	check "$t from one in memory" derive $t "$TMP/mem/r" "$TMP/mem/two"
	check 'is the same' diff -rq "$TMP/one" "$TMP/mem/two"
done
finish
