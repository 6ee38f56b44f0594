#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The sweep that builds all packages twice, with a program in place of cairn: what it calls what, and
# that it goes on where its time was up.
set -u
. "$SRC/tests/tap.inc"
cat >"$TMP/cairn" <<'END'
#!/bin/sh
echo "$*" >>"$TMP/calls"
case $* in
"build --list") printf '%s\n' good odd seed-core bad slow ;;
"build -d "*) echo "/gnu/store/$(cat "$TMP/version")-$3.drv" ;;
"build --check odd") exit 102 ;;
"build bad") exit 100 ;;
"build --check slow") [ ! -e "$TMP/slow" ] || exec sleep 600 ;;
esac
END
chmod 755 "$TMP/cairn"
export CAIRN="$TMP/cairn" SOAK_STATE="$TMP/state"
mkdir "$SOAK_STATE"
echo 1 >"$TMP/version"
sweep() { # SECONDS
	: >"$TMP/calls"
	SOAK_DEADLINE=$(($(date +%s) + $1)) python3 "$SRC/tests/soak/packages.soak" >"$TMP/out" 2>&1
	echo $?
}
outcomes() { cut -f 2 "$SOAK_STATE/results" | tr '\n' ';'; }
built() { grep -c -e '--check' "$TMP/calls"; }

is "no time: to be resumed" "$(sweep 0)" 75
is "nothing was built" "$(built)" 0
touch "$TMP/slow"
is "time is up in a build: to be resumed" "$(sweep 10)" 75
is "what came before is kept" "$(outcomes)" "does not build: bad;same bytes;other bytes: odd;"
rm "$TMP/slow"
is "a package that differs makes it fail" "$(sweep 60)" 1
is "only the rest was built" "$(built)" 1
is "it is named" "$(sed -n '/other/p' "$TMP/out")" "other bytes: odd"
echo 2 >"$TMP/version"
is "recipes that changed are built anew" "$(sweep 60) $(built) $(wc -l <"$SOAK_STATE/results")" "1 3 4"
sed -i -e '/odd")/d' -e '/bad")/d' "$TMP/cairn"
rm "$SOAK_STATE/results"
is "all the same: passed" "$(sweep 60) $(outcomes)" "0 same bytes;same bytes;same bytes;same bytes;"
finish
