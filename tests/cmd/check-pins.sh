#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# packages/check-pins asks for the head of every URL of recipes and seed; a pin is lost when none of
# its URLs answers.
set -u
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
. "$SRC/tests/tap.inc"
# All of them are found: an origin's, and one for each Debian package of the seed.
"$SRC/packages/check-pins" --list >"$TMP/all" || exit 1
is "every URL of a recipe" "$(grep -vc '^seed[0-9]' "$TMP/all")" \
	"$(cd "$SRC/packages" && find . -name '*.lua' ! -name 'seed*' ! -path './build/*' -exec cat {} + | sed '/home_page/d; /^ *--/d' | grep -oE '"(https?|mirror)://[^"]+"' | wc -l)"
is "every package of the seed" "$(grep -c '^seed[0-9]' "$TMP/all")" \
	"$(grep -c '"pool/' "$SRC/packages/seed-debs.lua")"

# A phase goes on when what is asked to fail does not: '!' at the head of a command checks nothing (but of find: '! -name').
toothless() { grep -nrE --include=*.lua --include=*.sh '(^|&&|\|\||;)[[:space:]]*! [^-]' "$@"; }
is "each check of a phase can fail" "$(toothless "$SRC/packages")" ""
mkdir "$TMP/planted"
printf '%s\n' "	configure = [[" "		grep -q a b && ! grep c b" "		! grep d b" "		if ! grep e b; then exit 1; fi" "	]]" >"$TMP/planted/x.lua"
is "one that cannot is seen" "$(toothless "$TMP/planted" | cut -d : -f 2 | tr '\n' ' ')" "2 3 "

mkdir -p "$TMP/packages" "$TMP/site/pool"
cp "$SRC/packages/check-pins" "$TMP/packages/"
echo x >"$TMP/site/pool/a.deb"
echo x >"$TMP/site/pool/b.tar.gz"
echo x >"$TMP/site/pool/c.tar.gz"
cat >"$TMP/server.py" <<'END'
import http.server
import os


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_error(405)  # heads only

    def log_message(self, *args):
        pass


tmp = os.environ["TMP"]
os.chdir(tmp + "/site")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(tmp + "/port", "w", encoding="ascii") as f:
    f.write(f"{server.server_address[1]}\n")
server.serve_forever()
END
mkfifo "$TMP/port"
python3 "$TMP/server.py" &
server=$!
trap 'kill $server' EXIT
read -r port <"$TMP/port"
export CAIRN_MIRROR_DEBIAN="http://127.0.0.1:$port"

cd "$TMP/packages" || exit 1
echo 'return { core = { { "pool/a.deb", "00" }, }, }' >seed-debs.lua
cat >b.lua <<END
urls = { "http://127.0.0.1:$port/gone/b.tar.gz", "mirror://debian/pool/b.tar.gz" },
home_page = "http://127.0.0.1:$port/home",
urls = { "mirror://debian/pool/c.tar.gz" },
END
./check-pins >"$TMP/out" 2>"$TMP/err"
is "one dead URL of two loses nothing" "$? $(cat "$TMP/out")" "0 3 of 4 URLs answer"
is "it is named" "$(cat "$TMP/err")" "no answer: http://127.0.0.1:$port/gone/b.tar.gz"
rm "$TMP/site/pool/a.deb" "$TMP/site/pool/c.tar.gz"
./check-pins >"$TMP/out" 2>"$TMP/err"
is "a pin without any is lost" "$? $(cat "$TMP/out")" "1 1 of 4 URLs answer"
is "and named" "$(tail -n 1 "$TMP/err")" "lost pins: b.2 seed1"
finish
