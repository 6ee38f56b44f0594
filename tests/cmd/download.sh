#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Downloads from a server on the loopback: order of URLs, hashes, what is tried again and what is not.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
: "${TMP:?}"
. "$SRC/tests/tap.inc"
show="$TMP/err $TMP/requests"

# Paths say what the server does: /good/X, /missing/X, /wrong/X, /flaky/X (error 503, then good),
# /cut/X (half of it, then good), /never/X (always 503), /part/X (half of it, then what is asked for), /to/N/URL
# (a redirection), /file/X (what is in files), /round (to itself), /look/X (what the process that asks is like).
cat >"$TMP/server.py" <<'END'
import http.server, os, ssl, sys, threading
sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from peer import look
seen = {}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what = self.path.split("/")[1]
        first = self.path not in seen
        seen[self.path] = True
        with open(os.environ["TMP"] + "/requests", "a") as f:
            f.write(self.path + "\n")
        if self.headers["Authorization"]:
            with open(os.environ["TMP"] + "/credentials", "a") as f:
                f.write(self.path + "\n")
        if what in ("to", "round"):
            self.send_response(302)
            self.send_header("Location", self.path.split("/", 2)[2] if what == "to" else "/round/x")
            return self.end_headers()
        if what == "look":
            with open(os.environ["TMP"] + "/look", "w") as f:
                f.write("\n".join(look(self.client_address[1])) + "\n")
        if what == "missing":
            return self.send_error(404)
        if what == "never" or (what == "flaky" and first):
            return self.send_error(503)
        body = (b"wrong " if what == "wrong" else b"") + self.path.split("/")[2].split("?")[0].encode()
        if what == "file":
            body = open(os.environ["TMP"] + "/files/" + self.path.split("/")[2], "rb").read()
        begin = self.headers["Range"]
        if what == "part" and begin:
            body = body[int(begin.split("=")[1].split("-")[0]):]
            with open(os.environ["TMP"] + "/ranges", "a") as f:
                f.write(begin + "\n")
        self.send_response(206 if what == "part" and begin else 200)
        if what == "part" and begin:
            self.send_header("Content-Range", "bytes 2-3/4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:2] if what in ("cut", "part") and first else body)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    safe = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    threading.Thread(target=safe.serve_forever, daemon=True).start()
    with open(os.environ["TMP"] + "/safe-port", "w") as f:
        f.write(str(safe.server_port))
with open(os.environ["TMP"] + "/port.new", "w") as f:
    f.write(str(server.server_port))
os.rename(os.environ["TMP"] + "/port.new", os.environ["TMP"] + "/port")
server.serve_forever()
END
command -v openssl >/dev/null || { echo "skip: no openssl"; exit 77; }
command -v nix-build >/dev/null || { echo "skip: no nix-build (package nix-bin)"; exit 77; }
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
	-keyout "$TMP/cert.pem" -out "$TMP/cert.crt" 2>/dev/null || exit 1
cat "$TMP/cert.crt" >>"$TMP/cert.pem"
python3 "$TMP/server.py" "$TMP/cert.pem" &
server=$!
trap 'kill $server' EXIT
i=0
until [ -e "$TMP/port" ]; do
	i=$((i + 1))
	[ $i -lt 200 ] || { echo "the server did not start"; exit 1; }
	sleep 0.05
done
base=http://127.0.0.1:$(cat "$TMP/port")

# get NAME URL…: a fixed output whose contents are NAME; what was printed is in $TMP/out, $TMP/err
get() {
	name=$1
	shift
	urls=
	for u; do
		urls="$urls \"$u\","
	done
	hash=$(printf %s "$name" | sha256sum | cut -d ' ' -f 1)
	printf 'local origin = require "packages.build".origin\nreturn origin { name = "%s", urls = {%s }, sha256 = "%s" }\n' "$name" "$urls" "$hash" >"$TMP/$name.lua"
	: >"$TMP/requests"
	"$CAIRN" build --physical --root "$TMP/root" -f "$TMP/$name.lua" >"$TMP/out" 2>"$TMP/err"
}
asked() { [ "$(tr '\n' ' ' <"$TMP/requests")" = "$1" ]; }
is() { [ "$(cat "$(cat "$TMP/out")")" = "$1" ]; }

get plain "$base/good/plain" && is plain && asked "/good/plain "
result "a file is downloaded" $?
get order "$base/missing/order" "$base/good/order" "$base/never/order" && is order &&
	asked "/missing/order /good/order "
result "URLs are tried in their order, the rest is not asked" $?
get flaky "$base/flaky/flaky" && is flaky && asked "/flaky/flaky /flaky/flaky "
result "an overloaded server is asked again" $?
get cut "$base/cut/cut" && is cut && asked "/cut/cut /cut/cut /cut/cut "
result "a download that was cut short is made again" $?
get part "$base/part/part" && is part && asked "/part/part /part/part " && [ "$(cat "$TMP/ranges")" = "bytes=2-" ]
result "where the server can, from where it was cut" $?
get others "$base/never/others" "$base/good/others" && is others && asked "/never/others /good/others "
result "other servers come before a second try" $?
get gone "$base/missing/gone"
[ $? = 100 ] && asked "/missing/gone " && grep -q "$base/missing/gone: .*404" "$TMP/err"
result "what is not there is not asked for again" $?
get wrong "$base/wrong/wrong"
[ $? = 100 ] && asked "/wrong/wrong " && grep -q "instead of $(printf wrong | sha256sum | cut -c 1-20)" "$TMP/err"
result "a file with another hash is refused" $?
get never "$base/never/never"
[ $? = 100 ] && [ "$(grep -c /never/never "$TMP/requests")" = 4 ] && grep -q "503" "$TMP/err"
result "after four tries it is an error" $?
CAIRN_MIRROR_DEBIAN=$base/good
export CAIRN_MIRROR_DEBIAN
get pool mirror://debian/pool && is pool && asked "/good/pool "
result "a mirror from the environment" $?
mkdir -p "$TMP/pool/main"
chmod 755 "$TMP/pool" "$TMP/pool/main"
printf local >"$TMP/pool/main/local"
printf linked >"$TMP/pool/linked-to"
ln -s ../linked-to "$TMP/pool/main/linked"
ln -s main "$TMP/pool/other"
CAIRN_MIRROR_DEBIAN=file://$TMP/pool
get local mirror://debian/main/local && is local
result "a mirror in a directory of this machine" $?
get linked mirror://debian/main/linked
[ $? = 100 ] && grep -q "linked: Too many levels of symbolic links" "$TMP/err"
result "links in it are not followed" $?
printf way >"$TMP/pool/main/way"
printf up >"$TMP/pool/up"
for x in other/way main/../up; do
	get "${x##*/}" "mirror://debian/$x"
	[ $? = 100 ]
	result "nor one on the way, nor the way up: $x" $?
done
unset CAIRN_MIRROR_DEBIAN
CAIRN_CONTENT_MIRRORS="$base/missing/%b $base/good/%n?%a=%h"
export CAIRN_CONTENT_MIRRORS
get hashed "$base/never/hashed" && is hashed &&
	[ "$(tail -n 1 "$TMP/requests")" = "/good/hashed?sha256=$(printf hashed | sha256sum | cut -d ' ' -f 1)" ]
result "a file is asked for by its hash" $?
unset CAIRN_CONTENT_MIRRORS
cat >"$TMP/table.lua" <<END
return derivation { name = "table", builder = "builtin:download",
	env = { url = '"mirror://gnu/table"', mirrors = text("mirrors", [[((kde "$base/never") (gnu "$base/missing/" "$base/good"))]]) },
	outputHash = "$(printf table | sha256sum | cut -d ' ' -f 1)", outputHashMode = "flat", outputHashAlgo = "sha256" }
END
: >"$TMP/requests"
"$CAIRN" build --physical --root "$TMP/root" -f "$TMP/table.lua" >"$TMP/out" 2>"$TMP/err"
is table && asked "/missing/table /good/table "
result "mirrors that a derivation of Guix's names" $?

# Nix's own name for it, with an URL that is no Scheme.
mkdir "$TMP/conf"
echo 'substitute = false' >"$TMP/conf/nix.conf"
"$CAIRN" daemon --dialect=nix --root "$TMP/nix" 2>"$TMP/nix.log" &
server="$server $!"
retry test -S "$TMP/nix/nix/var/nix/daemon-socket/socket"
fetchurl() {
	: >"$TMP/requests"
	HOME=$TMP NIX_CONF_DIR=$TMP/conf NIX_REMOTE="unix://$TMP/nix/nix/var/nix/daemon-socket/socket?root=$TMP/nix" nix-build \
		--no-out-link -E "import <nix/fetchurl.nix> { $1 sha256 = \"$(printf %s "${2:-nix}" | sha256sum | cut -d ' ' -f 1)\"; }" \
		>"$TMP/out" 2>"$TMP/err"
}
fetchurl "url = $base/good/nix;" && [ "$(cat "$TMP/nix$(cat "$TMP/out")")" = nix ] && asked "/good/nix "
result "builtin:fetchurl" $?
mkdir -p "$TMP/files/tree/bin"
echo program >"$TMP/files/tree/bin/run"
chmod 755 "$TMP/files/tree/bin/run"
nix-store --dump "$TMP/files/tree" >"$TMP/files/tree.nar"
xz -k "$TMP/files/tree.nar"
for file in tree.nar tree.nar.xz; do
	HOME=$TMP NIX_CONF_DIR=$TMP/conf NIX_REMOTE="unix://$TMP/nix/nix/var/nix/daemon-socket/socket?root=$TMP/nix" nix-build \
		--no-out-link -E "import <nix/fetchurl.nix> { url = \"$base/file/$file\"; name = \"$file-tree\"; unpack = true;
			sha256 = \"$(nix-hash --type sha256 "$TMP/files/tree")\"; }" >"$TMP/out" 2>"$TMP/err" &&
		diff -r "$TMP/files/tree" "$TMP/nix$(cat "$TMP/out")" && [ -x "$TMP/nix$(cat "$TMP/out")/bin/run" ]
	result "builtin:fetchurl unpacks $file" $?
done
! fetchurl "url = \"$base/good/nonar\"; unpack = true;" && grep -q "cannot unpack" "$TMP/err"
result "builtin:fetchurl unpacks nothing else" $?
xz -c --lzma2=dict=1536MiB "$TMP/files/tree.nar" >"$TMP/files/dictionary.xz"
fetchurl "url = \"$base/file/dictionary.xz\"; unpack = true;"
grep -q "cannot unpack" "$TMP/err"
result "SUB-07 builtin:fetchurl refuses a dictionary of 1.5 GiB" $?
! fetchurl "url = $base/wrong/other;" other && asked "/wrong/other "
result "builtin:fetchurl refuses another hash" $?
! fetchurl "url = file://$TMP/server.py;" x && grep -q "scheme that is not allowed" "$TMP/err"
result "builtin:fetchurl reads no file" $?
port=${base##*:}
safe=https://localhost:$(cat "$TMP/safe-port")
get far "$base/to/$base/to/$base/good/far" && is far
result "redirections are followed" $?
get round "$base/round/x"
[ $? = 100 ] && [ "$(wc -l <"$TMP/requests")" -le 12 ]
result "not for ever" $?
echo secret >"$TMP/secret"
for to in "file://$TMP/secret" "ftp://127.0.0.1:$port/x" "gopher://127.0.0.1:$port/x" "scp://127.0.0.1/x"; do
	get secret "$base/to/$to"
	[ $? = 100 ] && [ "$(wc -l <"$TMP/requests")" = 1 ]
	result "no redirection to ${to%%:*}" $?
	[ "${to%%:*}" != ftp ] || continue
	echo "return derivation { name = 'raw', builder = 'builtin:download', args = {}, env = { url = '\"$to\"' },
		outputHash = '$(sha256sum <"$TMP/secret" | cut -d' ' -f1)', outputHashMode = 'flat', outputHashAlgo = 'sha256' }" >"$TMP/raw.lua"
	"$CAIRN" build --root "$TMP/root" -f "$TMP/raw.lua" >"$TMP/out" 2>"$TMP/err"
	[ $? = 100 ] && grep -q "scheme that is not allowed" "$TMP/err"
	result "no answer from ${to%%:*}" $?
done
rm -f "$TMP/credentials"
get key "http://me:hidden@127.0.0.1:$port/to/http://localhost:$port/good/key" && is key &&
	[ "$(cat "$TMP/credentials")" = "/to/http://localhost:$port/good/key" ]
result "a password is told to the host it is for, and to no other" $?
get tls "$safe/good/tls"
[ $? = 100 ] && [ ! -s "$TMP/requests" ] && grep -qi "certificate" "$TMP/err"
result "FOD-11 a server that nobody vouches for is not asked" $?
SSL_CERT_FILE=$TMP/cert.crt
export SSL_CERT_FILE
get tls "$safe/good/tls" && is tls
result "FOD-11 one that is vouched for is" $?
get name "https://127.0.0.1:${safe##*:}/good/name"
[ $? = 100 ] && [ ! -s "$TMP/requests" ]
result "FOD-11 but not under another name" $?
get down "$safe/to/$base/good/down"
[ $? = 100 ] && [ "$(wc -l <"$TMP/requests")" = 1 ]
result "no redirection from TLS to the open" $?
unset SSL_CERT_FILE
get look "$base/look/look" && is look
result "what downloads can be looked at" $?
show=$TMP/look
for x in "CapPrm 0000000000000000" "CapEff 0000000000000000" "NoNewPrivs 1" "Seccomp 2" "user own" "mnt own" "pid own" \
	"ipc own" "uts own" "home "; do
	check "of a download: $x" grep -qx "$x" "$TMP/look"
done
[ "$(id -u)" != 0 ] || ! grep -q "^Uid 0" "$TMP/look"
result "of a download: its user is not root" $?
show="$TMP/err $TMP/requests"
for name in gone wrong never; do
	[ -z "$(find "$TMP/root/gnu/store" -name "*-$name" | head -n 1)" ]
	result "nothing is left of $name" $?
done
finish
