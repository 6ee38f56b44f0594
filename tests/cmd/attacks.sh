#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every attack of the list is tried by a test, and the check that sees to it finds what is wrong.
set -u
. "$SRC/tests/tap.inc"
tree=$TMP/tree
run() { python3 "$SRC/tests/lint/attacks" "$@" >"$TMP/out" 2>&1; }
says() { grep -qF -- "$1" "$TMP/out"; }

check "each attack has its test" run "$SRC"
mkdir -p "$tree/tests/unit" "$tree/tests/cmd"
printf '# words\nWP-01  one thing\nGC-03  another\n' >"$tree/tests/attacks"
echo 'TEST(gc_03_roots)' >"$tree/tests/unit/t_x.c"
echo 'ok "WP-01 refused"' >"$tree/tests/cmd/x.sh"
check "names in both forms are found" run "$tree"
echo 'ok "WP-010 refused"' >"$tree/tests/cmd/x.sh"
run "$tree"
is "one that no test has is a fault" "$?$(cat "$TMP/out")" "1tests/attacks:2: WP-01 is tried by no test"
echo 'ok "WP-01 and WP-02"' >"$tree/tests/cmd/x.sh"
run "$tree"
is "so is one that is not in the list" "$?$(cat "$TMP/out")" "1tests/cmd/x.sh:1: WP-02 is not in tests/attacks"
no_test() { # NAME, LINE
	echo "$2" >"$tree/tests/cmd/x.sh"
	run "$tree"
	is "no test: $1" "$?$(cat "$TMP/out")" "1tests/attacks:2: WP-01 is tried by no test"
}
no_test "a comment" '# ok "WP-01"'
no_test "a comment with quotes" "# it's: 'WP-01"
no_test "a word inside quotes of another" "echo 'ok \"WP-01\"'"
no_test "a name in the middle" 'ok "as WP-01 was"'
rm "$tree/tests/cmd/x.sh"
printf '"""WP-01 in words"""\ndef f():\n    "WP-01"\n    # "WP-01"\n    ok("of WP-01")\n' >"$tree/tests/cmd/x.py"
run "$tree"
is "no test: words in Python" "$?$(cat "$TMP/out")" "1tests/attacks:2: WP-01 is tried by no test"
echo 'print(f"{f()} {n} - WP-01 {what}")' >"$tree/tests/cmd/x.py"
check "a result there is" run "$tree"
{ echo '#!/usr/bin/python3' && echo 'ok(f"GC-03, WP-01 {what}")'; } >"$tree/tests/cmd/x.py"
check "one of two, too" run "$tree"
rm "$tree/tests/cmd/x.py"
printf '/* TEST(wp_01_x) */\nvoid wp_01_y(void);\n' >"$tree/tests/unit/t_y.c"
run "$tree"
is "no test: words in C" "$?$(cat "$TMP/out")" "1tests/attacks:2: WP-01 is tried by no test"
rm "$tree/tests/unit/t_y.c"
echo 'ok "WP-01"' >"$tree/tests/cmd/x.sh"
echo 'WP-01  again' >>"$tree/tests/attacks"
run "$tree"
is "and one that is there twice" "$?$(cat "$TMP/out")" "1tests/attacks:4: WP-01 is there twice"
: >"$tree/tests/attacks"
check "an empty list is no list" sh -c '! python3 "$1" "$2"' - "$SRC/tests/lint/attacks" "$tree"
finish
