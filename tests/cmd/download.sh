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
# /cut/X (half of it, then good), /never/X (always 503).
cat >"$TMP/server.py" <<'END'
import http.server, os
seen = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what = self.path.split("/")[1]
        first = self.path not in seen
        seen[self.path] = True
        with open(os.environ["TMP"] + "/requests", "a") as f:
            f.write(self.path + "\n")
        if what == "missing":
            return self.send_error(404)
        if what == "never" or (what == "flaky" and first):
            return self.send_error(503)
        body = (b"wrong " if what == "wrong" else b"") + self.path.split("/")[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:2] if what == "cut" and first else body)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open(os.environ["TMP"] + "/port.new", "w") as f:
    f.write(str(server.server_port))
os.rename(os.environ["TMP"] + "/port.new", os.environ["TMP"] + "/port")
server.serve_forever()
END
python3 "$TMP/server.py" &
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
get cut "$base/cut/cut" && is cut && asked "/cut/cut /cut/cut "
result "a download that was cut short is made again" $?
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
for name in gone wrong never; do
	[ -z "$(find "$TMP/root/gnu/store" -name "*-$name" | head -n 1)" ]
	result "nothing is left of $name" $?
done
finish
