#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Keys, bundles and challenges: `cairn archive`, `cairn challenge`.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
. "$SRC/tests/tap.inc"
export HOME="$TMP"
quiet=yes
one=$TMP/one two=$TMP/two
archive() { "$CAIRN" archive "$@"; }
store() { "$CAIRN" store "$@"; }
fails() { ! "$@"; }
says() { grep -q -- "$1" "$TMP/last"; }

# ---- Keys ------------------------------------------------------------------------------------------------------------------
mkdir -p "$one" "$two" "$TMP/tree"
echo text >"$TMP/tree/file"
tree=$(store add --root "$one" "$TMP/tree")
echo "$tree" >"$TMP/top"
top=$(store add --root "$one" --text --reference "$tree" "$TMP/top")
export_() { archive --export --root "$one" "$@" >"$TMP/bundle"; }
check "without a key nothing is exported" fails export_ "$top"
check "and it is said how to make one" says "--generate-key"
check "make one" archive --generate-key --root "$one"
is "nobody else reads it" "$(stat -c %a "$one/etc/guix/signing-key.sec")" 400
check "a second one is refused" fails archive --generate-key --root "$one"
check "a key that is none is refused" sh -c '! echo "(acl)" | "$0" archive --authorize --root "$1"' "$CAIRN" "$two"
check "an empty one is refused" sh -c '! "$0" archive --authorize --root "$1" </dev/null' "$CAIRN" "$two"
is "nothing is left behind" "$(ls "$two")" ""
mkdir -p "$TMP/three/etc/guix"
: >"$TMP/three/etc/guix/signing-key.sec"
chmod 400 "$TMP/three/etc/guix/signing-key.sec"
x=$(store add --root "$TMP/three" "$TMP/tree")
check "SUB-17 a key file that a crash left empty" fails archive --export --root "$TMP/three" "$x"
check "SUB-17 is named" says "is empty"

# ---- Bundles ---------------------------------------------------------------------------------------------------------------
import() { archive --import --root "$two" <"$TMP/bundle"; }
check "export with what it refers to" export_ -r "$top"
check "what is not signed by a trusted key is not imported" fails import
check "nothing is there" fails store query --valid --root "$two" "$top"
archive --authorize --root "$two" <"$one/etc/guix/signing-key.pub"
is "what is missing" "$(printf '%s\n' "$tree" "$top" | archive --missing --root "$two" | tr '\n' ' ')" "$tree $top "
check "import" import
is "what was imported" "$(tr '\n' ' ' <"$TMP/out")" "$tree $top "
check "the store is whole" store verify --root "$two"
check "the trees are equal" diff -r "$one$tree" "$two$tree"
is "nothing is missing" "$(printf '%s\n' "$tree" "$top" | archive --missing --root "$two")" ""
check "import again" import
head -c 300 "$TMP/bundle" | archive --import --root "$TMP/four" >"$TMP/out" 2>"$TMP/err"
is "a bundle that is cut" "$? $(cat "$TMP/err")" "65 cairn archive: the bundle on standard input ends early"
dd if=/dev/zero of="$TMP/bundle" bs=1 seek=200 count=1 conv=notrunc 2>/dev/null
check "a bundle that was changed" fails archive --import --root "$TMP/four" <"$TMP/bundle"
check "one without the reference" export_ "$top"
archive --authorize --root "$TMP/four" <"$one/etc/guix/signing-key.pub"
check "is refused where that is not" sh -c '! "$0" archive --import --root "$1" <"$2"' "$CAIRN" "$TMP/four" "$TMP/bundle"
# A chain of 30,000 references, in the database alone: what refers to what is found out, in little stack, before the first
# of them is looked for in vain.
mkdir "$TMP/chain"
export_chain() (ulimit -s 1024 && archive --export -r --root "$TMP/chain" "$chain")
store add --root "$TMP/chain" "$TMP/top" >/dev/null
mkdir -p "$TMP/chain/etc/guix" && cp "$one/etc/guix"/signing-key.* "$TMP/chain/etc/guix"
chain=$(python3 - "$TMP/chain/var/guix/db/db.sqlite" <<'E'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
paths = ["/gnu/store/%032d-chain" % i for i in range(30000)]
db.executemany("insert into ValidPaths (id, path, hash, registrationTime, narSize) values (?, ?, ?, 1, 1)",
               [(100 + i, p, "sha256:" + 64 * "0") for i, p in enumerate(paths)])
db.executemany("insert into Refs values (?, ?)", [(100 + i, 101 + i) for i in range(len(paths) - 1)])
db.commit()
print(paths[0])
E
)
check "a long chain of references" fails export_chain
check "is followed to its end" says "00000000000000000000000000029999-chain"
check "export of what is not there" fails archive --export --root "$one" /gnu/store/00000000000000000000000000000000-x

# What the configuration of a system declares counts, too, as long as it does.
archive --generate-key --root "$TMP/stranger" >/dev/null
for x in five six; do
	archive --authorize --root "$TMP/$x" <"$TMP/stranger/etc/guix/signing-key.pub"
done
export_ -r "$top"
{ echo "# of one"; cat "$one/etc/guix/signing-key.pub"; } >"$TMP/five/etc/guix/authorized-keys"
chmod 444 "$TMP/five/etc/guix/authorized-keys"
check "a declared key's bundle is imported" archive --import --root "$TMP/five" <"$TMP/bundle"
is "beside what was authorized" "$(grep -c "#[0-9A-F]*#" "$TMP/five/etc/guix/acl")" 1
rm "$TMP/five/etc/guix/authorized-keys"
check "not when it is no longer declared" fails archive --import --root "$TMP/five" <"$TMP/bundle"
check "and why is said" says "not authorized"
printf '\n(public-key\n' >"$TMP/six/etc/guix/authorized-keys"
check "a file of declared keys that is none" fails archive --import --root "$TMP/six" <"$TMP/bundle"
check "is named with the line" says "$TMP/six/etc/guix/authorized-keys:2: the parenthesis"

# ---- Single archives -------------------------------------------------------------------------------------------------------
mkdir -p "$TMP/many/bin"
printf '#!' >"$TMP/many/bin/run" && chmod 755 "$TMP/many/bin/run"
ln -s bin/run "$TMP/many/link" && : >"$TMP/many/$(printf 'e\033[2J')"
store dump "$TMP/many" >"$TMP/nar"
is "what an archive holds" "$(archive -t <"$TMP/nar" 2>&1)" 'D /
D /bin
x /bin/run  2 B
r /e\x1b[2J  0 B
S /link -> bin/run'
is "for programs" "$(archive --list --json <"$TMP/nar" | python3 -c 'import json, sys
for x in json.load(sys.stdin):
    print(sorted(x.items()))')" "[('path', '/'), ('type', 'directory')]
[('path', '/bin'), ('type', 'directory')]
[('path', '/bin/run'), ('size', 2), ('type', 'executable')]
[('path', '/e\x1b[2J'), ('size', 0), ('type', 'regular')]
[('path', '/link'), ('target', 'bin/run'), ('type', 'symlink')]"
check "unpack it" archive -x "$TMP/unpacked" <"$TMP/nar"
check "it is the same" sh -c 'cd "$1" && "$0" store dump unpacked | cmp - nar' "$CAIRN" "$TMP"
archive --extract "$TMP/unpacked" <"$TMP/nar" >"$TMP/out" 2>"$TMP/err"
is "never over something" "$? $(cat "$TMP/err")" "1 cairn archive: '$TMP/unpacked' exists already"
for x in -t "-x $TMP/more"; do
	(cat "$TMP/nar"; echo more) | archive $x >"$TMP/out" 2>"$TMP/err"
	is "$x with more than an archive" "$? $(cat "$TMP/err") $(ls "$TMP" | grep -c more)" "65 cairn archive: bad archive: something follows its end 0"
	head -c 200 "$TMP/nar" | archive $x >"$TMP/out" 2>"$TMP/err"
	is "$x with less" "$? $(cat "$TMP/err") $(ls "$TMP" | grep -c more)" "65 cairn archive: bad archive: it ends early 0"
done
archive -t --import <"$TMP/nar" >"$TMP/out" 2>"$TMP/err"
is "one thing at a time" "$? $(grep -c "one of --authorize" "$TMP/err")" "2 1"
archive --import --json <"$TMP/nar" >"$TMP/out" 2>"$TMP/err"
is "JSON is of lists" "$? $(grep -c "goes with --list" "$TMP/err")" "2 1"
archive -t <"$TMP/nar" >/dev/full 2>"$TMP/err"
is "a full disk is told" "$? $(grep -c "No space left" "$TMP/err")" "1 1"

# ---- Challenges ------------------------------------------------------------------------------------------------------------
"$CAIRN" publish --root "$one" --listen 127.0.0.1 --port 0 2>"$TMP/publish.log" &
server=$!
trap 'kill $server' EXIT
retry grep -q listening "$TMP/publish.log"
url=http://127.0.0.1:$(sed -n 's/.*port=\([0-9]*\).*/\1/p' "$TMP/publish.log")
challenge() { "$CAIRN" challenge --root "$two" --substitute-urls "$url" "$@"; }
check "a challenge" challenge
is "all are the same" "$(cat "$TMP/out")" "2 the same, 0 different, 0 not comparable"
store add --root "$two" "$TMP/top" >/dev/null
check "what no cache has" challenge
check "is told" says "1 not comparable"
# the same path with other contents
mkdir -p "$TMP/files"
cat >"$TMP/files/$(basename "$tree" | cut -c1-32).narinfo" <<E
StorePath: $tree
NarHash: sha256:00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil
NarSize: 128
References: $(basename "$tree")
Signature: 1;x;AAAA
URL: x
Compression: none
E
"$CAIRN" challenge --root "$two" --substitute-urls "$url file://$TMP/files" "$tree" >"$TMP/out"
is "a difference" $? 2
result "is shown" "$(grep -q "contents differ" "$TMP/out"; echo $?)"
sed -i 's/^NarSize: .*/NarSize: '"$(cp -r "$TMP/tree" "$TMP/other" && cd "$TMP/other" && echo else >file && echo new >more && store dump . | tee "$TMP/files/x" | wc -c)"'/' "$TMP/files"/*.narinfo
"$CAIRN" challenge --diff=simple --root "$two" --substitute-urls "file://$TMP/files" "$tree" >"$TMP/diff"
is "the files that differ" "$(sed -n 's/^    //p' "$TMP/diff" | tr '\n' ',')" "/file: contents differ,/more: only there,"
# the same from a server, which looks at who asks it for the archive
cat >"$TMP/server.py" <<'END'
import http.server, os, sys
sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from peer import look
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/x":
            with open(os.environ["TMP"] + "/look", "w") as f:
                f.write("\n".join(look(self.client_address[1])) + "\n")
        super().do_GET()
    def log_message(self, *args):
        pass
os.chdir(os.environ["TMP"] + "/files")
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
END
python3 "$TMP/server.py" >"$TMP/port" &
looker=$!
trap 'kill $server $looker' EXIT
retry [ -s "$TMP/port" ]
"$CAIRN" challenge --diff=simple --root "$two" --substitute-urls "http://127.0.0.1:$(cat "$TMP/port")" "$tree" >"$TMP/diff"
is "the files that differ from a server's" "$(sed -n 's/^    //p' "$TMP/diff" | tr '\n' ',')" "/file: contents differ,/more: only there,"
for x in "CapPrm 0000000000000000" "CapEff 0000000000000000" "NoNewPrivs 1" "Seccomp 2" "user own" "mnt own" "pid own" "home "; do
	check "of who fetches it: $x" grep -qx "$x" "$TMP/look"
done
rm "$TMP/files/x"
"$CAIRN" challenge --diff=simple --root "$two" --substitute-urls "file://$TMP/files" "$tree" >"$TMP/diff"
is "an archive that is not there" $? 2
result "is told" "$(grep -q "cannot be compared" "$TMP/diff"; echo $?)" "$TMP/diff"
"$CAIRN" challenge --json --root "$two" --substitute-urls "$url file://$TMP/files" >"$TMP/out" 2>"$TMP/err"
is "a difference for programs" $? 2
json='
import json, sys
for x in sorted(json.load(open(sys.argv[1])), key=lambda x: (x["path"][44:], x["result"])):
    print(x["path"][44:], x["result"], [c["narHash"] == x["narHash"] for c in x["caches"]])'
is "is told of each" "$(python3 -c "$json" "$TMP/out")" "top match [True]
top unknown []
tree differ [True, False]"
"$CAIRN" challenge --json --diff=simple --root "$two" --substitute-urls "$url" >"$TMP/out" 2>"$TMP/err"
is "files are not for programs" $? 2
"$CAIRN" challenge --root "$two" --substitute-urls "$url http://127.0.0.1:1" "$top" >"$TMP/out" 2>"$TMP/err"
is "a cache that does not answer" "$? $(cat "$TMP/err")" "0 http://127.0.0.1:1 does not answer"
"$CAIRN" challenge --root "$two" --substitute-urls "http://127.0.0.1:1" "$top" >"$TMP/out" 2>"$TMP/err"
is "when none does nothing is compared" "$? $(tail -n 1 "$TMP/err")" "69 cairn challenge: no cache answers: nothing was compared"
check "without caches" fails "$CAIRN" challenge --root "$two"
finish
