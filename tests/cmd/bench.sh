#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The measurements of "make bench" still measure: small ones, on whatever else the machine does, so
# the numbers say nothing.
set -u
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
. "$SRC/tests/tap.inc"
said() { grep -qE -e "$1" "$TMP/out"; }
export BENCH_MIB=4 BENCH_REPEAT=1 BENCH_BUILDS=2
cd "$SRC" || exit 1
tests/bench/run "$OBJ" hash builds >"$TMP/out" 2>&1
check "they end well" [ $? = 0 ]
check "archive hash against SHA-256" said '^store verify .* ms +[0-9.]+ of raw'
check "builds here and with nix" said '^ratio +-?[0-9.]+ +cairn / nix'

printf '#!/bin/sh\nexit 1\n' >"$TMP/cairn"
chmod +x "$TMP/cairn"
tests/bench/run "$TMP" hash >"$TMP/out" 2>&1
status=$?
check "one that cannot measure is a failure" eval '[ $status = 1 ] && said "hash: could not measure"'
finish
