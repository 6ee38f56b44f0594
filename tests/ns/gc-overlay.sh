#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A store above that of somebody else, as in the machine of `cairn system vm`: a collection deletes what is its own, and does not hide
# what it cannot delete.
set -u
if [ -z "${INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
	INSIDE=1 exec unshare -m --propagation private sh "$0"
fi
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT XDG_STATE_HOME
mount -t tmpfs none "$TMP" || exit 1 # a file system that can be the upper layer
R=$TMP/machine
mkdir -p "$R/gnu/store" "$TMP/work" "$TMP/host/gnu/store"
store() { "$CAIRN" store "$@" >"$TMP/out" 2>"$TMP/err"; }
mkdir "$TMP/tree"
echo text >"$TMP/tree/file"
store add --root "$TMP/host" "$TMP/tree"
theirs=$(cat "$TMP/out")
check "an item of the host" [ -e "$TMP/host$theirs/file" ]

collects() { # NAME
	check "$1: an item of its own" store add --root "$R" "$SRC/tests/ns/gc-overlay.sh"
	ours=$(cat "$TMP/out")
	mkdir "$R/gnu/store/left-by-a-crash"
	check "$1: collection" store gc --root "$R"
	check "$1: what is its own and dead is gone" [ ! -e "$R$ours" ]
	check "$1: so is what nobody knows" [ ! -e "$R/gnu/store/left-by-a-crash" ]
	check "$1: what is below is still seen" [ -f "$R$theirs/file" ]
	check "$1: nothing of it is said to be deleted" [ "$(grep -c "$theirs" "$TMP/out" "$TMP/err" | grep -vc ':0$')" = 0 ]
}
echo seed >"$TMP/seed"
check "the machine has a database" store add --root "$R" "$TMP/seed"
if ! mount -t overlay -o "lowerdir=$TMP/host/gnu/store,upperdir=$R/gnu/store,workdir=$TMP/work" none "$R/gnu/store"; then
	echo "skip: no overlay"
	exit 77
fi
check "the host's is seen" [ -f "$R$theirs/file" ]
collects "the store"
check "what is deleted by name is hidden" store delete --root "$R" "$theirs"
check "and gone here" [ ! -e "$R$theirs" ]
check "only here" [ -f "$TMP/host$theirs/file" ]
umount "$R/gnu/store"

# An overlay above all, seen through a second mount, which is that of the store alone.
R=$TMP/all
mkdir "$R" "$TMP/lower" "$TMP/upper" "$TMP/work2" || exit 1
check "another machine" store add --root "$TMP/lower" "$TMP/seed"
cp -a "$TMP/host$theirs" "$TMP/lower/gnu/store"
mount -t overlay -o "lowerdir=$TMP/lower,upperdir=$TMP/upper,workdir=$TMP/work2" none "$R" || exit 1
collects "the root"
mount --bind "$R/gnu/store" "$R/gnu/store"
collects "a mount of the store"
finish
