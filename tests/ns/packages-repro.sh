#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Building a package again gives the same bytes. Here a sample of small ones; PACKAGES=all takes
# every package (tests/soak/packages.soak), PACKAGES="a b" those.
set -u
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }

case ${PACKAGES-} in
'') packages="zlib libcap lua ca-certificates" ;;
all) packages=$("$CAIRN" build --list | grep -v '^seed-') ;;
*) packages=$PACKAGES ;;
esac
. "$SRC/tests/tap.inc"
# A check that builds nothing would find all the same: one that must differ comes first.
mkdir "$TMP/bb"
cp "$(command -v busybox)" "$TMP/bb/busybox" || { echo "skip: no busybox"; exit 77; }
cat >"$TMP/differs.lua" <<'END'
local bb = source("bb", { name = "bb" })
return derivation { name = "differs", builder = bb .. "/busybox",
	args = { "sh", "-c", "$bb/busybox cat /proc/sys/kernel/random/uuid >$out" }, env = { bb = bb } }
END
"$CAIRN" build --root "$TMP/root" -f "$TMP/differs.lua" >"$TMP/path" 2>"$TMP/log"
"$CAIRN" build --root "$TMP/root" --check -f "$TMP/differs.lua" >"$TMP/out" 2>>"$TMP/log"
status=$?
result "other bytes are found" "$([ $status = 102 ] && grep -q '^/' "$TMP/path" && [ ! -s "$TMP/out" ]; echo $?)" "$TMP/log"

for name in $packages; do
	"$CAIRN" build "$name" >"$TMP/path" 2>"$TMP/log" && "$CAIRN" build --check "$name" >"$TMP/again" 2>"$TMP/log"
	result "$name" "$([ $? = 0 ] && grep -q '^/' "$TMP/again" && cmp -s "$TMP/path" "$TMP/again"; echo $?)" "$TMP/log"
done
finish
