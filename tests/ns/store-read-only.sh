#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A store that is mounted read-only: commands write through a mount of their own, which nobody else sees.
set -u
if [ -z "${INSIDE:-}" ]; then
	# Builds need a second user, which a user namespace of one's own does not have.
	[ "$(id -u)" = 0 ] || { echo "skip: not root"; exit 77; }
	INSIDE=1 exec unshare -m --propagation private sh "$0"
fi
. "$SRC/tests/tap.inc"
root=$TMP/root
unset CAIRN_ROOT
store=$root/gnu/store
s() {
	sub=$1
	shift
	"$CAIRN" store "$sub" --root "$root" "$@" 2>"$TMP/err" </dev/null
}
not() { ! "$@" 2>"$TMP/err"; }
cd "$TMP" || exit 1
mkdir bb && cp "$(command -v busybox)" bb/ || { echo "skip: no busybox"; exit 77; }
echo one >one.txt
echo two >two.txt
one=$(s add --text one.txt)
# Somebody is always about to write: a mount that became read-only a moment after it was there would meet him.
(while :; do : >>"$store/.writer"; done) 2>/dev/null &
writer=$!
often() {
	for i in $(seq 100); do
		"$CAIRN" store protect "$store" || return 1
		[ "$i" = 100 ] || umount "$store" || return 1
	done
}
check "the store becomes read-only under writers" often
kill $writer
check "once" sh -c '"$CAIRN" store protect "$0" && [ "$(grep -c " $0 " /proc/mounts)" = 1 ]' "$store"
check "a store that is not there is no success" not "$CAIRN" store protect "$TMP/none"

check "a stray write is refused" not sh -c 'echo stray >"$0/stray"' "$store"
check "so is a deletion" not rm -f "$root$one"
check "because of the mount" grep -qi "read-only" err
two=$(s add --text two.txt)
check "an item is added" [ "$(cat "$root$two")" = two ]
cat >made.lua <<'END'
local bb = source("bb", { name = "bb" })
return derivation { name = "made", builder = bb .. "/busybox", args = { "sh", "-c", "echo made >$out" } }
END
check "a derivation is built" sh -c '"$CAIRN" build --physical --root "$0" -f made.lua >out 2>err' "$root"
check "its output is there" [ "$(cat "$(cat out)")" = made ]
check "the collector deletes" s gc
check "what is not needed" [ ! -e "$root$one" ]
check "the store is still read-only for others" not touch "$store/stray"
check "nothing is left behind" [ "$(ls -A "$store" | grep -vc '^\.links$')" = 0 ]
finish
