#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The sweep of tests/soak/fuzz.soak: what libFuzzer finds is kept and named, time counts over interruptions.
set -u
. "$SRC/tests/tap.inc"

cd "$SRC" || exit 1
mkdir "$TMP/bin" "$TMP/obj"
SOAK_STATE=$TMP/state OBJ=$TMP/obj FUZZ_PROGRAMS=$TMP/bin
export SOAK_STATE OBJ FUZZ_PROGRAMS

# entry NAME: the shell commands on standard input are its libFuzzer program; $out is where it puts bad inputs
entry() {
	{
		printf '%s\n' '#!/bin/sh' 'for a; do case $a in -artifact_prefix=*) out=${a#*=} ;; esac; done' \
			'echo "$@" >>"$0.calls"'
		cat
	} >"$TMP/bin/$1"
	chmod +x "$TMP/bin/$1"
}
# sweep ENTRY SECONDS: one run that has so long
sweep() {
	mkdir -p "$SOAK_STATE"
	SOAK_PART=$1 SOAK_DEADLINE=$(($(date +%s) + $2)) tests/soak/fuzz.soak >"$TMP/out" 2>&1
	status=$?
}
anew() {
	rm -rf "$SOAK_STATE" "$TMP"/bin/*
	entry fz_drv </dev/null
}
outcome() { grep -qx -e "$1	$2" "$SOAK_STATE/results"; }
calls() { wc -l <"$TMP/bin/fz_drv.calls"; }

is 'each entry is a part' "$(tests/soak/fuzz.soak --parts)" "$(ls tests/fuzz/corpus)"

anew
FUZZ_SECONDS=700 sweep fz_drv 1000
is 'nothing found: status 0' "$status" 0
check 'nothing found: clean' outcome '700 s' clean
is '700 seconds are three slices' "$(calls)" 3
check 'the corpus of the tree is read' grep -q ' tests/fuzz/corpus/fz_drv -max_total_time=300 ' "$TMP/bin/fz_drv.calls"
check 'what is found goes into the state' [ -d "$SOAK_STATE/found" ]
check 'the last slice is what is left' grep -q ' -max_total_time=100 ' "$TMP/bin/fz_drv.calls"

anew
FUZZ_SECONDS=700 sweep fz_drv 0
is 'no time: to be resumed' "$status" 75
check 'no time: no result' [ ! -e "$SOAK_STATE/results" ]
echo 600 >"$SOAK_STATE/spent"
FUZZ_SECONDS=700 sweep fz_drv 1000
is 'time had before counts' "$(calls)" 1

anew
entry fz_drv <<'X'
echo x >"${out}crash-1234"
exit 77
X
FUZZ_SECONDS=10 sweep fz_drv 1000
is 'a crash: status 1' "$status" 1
check 'a crash is named' outcome "$OBJ/fuzz/bad/fz_drv/crash-1234" crash
check 'its input is there' [ -s "$OBJ/fuzz/bad/fz_drv/crash-1234" ]

anew
entry fz_nar <<'X'
echo x >"${out}timeout-5678" # in a child of the entry: the entry itself is well
X
FUZZ_SECONDS=10 sweep fz_nar 1000
check 'one in a child is seen' outcome "$OBJ/fuzz/bad/fz_nar/timeout-5678" timeout

anew
entry fz_sexp <<'X'
exit 1
X
FUZZ_SECONDS=10 sweep fz_sexp 1000
check 'an exit without an input is no clean one' grep -q 'exit status 1.*	crash$' "$SOAK_STATE/results"

anew
entry fz_unzip <<'X'
echo x >"${out}slow-unit-9"
X
FUZZ_SECONDS=10 sweep fz_unzip 1000
check 'what is slow within the limit is clean' outcome '10 s' clean

# Records, of parts: what the driver of sweeps makes of them.
mkdir "$TMP/tree"
ln -s "$SRC/tests" "$TMP/tree/tests"
(cd "$TMP/tree" && FUZZ_SECONDS=10 tests/soak/run "$OBJ" fuzz-fz_unzip) >"$TMP/out" 2>&1
check 'a part has a record' grep -qx 'outcome clean: 1' "$TMP/tree/doc/soak/fuzz-fz_unzip"
is 'and the others were not run' "$(ls "$TMP/tree/doc/soak")" fuzz-fz_unzip

PATH=$TMP/empty /usr/bin/python3 tests/fuzz/fuzzing.py "$OBJ" 1 fz_drv >"$TMP/out" 2>&1
check 'without clang the package is named' grep -q 'apt-get install clang libclang-rt-dev' "$TMP/out"
finish
