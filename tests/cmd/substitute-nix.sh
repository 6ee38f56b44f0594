#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 120
# Debian's nix, unmodified, as the client of a daemon of ours that substitutes from a cache of ours: what was built in one
# store is not built in the other.
set -u
command -v nix-store >/dev/null && command -v nix-build >/dev/null || { echo "skip: no nix-store (package nix-bin)"; exit 77; }
busybox=$(command -v busybox) || { echo "skip: no busybox (package busybox-static)"; exit 77; }
unshare -U true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
. "$SRC/tests/tap.inc"
export HOME="$TMP" XDG_CACHE_HOME="$TMP/cache" NIX_CONF_DIR="$TMP/conf"
mkdir "$TMP/conf"
: >"$TMP/conf/nix.conf"
pids=
trap 'for p in $pids; do kill $p; done' EXIT

# start NAME ARGUMENT…: a daemon with a store of its own; $NAME is its URI
start() {
	name=$1
	shift
	mkdir -p "$TMP/$name"
	socket=$TMP/$name/nix/var/nix/daemon-socket/socket
	"$CAIRN" daemon --dialect=nix --root "$TMP/$name" -M 2 "$@" 2>"$TMP/$name.log" &
	pids="$pids $!"
	retry test -S "$socket" || { cat "$TMP/$name.log"; exit 1; }
	eval "$name='unix://$socket?root=$TMP/$name'"
}
publish() {
	"$CAIRN" publish --listen 127.0.0.1 --port 0 "$@" 2>"$TMP/publish.log" &
	server=$!
	pids="$pids $server"
	retry grep -q listening "$TMP/publish.log" || { cat "$TMP/publish.log"; exit 1; }
	url=http://127.0.0.1:$(sed -n 's/.*port=\([0-9]*\).*/\1/p' "$TMP/publish.log")
}
run() { "$@" >"$TMP/out" 2>"$TMP/err"; }
says() { grep -q -- "$1" "$TMP/err"; }

mkdir "$TMP/tools"
cp "$busybox" "$TMP/tools/busybox"
for i in sh mkdir cat; do ln -s busybox "$TMP/tools/$i"; done
cat >"$TMP/d.nix" <<'E'
let
  tools = ./tools;
  make = name: script: more: derivation ({
    inherit name; system = "x86_64-linux"; builder = "${tools}/sh"; args = [ "-c" "PATH=${tools}\necho building ${name} here\n${script}" ];
  } // more);
in rec {
  low = make "low" "mkdir $out; echo low > $out/f; echo lib > $lib" { outputs = [ "out" "lib" ]; };
  high = make "high" "echo ${low}/f ${low.lib} > $out" { };
  own = make "own" "echo ${high} > $out" { allowSubstitutes = false; preferLocalBuild = true; };
  # what says yes or no in structured attributes is no text
  structured = name: allow: make name "echo ${high} > ${placeholder "out"}" { __structuredAttrs = true; allowSubstitutes = allow; };
  closed = structured "closed" false;
  open = structured "open" true;
  more = make "more" "cat ${high} > $out" { };
}
E
start one
export NIX_REMOTE="$one"
check "build in one store" run nix-build "$TMP/d.nix" -A high -A own -A closed -A open --no-out-link
high=$(sed -n 1p "$TMP/out") own=$(sed -n 2p "$TMP/out")
"$CAIRN" archive --generate-key --dialect nix --key-name one-1 --root "$TMP/one" >/dev/null
publish --dialect nix --root "$TMP/one"

start two --substitute-urls "$url"
export NIX_REMOTE="$two"
run nix-build "$TMP/d.nix" -A high --no-out-link --dry-run
check "without a trusted key it would be built" says "derivations will be built"
"$CAIRN" archive --authorize --root "$TMP/two" <"$TMP/one/etc/nix/signing-key.pub"
run nix-build "$TMP/d.nix" -A high --no-out-link --dry-run
check "with it it would be fetched" says "will be fetched"
check "and nothing built" sh -c '! grep -q "will be built" "$1"' - "$TMP/err"
check "build in the other" run nix-build "$TMP/d.nix" -A high --no-out-link
is "the same path" "$(cat "$TMP/out")" "$high"
check "nothing was built" sh -c '! grep -q "building" "$1"' - "$TMP/err"
check "the file is the same" cmp "$TMP/one$high" "$TMP/two$high"
check "more, on top of it" run nix-build "$TMP/d.nix" -A more --no-out-link
check "is built" says "building more here"
check "its input is not" sh -c '! grep -q "building high here" "$1"' - "$TMP/err"
check "what may not be substituted" run nix-build "$TMP/d.nix" -A own --no-out-link
check "is built here" says "building own here"
check "the same in structured attributes" run nix-build "$TMP/d.nix" -A closed --no-out-link
check "is built here, too" says "building closed here"
check "and what they allow" run nix-build "$TMP/d.nix" -A open --no-out-link
check "is fetched" sh -c '! grep -q "building open" "$1"' - "$TMP/err"
is "the signature is kept" "$(nix path-info --extra-experimental-features nix-command --sigs "$high" 2>/dev/null | grep -c one-1:)" 1
check "the store is whole" run nix-store --verify --check-contents

# ---- What is damaged -----------------------------------------------------------------------------------------------------
chmod u+w "$TMP/two$high"
echo damaged >"$TMP/two$high"
check "damage is found" sh -c '! "$@"' - nix-store --verify --check-contents
check "and repaired from the cache" run nix-store --verify --check-contents --repair
check "nothing was built" sh -c '! grep -q "building" "$1"' - "$TMP/err"
check "the file is the same again" cmp "$TMP/one$high" "$TMP/two$high"
check "the store is whole again" run nix-store --verify --check-contents

# ---- With a cache that goes away -------------------------------------------------------------------------------------------
start three --substitute-urls "$url" --trusted-public-keys "$(cat "$TMP/one/etc/nix/signing-key.pub")"
export NIX_REMOTE="$three"
run nix-build "$TMP/d.nix" -A high --no-out-link --dry-run
check "a key that is an option" says "will be fetched"
kill "$server"
wait "$server"
check "a cache that has gone is an error" sh -c '! "$@"' - nix-build "$TMP/d.nix" -A high --no-out-link
run nix-build "$TMP/d.nix" -A high --no-out-link --fallback
is "with --fallback it is built" $? 0
check "here" says "building high here"
is "the same path" "$(cat "$TMP/out")" "$high"
finish
