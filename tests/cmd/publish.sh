#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 120
# `cairn publish`: what it answers, what it refuses, and Debian's nix, unmodified, that substitutes from it.
set -u
command -v curl >/dev/null || { echo "skip: no curl"; exit 77; }
command -v zstd >/dev/null || { echo "skip: no zstd"; exit 77; }
unset CAIRN_ROOT http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
. "$SRC/tests/tap.inc"
export HOME="$TMP" XDG_CACHE_HOME="$TMP/cache" NIX_CONF_DIR="$TMP/conf"
pids=
trap 'for p in $pids; do kill $p; done' EXIT

# publish NAME ARGUMENT…: start one; its address is in $url
publish() {
	name=$1
	shift
	"$CAIRN" publish --listen 127.0.0.1 --port 0 "$@" 2>"$TMP/$name.log" &
	pids="$pids $!"
	retry grep -q listening "$TMP/$name.log" || { cat "$TMP/$name.log"; exit 1; }
	url=http://127.0.0.1:$(sed -n 's/.*port=\([0-9]*\).*/\1/p' "$TMP/$name.log")
}
get() { curl -s -m 20 -o "$TMP/out" -D "$TMP/head" "$@"; }
status() { sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$TMP/head"; }
has() { tr -d '\r' <"$TMP/head" | grep -qix -- "$1"; }

# ---- Guix's form -----------------------------------------------------------------------------------------------------------
root=$TMP/guix
mkdir -p "$TMP/tree/sub"
mkfifo "$TMP/hold"
echo hello >"$TMP/tree/sub/hello"
ln -s sub/hello "$TMP/tree/link"
head -c 3000000 /dev/urandom >"$TMP/big"
store() { "$CAIRN" store "$@" --root "$root"; }
tree=$(store add "$TMP/tree")
big=$(store add --flat "$TMP/big")
gz=$(cd "$TMP" && gzip -c tree/sub/hello >hello.gz && store add --flat hello.gz)
hash_part() { basename "$1" | cut -c1-32; }
"$CAIRN" publish --root "$root" --port 0 2>"$TMP/err"
is "without a signing key it does not start" $? 1
check "and says what to do" grep -q "cairn archive --generate-key" "$TMP/err"
"$CAIRN" archive --generate-key --root "$root" >/dev/null
publish guix --root "$root" --ttl 1h --negative-ttl 5min -C gzip -C zstd:5
get "$url/nix-cache-info"
is "nix-cache-info" "$(head -n 1 "$TMP/out")" "StoreDir: /gnu/store"
get "$url/signing-key.pub"
check "signing-key.pub" cmp "$TMP/out" "$root/etc/guix/signing-key.pub"
get "$url/$(hash_part "$tree").narinfo"
is "a narinfo" "$(status)" 200
check "its type" has "Content-Type: application/x-nix-narinfo"
check "how long it may be remembered" has "Cache-Control: max-age=3600"
cp "$TMP/out" "$TMP/narinfo"
is "the path" "$(sed -n 's/^StorePath: //p' "$TMP/narinfo")" "$tree"
is "the ways to compress" "$(sed -n 's/^Compression: //p' "$TMP/narinfo" | tr '\n' ' ')" "gzip zstd "
store dump "$tree" >"$TMP/nar"
is "the size" "$(sed -n 's/^NarSize: //p' "$TMP/narinfo")" "$(wc -c <"$TMP/nar")"
for kind in gzip zstd; do
	get "$url/$(sed -n "s|^URL: \(.*/$kind/.*\)|\1|p" "$TMP/narinfo")"
	check "the archive as $kind" sh -c '$1 -dc <"$2" | cmp - "$3"' - $kind "$TMP/out" "$TMP/nar"
done
get "$url/nar/$(basename "$tree")"
check "the plain archive" cmp "$TMP/out" "$TMP/nar"
get --http1.0 "$url/nar/$(basename "$tree")"
check "by HTTP/1.0" cmp "$TMP/out" "$TMP/nar"
get "$url/$(hash_part "$gz").narinfo"
is "what is compressed is not compressed again" "$(sed -n 's/^Compression: //p' "$TMP/out")" none
get -I "$url/$(hash_part "$tree").narinfo"
is "HEAD" "$(status)" 200

get "$url/file/big/sha256/$(sha256sum "$TMP/big" | cut -d ' ' -f 1)"
check "a file by its hash" cmp "$TMP/out" "$TMP/big"
get -r 2999000- "$url/file/big/sha256/$(sha256sum "$TMP/big" | cut -d ' ' -f 1)"
is "the rest of it" "$(status)" 206
check "is its end" sh -c 'tail -c 1000 "$1" | cmp - "$2"' - "$TMP/big" "$TMP/out"
get -r 3000000- "$url/file/big/sha256/$(sha256sum "$TMP/big" | cut -d ' ' -f 1)"
is "beyond its end" "$(status)" 416

# ---- The end of a publisher ------------------------------------------------------------------------------------------------
# without anybody at its other end a connection is closed after a minute
cat >"$TMP/idle.py" <<'E'
import os, signal, socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[3])), 30)
c.sendall(b"GET /nix-cache-info HTTP/1.1\r\nHost: x\r\n\r\n")
assert c.recv(4096)
os.kill(int(sys.argv[2]), getattr(signal, "SIG" + sys.argv[1]))
try:
    while c.recv(4096):
        pass
except ConnectionResetError:
    pass
E
first=$url kept=$pids
for sig in TERM KILL; do
	publish "$sig" --root "$root"
	check "SIG$sig ends its connections" python3 "$TMP/idle.py" "$sig" "${pids##* }" "${url##*:}"
done
url=$first pids=$kept

# ---- What is refused -------------------------------------------------------------------------------------------------------
refused() {
	wanted=$1 label=$2
	shift 2
	get "$@"
	is "$label" "$(status)" "$wanted"
}
refused 404 "an unknown path" "$url/00000000000000000000000000000000.narinfo"
check "how long that may be remembered" has "Cache-Control: max-age=300"
refused 404 "a short one" "$url/0.narinfo"
refused 404 "an archive of nothing" "$url/nar/gzip/00000000000000000000000000000000-x"
refused 404 "an unknown way to compress" "$url/nar/br/$(basename "$tree")"
refused 404 "beside the store" --path-as-is "$url/nar/../../etc/passwd"
refused 404 "below an item" "$url/nar/gzip/$(basename "$tree")/sub"
refused 404 "beside the store, encoded" "$url/nar/%2e%2e%2f%2e%2e%2fetc%2fpasswd"
refused 404 "beside the logs" --path-as-is "$url/log/../../../../etc/passwd"
refused 404 "a tree as a file" "$url/file/tree/sha256/$(sha256sum "$TMP/nar" | cut -d ' ' -f 1)"
refused 400 "a bad code" "$url/%zz"
refused 400 "a line end" "$url/a%0ab"
refused 405 "POST" -X POST "$url/"
refused 413 "a body" -X GET -d x "$url/"
refused 431 "a long header" -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" "$url/"

# One address gets 64 connections, and a request its time: more are closed, the server goes on.
if command -v python3 >/dev/null; then
	python3 - "$url" >"$TMP/out" <<'E'
import socket, sys, time
host, port = sys.argv[1][7:].split(":")
many = [socket.create_connection((host, int(port))) for _ in range(80)]
many[0].sendall(b"GET / HT")  # and nothing more
began, closed = time.monotonic(), 0
for c in reversed(many[1:]):
    c.settimeout(0.05 if closed >= 16 else 20)
    try:
        closed += c.recv(1) == b""
    except ConnectionResetError:
        closed += 1
    except TimeoutError:
        pass
many[0].settimeout(55)  # it would be 60 between requests
while many[0].recv(100):
    pass
# one of before may be on its way out still
print(16 <= closed < 20, 5 < time.monotonic() - began < 55)
E
	is "connections beyond 64, and a request that does not end" "$(cat "$TMP/out")" "True True"
	get "$url/nix-cache-info"
	is "the server goes on" "$(status)" 200
fi

# ---- Archives that are kept ------------------------------------------------------------------------------------------------
publish cached --root "$root" --cache "$TMP/kept" --cache-bypass-threshold 1M -C zstd -C gzip --workers 1
info=$url/$(hash_part "$big").narinfo
get "$info"
is "a large archive is made before it is offered" "$(status)" 404
check "which is said" has "X-Baking: 1"
offered() { get "$info" && [ "$(status)" = 200 ]; }
check "then it is" retry offered
cp "$TMP/out" "$TMP/narinfo"
is "with its size" "$(sed -n 's/^FileSize: //p' "$TMP/narinfo" | head -n 1)" "$(wc -c <"$TMP/kept/zstd/$(basename "$big").nar")"
get "$url/$(sed -n 's/^URL: //p' "$TMP/narinfo" | head -n 1)"
check "the kept archive is sent" cmp "$TMP/out" "$TMP/kept/zstd/$(basename "$big").nar"
check "with its length" has "Content-Length: $(wc -c <"$TMP/out")"
zstd -dc "$TMP/out" >"$TMP/nar2"
store dump "$big" >"$TMP/nar3"
check "it is the archive" cmp "$TMP/nar2" "$TMP/nar3"
get -r 1000- "$url/$(sed -n 's/^URL: //p' "$TMP/narinfo" | head -n 1)"
is "a part of it" "$(status)" 206
get "$url/$(hash_part "$tree").narinfo"
is "a small one is offered at once" "$(status)" 200
check "and kept" retry test -e "$TMP/kept/narinfo/$(hash_part "$tree")"
check "both ways" test -e "$TMP/kept/gzip/$(basename "$tree").nar"
finished() { [ -z "$(find "$TMP/kept" -name '*.tmp' -o -name '.baking*')" ]; }
check "nothing unfinished is left" retry finished
deleted() { store delete "$big" >"$TMP/out" 2>&1; }
check "it leaves the store" retry deleted
get "$info"
is "what left the store is offered for a while" "$(status)" 200
touch -d "60 days ago" "$TMP/kept/narinfo/$(hash_part "$big")"
rm "$TMP/kept/last-clean"
get "$url/$(hash_part "$gz").narinfo"
check "and not for ever" retry test ! -e "$TMP/kept/zstd/$(basename "$big").nar"
if command -v python3 >/dev/null; then
	# While the one worker is held up 32 may wait for it; who asks for more is to ask again.
	retry finished
	python3 -c 'import fcntl, sys
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()' "$TMP/kept/.worker-0" <"$TMP/hold" >"$TMP/held" &
	pids="$pids $!"
	exec 9>"$TMP/hold"
	retry test -s "$TMP/held"
	mkdir "$TMP/many"
	for i in $(seq 40); do echo "$i" >"$TMP/many/$i"; done
	for item in $(store add "$TMP"/many/*); do curl -s -m 20 -o "$TMP/out" "$url/$(hash_part "$item").narinfo"; done
	waiting() { [ -e "$TMP/kept/.waiting-31" ] && [ "$(find "$TMP/kept" -name '.baking*' | wc -l)" = 32 ]; }
	check "only so many wait for a worker" retry waiting
	exec 9>&-
	check "who waits has his turn" retry finished
	get "$url/$(hash_part "$item").narinfo"
	is "the server goes on" "$(status)" 200
fi

# ---- Debian's nix ----------------------------------------------------------------------------------------------------------
if command -v nix-store >/dev/null; then
	root=$TMP/nix
	mkdir -p "$TMP/conf" "$root"
	dialect="--store-dir /nix/store --state-dir /nix/var/nix"
	"$CAIRN" daemon --dialect=nix --root "$root" 2>"$TMP/daemon.log" &
	pids="$pids $!"
	retry test -S "$root/nix/var/nix/daemon-socket/socket" || exit 1
	export NIX_REMOTE="unix://$root/nix/var/nix/daemon-socket/socket?root=$root"
	echo "substitute = false" >"$TMP/conf/nix.conf"
	cat >"$TMP/d.nix" <<E
let src = ./tree; in builtins.toFile "top" "refers to \${src} and \${builtins.toFile "other" "text"}"
E
	top=$(nix-instantiate --read-write-mode --eval --json -E "import $TMP/d.nix" 2>"$TMP/err" | tr -d '"')
	check "a path with references" test -e "$root$top"
	"$CAIRN" archive --generate-key --dialect nix --key-name cache-1 --root "$root" >/dev/null
	publish nix --dialect nix --root "$root"
	check "--user is refused there" sh -c '! "$0" publish --dialect nix --root "$1" --user nobody 2>/dev/null' "$CAIRN" "$root"
	unset NIX_REMOTE
	get "$url/$(hash_part "$top").narinfo"
	cp "$TMP/out" "$TMP/narinfo"
	check "its narinfo is signed" grep -q "^Sig: cache-1:" "$TMP/narinfo"
	cat >"$TMP/conf/nix.conf" <<E
substitute = true
substituters = $url
trusted-public-keys = $(cat "$root/etc/nix/signing-key.pub")
build-users-group =
sandbox = false
E
	nix-store --store "$TMP/to" --realise "$top" >"$TMP/out" 2>"$TMP/err"
	is "nix substitutes it" $? 0
	check "the file is the same" cmp "$root$top" "$TMP/to$top"
	for p in $(cd "$root/nix/store" && ls -d ./*-tree ./*-other ./*-top); do
		check "with all it refers to: ${p#*-}" diff -r --no-dereference "$root/nix/store/$p" "$TMP/to/nix/store/$p"
	done
	check "nix finds the store whole" nix-store --store "$TMP/to" --verify --check-contents
	sed -i 's/^trusted-public-keys = .*/trusted-public-keys = cache-1:HRGeY\/iT3OyS9IW35XmJ9tEeTfULiGYljn\/an+E4AJw=/' "$TMP/conf/nix.conf"
	nix-store --store "$TMP/other" --realise "$top" >"$TMP/out" 2>"$TMP/err"
	is "with another key it does not" $? 1
else
	ok "Debian's nix # SKIP no nix-store (package nix-bin)"
fi
finish
