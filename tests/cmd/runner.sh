#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The test runner itself: failing, skipped, hanging and lying tests are seen as what they are.
set -u
. "$SRC/tests/tap.inc"

tree=$TMP/tree
new_tree() {
	rm -rf "$TMP/tree"
	mkdir -p "$tree/tests/cmd" "$tree/tests/vm" "$tree/tests/ns" "$tree/obj"
}
# add TIER/FILE: the script on standard input
add() {
	cat >"$tree/tests/$1"
	chmod +x "$tree/tests/$1"
}
# run ARGS: status in $status, output in $TMP/out, last line in $last
run() {
	"$SRC/tests/run" --obj "$tree/obj" --src "$tree" "$@" >"$TMP/out" 2>&1
	status=$?
	last=$(tail -n 1 "$TMP/out")
}
# dead PID: no such process, or nothing left of it but its exit status
dead() { case "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)" in '' | Z*) return 0 ;; esac; return 1; }
said() { grep -qF -e "$1" "$TMP/out"; }

new_tree
add cmd/good.sh <<'X'
#!/bin/sh
exit 0
X
add cmd/tap.sh <<'X'
#!/bin/sh
printf '1..3\nok 1 - a\nok 2 - b # SKIP no such thing\nok 3\n'
X
run cmd
check "all passed: status 0" [ "$status" = 0 ]
check "all passed: counts" [ "$last" = "3 passed, 0 failed, 1 skipped" ]
check "reason of a skipped result is printed" said "no such thing"

add cmd/bad.sh <<'X'
#!/bin/sh
echo "the bad news"
exit 1
X
run cmd
check "failing test: status 1" [ "$status" = 1 ]
check "failing test: counts" [ "$last" = "3 passed, 1 failed, 1 skipped" ]
check "failing test: its log is shown" said "the bad news"
check "failing test: log is kept" grep -q "bad news" "$tree/obj/test-logs/cmd/bad.log"

run --only good cmd
check "one test by name" [ "$status$last" = "01 passed, 0 failed, 0 skipped" ]
run --only nothing cmd
check "a name that does not exist fails" [ "$status" = 1 ]

new_tree
add vm/skip.test <<'X'
#!/bin/sh
echo "skip: no emulator"
exit 77
X
run vm
check "skipped test: status 0" [ "$status" = 0 ]
check "skipped test: counts" [ "$last" = "0 passed, 0 failed, 1 skipped" ]
run --require ns,vm vm
check "required tier: skip is a failure" [ "$status$last" = "10 passed, 1 failed, 0 skipped" ]
run --require cmd cmd
check "required tier without tests fails" [ "$status" = 1 ]

new_tree
add cmd/mute-skip.sh <<'X'
#!/bin/sh
exit 77
X
run cmd
check "skip without a reason fails" [ "$status" = 1 ]

new_tree
add cmd/hang.sh <<'X'
#!/bin/sh
# timeout: 1
sleep 1000 &
echo "$!" >"$SRC/pid"
wait
X
run cmd
check "hanging test: status 1" [ "$status" = 1 ]
check "hanging test: said so" said "timed out after 1 s"
gone() { [ ! -s "$tree/pid" ] || dead "$(cat "$tree/pid")"; } # a busy machine may not have come to it
check "hanging test: its children are gone" gone

new_tree
add cmd/stray.sh <<'X'
#!/bin/sh
setsid sh -c 'echo "$$" >"$SRC/pid"; exec sleep 1000' &
until [ -s "$SRC/pid" ]; do :; done
X
run cmd
check "what left the session of its test is gone too" dead "$(cat "$tree/pid")"

new_tree
add cmd/wait.sh <<'X'
#!/bin/sh
echo "$TMP" >"$SRC/scratch"
echo "$$" >"$SRC/pid"
exec sleep 1000
X
"$SRC/tests/run" --obj "$tree/obj" --src "$tree" cmd >"$TMP/out" 2>&1 &
until [ -s "$tree/pid" ]; do :; done
kill -TERM $!
wait $!
check "interrupted: ends with the signal" [ $? = 143 ]
check "interrupted: its test is gone" dead "$(cat "$tree/pid")"
check "interrupted: nothing is left" [ ! -e "$(cat "$tree/scratch")" ]

new_tree
add cmd/short.sh <<'X'
#!/bin/sh
printf '1..3\nok 1\nok 2\n'
X
run cmd
check "fewer results than planned fails" [ "$status" = 1 ]

new_tree
add cmd/no-plan.sh <<'X'
#!/bin/sh
echo 'ok 1'
X
run cmd
check "results without a plan fail" [ "$status" = 1 ]

new_tree
add cmd/liar.sh <<'X'
#!/bin/sh
printf '1..2\nok 1\nnot ok 2 - truth\n'
exit 0
X
run cmd
check "a failed result fails whatever the status" [ "$status" = 1 ]

new_tree
add cmd/crash.sh <<'X'
#!/bin/sh
kill -SEGV $$
X
run cmd
check "a crash fails" [ "$status" = 1 ]
check "a crash names the signal" said "killed by signal 11"

new_tree
printf '#!/bin/sh\nexit 0\n' >"$tree/tests/cmd/plain.sh"
run cmd
check "a test that cannot be executed fails" [ "$status" = 1 ]

new_tree
add cmd/scratch.sh <<'X'
#!/bin/sh
mkdir -p "$TMP/a/b" && touch "$TMP/a/b/c" && chmod 0 "$TMP/a/b"
echo "$TMP" >"$SRC/scratch"
[ -n "$CAIRN" ] && [ -n "$OBJ" ] && [ -n "$CAIRN_ROOT" ]
X
run cmd
check "environment is complete" [ "$status" = 0 ]
check "scratch directory is removed" [ ! -e "$(cat "$tree/scratch")" ]

new_tree
add cmd/good.sh <<'X'
#!/bin/sh
exit 0
X
cat >"$tree/Makefile" <<'X'
all: ; @printf 'CC a%s\n' ' - newer: $(newer)'
X
unset MAKELEVEL MAKEFLAGS
newer="obj/pkg lib/a.h" run cmd
check "programs older than their source are not tested" eval '[ "$status" = 1 ] && said "not up to date"'
newer="obj/pkg obj/a.o" run cmd
check "programs that are up to date are" [ "$status$last" = "01 passed, 0 failed, 0 skipped" ]

# ---- make -------------------------------------------------------------------------------------
make -C "$SRC" -n O="$TMP/o" M=store "$TMP/o/tests/fuzz/fz_nar" >"$TMP/out" 2>&1
check "M= names a module alone: it is linked with what it uses" eval 'said "$TMP/o/lib/liblib.a" && ! said "init/"'

finish
