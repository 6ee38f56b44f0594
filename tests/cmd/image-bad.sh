#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# "cairn system image" with what cannot be: one clear error each, the exit status as documented, before
# anything is built, and nothing left behind.
set -u
. "$SRC/tests/tap.inc"
cd "$TMP" || exit 1
config() { # FILE DEVICE TYPE
	cat >"$1" <<X
local system = require "system"

return system.operating_system {
	host_name = "test",
	file_systems = { { device = "$2", mount_point = "/", type = "$3" } },
}
X
}
config label.lua LABEL=a-name-of-17-byte ext4
config type.lua LABEL=x xfs
config good.lua LABEL=x ext4
config squashfs-label.lua LABEL=x squashfs
config squashfs.lua PARTLABEL=root squashfs
config erofs.lua LABEL=x erofs
config erofs-label.lua LABEL=1234567890123456 erofs
layout() { # FILE CONFIG PARTITIONS: a disk of one's own, with an operating system from CONFIG
	printf 'return require("image").image {\n\toperating_system = require "%s",\n\tpartitions = { %s },\n}\n' "$2" "$3" >"$1"
}
sed '/^}/i\	bootloader = { type = "extlinux" },' erofs.lua >extlinux.lua
layout no-boot.lua erofs '{ content = "root" }'
layout boot.lua good '{ content = "boot" }, { content = "root" }'
layout other.lua erofs '{ content = "boot" }, { content = "root", file_system = "squashfs" }'
layout free.lua erofs '{ content = "boot" }, { content = "root", free = "1M" }'
layout label.sq.lua squashfs '{ content = "boot" }, { content = "root", label = "x" }'
layout not-root.lua good '{ content = "root" }, { content = "empty", size = "1M", file_system = "erofs" }'
layout ext4.lua good '{ content = "root" }, { content = "ext4" }'
layout zero.lua good '{ content = "root", size = "0M" }'
layout odd.lua good '{ content = "root" }, { content = "swap", size = "1000K" }'
layout vast.lua good '{ content = "root" }, { content = "swap", size = "100000000T" }'
layout esp.lua good '{ content = "root" }, { content = "esp", label = "TWELVE-BYTES" }'
id=12345678-1234-1234-1234-123456789abc
layout twice.lua good "{ content = \"root\", uuid = \"$id\" }, { content = \"swap\", size = \"1M\", uuid = \"$id\" }"
layout boots.lua squashfs '{ content = "root" }, { content = "boot" }, { content = "boot", name = "b" }'
echo 'return 7' >number.lua
mkdir dir

# refuse NAME STATUS TEXT ARGUMENT...
refuse() {
	name=$1 status=$2 text=$3
	shift 3
	"$CAIRN" system image --root "$TMP/root" "$@" >out 2>err
	got=$?
	[ $got = "$status" ] && grep -qF -e "$text" err && [ ! -s out ] && [ "$(grep -c . err)" -le 2 ] &&
		[ ! -e image.raw ] && [ -z "$(ls -A dir)" ] && [ ! -e root/gnu ]
	result "$name ($status)" $?
}
refuse 'no configuration' 1 CONFIG
refuse 'an unknown type' 1 "'iso'" -t iso good.lua
refuse 'a size that is none' 1 "'1x' is not a size" --free 1x good.lua
refuse 'a missing configuration' 1 'none.lua: No such file' none.lua
refuse 'a configuration of something else' 1 'not an operating_system' number.lua
refuse 'a label too long for ext4' 1 'label.lua:3:' label.lua
refuse 'a root file system of another type' 1 'type.lua:3:' type.lua
refuse 'squashfs that is found by label' 1 'squashfs has neither label nor UUID' squashfs-label.lua
refuse 'a label too long for erofs' 1 'labels of erofs have at most 15 bytes' erofs-label.lua
refuse 'a root that GRUB does not read' 1 'GRUB does not read erofs' no-boot.lua
refuse 'a root that extlinux does not read' 1 'extlinux does not read erofs' extlinux.lua
refuse 'a boot partition beside a root that GRUB reads' 1 'goes with GRUB and a root of squashfs or erofs' boot.lua
refuse 'a root of one type and of another' 1 'file_systems says that the root is erofs' other.lua
refuse 'free space where there is none' 1 'erofs has no free space' free.lua
refuse '--free where there is none' 1 'erofs has no free space' --free 1M erofs.lua
refuse 'a label for squashfs' 1 'neither label nor UUID' label.sq.lua
refuse '--label for squashfs' 1 'neither label nor UUID' --label x squashfs.lua
refuse 'a file system of what is no root' 1 'only of a root' not-root.lua
refuse 'an ext4 without size' 1 'needs a size' ext4.lua
refuse 'two boot partitions' 1 'at most one boot partition' boots.lua
refuse 'a partition of nothing' 1 'a number of MiB, from 1M to 16T' zero.lua
refuse 'a partition of no whole MiB' 1 'a number of MiB' odd.lua
refuse 'a partition of 10^20 bytes' 1 'a number of MiB' vast.lua
refuse 'a label too long for FAT' 1 'labels of FAT have at most 11 bytes' esp.lua
refuse 'two partitions of one name' 1 "two partitions are called $id" twice.lua
refuse '--image-size 0' 1 'a number of MiB' --image-size 0 good.lua
refuse '--image-size of no whole MiB' 1 'a number of MiB' --image-size 1000K good.lua
refuse '--image-size that is too small' 1 'the partitions need more than 68 MiB, --image-size says 64' --image-size 64M good.lua
refuse 'an ISO label of small letters' 1 "label 'small' is not made of A-Z" -t iso9660 --label small good.lua
refuse 'an ISO label of 33 letters' 1 'at most 32' -t iso9660 --label AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA good.lua
refuse 'an output without a name' 1 "--output is a name" -o '' good.lua
refuse 'an output that is a directory' 3 'no regular file' -o dir good.lua
ln -s "$TMP/elsewhere" link
mkfifo pipe
refuse 'an output that is a link' 3 'no regular file' -o link good.lua
refuse 'an output that is a pipe' 3 'no regular file' -o pipe good.lua
refuse 'an output that is a device' 3 'no regular file' -o /dev/null good.lua
[ -c /dev/null ] && [ ! -e elsewhere ] && [ -L link ]
result 'what was there is as it was' $?
refuse 'an output in no directory' 1 'No such file' -o none/image.raw good.lua
finish
