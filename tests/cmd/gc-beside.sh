#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# GC-11: additions go on beside a collection that has much to delete. Each deletion is slowed down, so that there is a beside.
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
strace -f -qq -o "$TMP/trace" -e trace=unlinkat -e inject=unlinkat:delay_enter=50000 "$CAIRN" store gc --root "$root" \
	>"$TMP/out" 2>"$TMP/err" &
gc=$!
trap 'kill $gc 2>/dev/null' EXIT
deleting() { [ "$(grep -c unlinkat "$TMP/trace")" -gt 5 ]; }
check "a collection deletes" retry deleting
check "what goes is nowhere to be seen" test ! -e "$root$many"
check "GC-11 and something is added" "$CAIRN" store add --root "$root" "$SRC/README"
check "GC-11 what goes is added again" "$CAIRN" store add --root "$root" "$TMP/many"
check "GC-11 while it is still at it" kill -0 $gc
check "GC-11 and others ask what is there" "$CAIRN" store query --root "$root" "$many"
wait $gc
result "the collection ends well" $?
check "what was added meanwhile is whole" diff -r "$TMP/many" "$root$many"
check "and so is the store" "$CAIRN" store verify --root "$root"
finish
