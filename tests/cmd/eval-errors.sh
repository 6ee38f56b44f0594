#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Wrong packages and expressions: one clear error that names the place, the documented status 65,
# nothing on standard output, nothing left behind.
set -u
n=0
failed=0
mkdir "$TMP/conf" "$TMP/home"
cd "$TMP/conf" || exit 1
export HOME="$TMP/home" CAIRN_MODULES="$SRC"
unset XDG_CACHE_HOME XDG_STATE_HOME CAIRN_ROOT

# try NAME EXPECTED-TEXT < program
try() {
	n=$((n + 1))
	cat >wrong.lua
	why=
	"$CAIRN" build --root "$TMP/root" -f wrong.lua >"$TMP/out" 2>"$TMP/err" </dev/null
	status=$?
	[ "$status" = 65 ] || why="$why, status $status instead of 65"
	[ -s "$TMP/out" ] && why="$why, something on standard output"
	grep -qF -- "$2" "$TMP/err" || why="$why, the error does not say '$2'"
	[ "$(grep -c '^cairn build: ' "$TMP/err")" = 1 ] || why="$why, not one error"
	[ -e "$TMP/root" ] && why="$why, a store was left behind"
	rm wrong.lua
	[ "$(ls -A "$TMP/conf" "$TMP/home" | grep -v ':$')" = '' ] || why="$why, files were left behind"
	if [ -n "$why" ]; then
		echo "not ok $n - $1$why"
		sed 's/^/# /' "$TMP/err"
		failed=1
	else
		echo "ok $n - $1"
	fi
}

PKG='local build = require "packages.build"
local package, origin = build.package, build.origin
'

try "unknown field of a package" "wrong.lua:4: package 'x': unknown field 'verson'" <<END
$PKG
return package { name = "x", verson = "1" }
END
try "missing field" "wrong.lua:4: package 'x' › version: missing" <<END
$PKG
return package { name = "x" }
END
try "wrong type" "wrong.lua:4: package 'x' › inputs" <<END
$PKG
return package { name = "x", version = "1", inputs = "zlib" }
END
try "hole in a list" "wrong.lua:4: package 'x' › inputs[1]: expected a package, got nil" <<END
$PKG
return package { name = "x", version = "1", inputs = { nil, require "packages.zlib" } }
END
try "too long a name" "wrong.lua:4: package 'x' › version" <<END
$PKG
return package { name = "x", version = ("1"):rep(300) }
END
try "changed copy" "wrong.lua:5: package 'zlib': unknown field 'verson'" <<END
$PKG
local zlib = require "packages.zlib"
return zlib:with { verson = "2" }
END
try "name of an origin" "wrong.lua:4: origin: name" <<END
$PKG
return origin { name = "a/b", urls = { "https://example.org/x" }, sha256 = ("0"):rep(64) }
END
try "unknown build system" "expected one of cmake, gnu, kbuild, meson, trivial" <<END
$PKG
return package { name = "x", version = "1", build_system = "make" }
END
try "bad hash of an origin" "wrong.lua:4: origin: sha256" <<END
$PKG
return package { name = "x", version = "1", source = origin { urls = { "https://example.org/x" }, sha256 = "123" } }
END
try "package that does not exist" "wrong.lua:1: there is no module 'packages.zlibb'" <<END
return require "packages.zlibb"
END
try "syntax error" "wrong.lua:2: unexpected symbol near '}'" <<END
return {
	name = }
END
try "misspelt variable" "wrong.lua:1: variable 'derivaton' is not defined" <<END
return derivaton { name = "x", builder = "/bin/sh" }
END
try "unknown field of a derivation" "did you mean 'builder'?" <<END
return derivation { name = "x", bulider = "/bin/sh" }
END
try "name that cannot stand in a path" "wrong.lua:1: derivation: name: 'a/b' cannot stand in a store path" <<END
return derivation { name = "a/b", builder = "/bin/sh" }
END
try "missing source" "wrong.lua:1: source: there is no 'no-such-file'" <<END
return derivation { name = "x", builder = "/bin/sh", args = { source "no-such-file" } }
END
try "source outside" "wrong.lua:1: source: '../secret' is outside" <<END
return source "../secret"
END
try "circle of modules" "modules require each other: wrong -> wrong" <<END
return require "wrong"
END
try "nothing returned" "wrong.lua: the program returns nothing" <<END
local x = 1
END
try "not a package" "the result is a function" <<END
return function() end
END
try "endless loop" "wrong.lua:1: instruction limit of" <<END
while true do end
END
try "endless growth" "wrong.lua:1: memory limit of" <<END
local s = "x" while true do s = s .. s end
END
try "files of the machine" "wrong.lua:1: variable 'io' is not defined" <<END
return io.open("/etc/passwd")
END

# The same rules for names, and a usage error is status 2.
n=$((n + 1))
"$CAIRN" build --root "$TMP/root" zlibb >"$TMP/out" 2>"$TMP/err"
if [ $? = 65 ] && grep -q "did you mean 'zlib'" "$TMP/err"; then
	echo "ok $n - misspelt name"
else
	echo "not ok $n - misspelt name"
	sed 's/^/# /' "$TMP/err"
	failed=1
fi
n=$((n + 1))
"$CAIRN" build >"$TMP/out" 2>"$TMP/err"
[ $? = 2 ] && echo "ok $n - nothing to build" || { echo "not ok $n - nothing to build"; failed=1; }
echo "1..$n"
exit $failed
