#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Derivations are plain: Debian's nix 2.8, without Cairn's daemon, unpacks the seed and builds a
# package that enters it, once the fixed-output inputs are in its store, and gets the same bytes.
set -u
command -v nix-store >/dev/null || { echo "skip: no nix-store (package nix-bin)"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }

package=ca-certificates
fail() { echo "not ok 1 - $1"; [ -z "${2-}" ] || tail -n 30 "$2" | sed 's/^/# /'; exit 1; }

out=$("$CAIRN" build $package 2>"$TMP/log") || fail "cairn build $package" "$TMP/log"
drv=$("$CAIRN" build -d $package 2>"$TMP/log") || fail "cairn build -d $package" "$TMP/log"

nix=$TMP/nix
mkdir -p "$nix/gnu/store" "$TMP/conf" "$TMP/home"
cat >"$TMP/conf/nix.conf" <<END
build-users-group =
sandbox = true
sandbox-fallback = false
substituters =
require-sigs = false
END
export NIX_STORE_DIR=/gnu/store NIX_CONF_DIR="$TMP/conf" HOME="$TMP/home" XDG_CACHE_HOME="$TMP/home"
store="local?root=$nix&real=$nix/gnu/store&state=$nix/var/nix&log=$nix/var/log/nix"

# Derivations, sources and downloads are copied; nothing that was built is.
"$CAIRN" store query --requisites "$drv" >"$TMP/requisites" || fail "cairn store query"
: >"$TMP/copy"
while read -r path; do
	case $path in
	*.drv)
		echo "$path" >>"$TMP/copy"
		if grep -q '"builtin:download"' "$CAIRN_ROOT$path"; then
			sed 's/^Derive(\[("out","\([^"]*\)".*/\1/' "$CAIRN_ROOT$path" >>"$TMP/copy"
			echo >>"$TMP/copy"
		fi
		;;
	*) echo "$path" >>"$TMP/copy" ;;
	esac
done <"$TMP/requisites"
grep . "$TMP/copy" | sort -u >"$TMP/paths"
while read -r path; do
	[ -e "$CAIRN_ROOT$path" ] || fail "input $path is not in the store"
	cp -R --preserve=mode "$CAIRN_ROOT$path" "$nix$path"
	echo "$path"
	"$CAIRN" store query --hash "$path"
	"$CAIRN" store query --size "$path"
	echo
	"$CAIRN" store query --references "$path" >"$TMP/references"
	wc -l <"$TMP/references"
	cat "$TMP/references"
done <"$TMP/paths" >"$TMP/register"
# Not --register-validity, which looks for the files at their logical paths.
find "$nix/gnu/store" -mindepth 1 -exec touch -h -d @1 {} +
nix-store --store "$store" --load-db <"$TMP/register" 2>"$TMP/log" || fail "nix does not take the inputs" "$TMP/log"
nix-store --store "$store" -r "$drv" >"$TMP/result" 2>"$TMP/log" || fail "nix builds $package" "$TMP/log"
grep -qxF "$out" "$TMP/result" || fail "nix makes another path" "$TMP/result"
diff -r --no-dereference "$CAIRN_ROOT$out" "$nix$out" >"$TMP/log" || fail "nix makes other bytes" "$TMP/log"
echo "ok 1 - nix builds $package from the seed, with the same bytes"
chmod -R u+w "$nix"
echo 1..1
