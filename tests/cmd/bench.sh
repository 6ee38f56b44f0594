#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The measurements of "make bench" still measure: small ones, on whatever else the machine does, so
# the numbers say nothing.
set -u
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
. "$SRC/tests/tap.inc"
said() { grep -qE -e "$1" "$TMP/out"; }
export BENCH_MIB=4 BENCH_FILES=100 BENCH_REPEAT=1 BENCH_BUILDS=3 BENCH_PATHS=100 BENCH_DEAD=20
cd "$SRC" || exit 1
tests/bench/run "$OBJ" files builds graph daemon >"$TMP/out" 2>&1
check "they end well" [ $? = 0 ]
measured=' +[0-9.]+ (us|ms|s) +nix (-|[0-9.]+ (us|ms|s), +[0-9.]+ x) +; goal [^;]+; limit [0-9.]+ (us|ms|s)$'
for what in "add of a file of 4 MiB" "archive hash \(verify\)" "archive \(dump\)" "add of a tree of 100 files" \
	"3 independent no-op builds, one" "3 chained no-op builds, one" "one build, from request to answer" \
	"requisites of 100 paths" "collection of 20 dead paths"; do
	check "$what" said "^$what, wall$measured"
done
check "many clients" said '^50 clients, 100 queries each, one, wall +[0-9.]+ (us|ms|s) '
check "memory" said '^connection adding 4 MiB: private +[0-9.]+ MiB '
check "size" said '^program, stripped .* MiB '

# The machines of init.bench take too long for here; what its tables make of their results does not.
cat >"$TMP/known" <<'X'
{"null": {"up 3": {"up": 3, "last_ns": 1000000, "down_ns": 20000}, "calls 10": {"calls": 100}, "calls 100": {"calls": 910}},
 "cairn": {"up 3": {"up": 3, "last_ns": 1500000}, "calls 10": {"calls": 300, "calls_init": 50}, "calls 100": {"calls": 2100, "calls_init": 500}}}
X
BENCH_RESULTS=$TMP/known BENCH_COUNTS=3 BENCH_PARTS="up calls" BENCH_INITS="null cairn dinit" BENCH_INIT=$OBJ/init/cairn-init \
	tests/bench/run "$OBJ" init >"$TMP/out" 2>&1
check "inits: results that are there are enough" [ $? = 0 ]
check "who is skipped, and why" said '^dinit: skipped: Debian has no package'
check "times of the least init, and the goal" said '^3 services up, cairn +1\.5 ms +1\.50 x null, goal 1\.5 x null$'
check "calls of a service without its own" said '^system calls of a service, cairn +13\.0 +6\.50 x null, goal 15$'
check "of these PID 1's" said '^of these by PID 1, cairn +5\.0$'
check "size" said '^program of PID 1, stripped, cairn +[0-9]+ bytes .*goal 153600 bytes$'

printf '#!/bin/sh\nexit 1\n' >"$TMP/cairn"
chmod +x "$TMP/cairn"
tests/bench/run "$TMP" files >"$TMP/out" 2>&1
status=$?
check "one that cannot measure is a failure" eval '[ $status = 1 ] && said "files: could not measure"'
finish
