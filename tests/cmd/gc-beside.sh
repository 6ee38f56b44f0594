#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# GC-11: additions go on beside a collection that has much to delete. It is halted in the midst of its deletions, for as long as the
# others need: who has to wait for it waits in vain.
set -u
command -v strace >/dev/null || { echo "skip: no strace"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
. "$SRC/tests/tap.inc"
root=$TMP/root
mkdir "$TMP/many"
i=0
while [ $i -lt 300 ]; do
	echo $i >"$TMP/many/$i"
	i=$((i + 1))
done
many=$("$CAIRN" store add --root "$root" "$TMP/many")
# The tracer is no parent of it, so that it can be told to let go.
strace -D -I 1 -f -qq -o "$TMP/trace" -e trace=unlinkat -e inject=unlinkat:delay_enter=1000000000:when=40 "$CAIRN" store gc --root "$root" \
	>"$TMP/out" 2>"$TMP/err" &
gc=$!
let_go() {
	tracer=$(sed -n 's/^TracerPid:[^0-9]*//p' /proc/$gc/status)
	[ "${tracer:-0}" = 0 ] || kill "$tracer"
}
trap 'let_go; kill $gc 2>/dev/null' EXIT
gone() { grep -c 'unlinkat.* = ' "$TMP/trace"; }
halted() { [ "$(gone)" -ge 39 ]; }
store() { timeout 30 "$CAIRN" store "$@"; }
check "a collection deletes" retry halted
check "what goes is nowhere to be seen" test ! -e "$root$many"
check "GC-11 and something is added" store add --root "$root" "$SRC/README"
check "GC-11 what goes is added again" store add --root "$root" "$TMP/many"
check "GC-11 and others ask what is there" store query --root "$root" "$many"
check "GC-11 while it is still at it" grep -q "^State:[[:space:]]*[^Z]" /proc/$gc/status
is "GC-11 and has gone no further" "$(gone)" 39
let_go
wait $gc
result "the collection ends well" $?
check "what was added meanwhile is whole" diff -r "$TMP/many" "$root$many"
check "and so is the store" "$CAIRN" store verify --root "$root"
finish
