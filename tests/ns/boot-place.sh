#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The boot loader's files are written where the configuration has its file system, and nowhere else: not on the root below, not on
# another type.
set -u
if [ -z "${INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
	INSIDE=1 exec unshare -m --propagation private sh "$0"
fi
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
B=$TMP/built R=$TMP/machine
mkdir -p "$B/boot/loader" "$R"
"$SRC/tests/cmd/mock-world" "$TMP/world" || exit 1
run() { verb=$1 && shift && "$CAIRN" system "$verb" --target-root "$R" "$@" >"$TMP/out" 2>"$TMP/err"; }

# generation DEVICE TYPE: built where nothing is mounted, and nothing looked at
generation() {
	n_built=$((${n_built:-0} + 1))
	sed "s|host_name = \"cairn\"|host_name = \"m$n_built\"|; s|type = \"grub\", timeout = 1, serial = true|type = \"extlinux\", directory = \"/boot/loader\"|
		s|.*mount_point = \"/tmp\"|		{ $1 mount_point = \"/boot/loader\", type = \"$2\" },\\n&|" "$SRC/examples/minimal.lua" >"$TMP/$n_built.lua"
	"$CAIRN" system reconfigure --root "$B" --target-root "$B" --modules "$TMP/world" "$TMP/$n_built.lua" >"$TMP/out" 2>"$TMP/err"
}
check "generation 1: BOOT, FAT" generation 'device = "LABEL=BOOT",' vfat
check "generation 2: the same" generation 'device = "LABEL=BOOT",' vfat
check "generation 3: a tmpfs" generation '' tmpfs
menu=$(readlink "$B/var/guix/profiles/system-1-link")/boot/menu
is "what a generation says of it" "$(sed -n 's/^\(mount-point\|file-system\|partition\) = //p' "$B$menu" | tr '\n' ' ')" "/boot/loader vfat LABEL=BOOT "
# The machine: a file system of its own.
mount -t tmpfs none "$R" || exit 1
cp -a "$B/." "$R/"
rm -rf "$R/boot/loader" && mkdir "$R/boot/loader"

state() { (cd "$R" && { find boot -type f -exec sha256sum {} + | sort; readlink var/guix/profiles/system; ls var/guix/profiles; readlink etc/static; }); }
refuses() {
	title=$1 why=$2
	shift 2
	before=$(state)
	run "$@"
	check "$title: refused" [ $? != 0 ]
	check "$title: why" grep -q "$why" "$TMP/err"
	is "$title: nothing was written" "$(state)" "$before"
}
refuses "BOOT-05 nothing is mounted" "no file system is mounted at $R/boot/loader, where the boot loader reads \[.*LABEL=BOOT" switch-generation 1
refuses "BOOT-05 nothing is mounted, a new configuration" "no file system is mounted at" \
	reconfigure --skip-checks --root "$R" --modules "$TMP/world" "$TMP/1.lua"
mount -t tmpfs none "$R/boot/loader"
refuses "BOOT-05 another type is mounted" "what is mounted at $R/boot/loader is tmpfs, not vfat as declared" switch-generation 1
check "what is declared is mounted" run switch-generation 3
check "and has the menu" [ -s "$R/boot/loader/extlinux/extlinux.conf" ]
finish
