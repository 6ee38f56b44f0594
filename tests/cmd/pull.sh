#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Channels: signing a tree of modules, pulling it, and what somebody in between could try.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT XDG_STATE_HOME CAIRN_MODULES http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export HOME="$TMP/home" TMPDIR="$TMP/scratch" XDG_CACHE_HOME="$TMP/cache"
mkdir -p "$HOME" "$TMPDIR"
cd "$TMP" || exit 1
quiet=yes
R=$TMP/root
profile=$R/var/guix/profiles/per-user/root/cairn-modules
has() { grep -qF -- "$1" "$TMP/last"; } # what the check before printed
status() { want=$1 && shift && "$@"; [ $? = "$want" ]; }
pull() { "$CAIRN" pull --root "$R" "$@"; }
from() { url=$1 && shift && pull --url "$url" --key "$key" "$@"; }
sign() { "$CAIRN" channel sign --root "$TMP/maker" --key key "$@"; }
number() { sed -n 's/^serial = //p' "$R$(readlink "${profile%/*}/$(readlink "$profile")")/channel"; }

# As much of the real tree as makes an item.
mkdir -p tree/system tree/packages
cp -R "$SRC/system/lua" tree/system/
cp "$SRC"/packages/seed*.lua tree/packages/
cp -R "$SRC/packages/build" tree/packages/
cp "$SRC/Makefile" "$SRC/Kbuild" tree/
[ ! -d "$SRC/seed" ] || cp -R "$SRC/seed" tree/

check "a key" "$CAIRN" channel generate-key key
key=$(cat "$TMP/out")
check "its secret is its owner's" [ "$(stat -c %a key)" = 400 ]
check "it is not made twice" status 1 "$CAIRN" channel generate-key key
check "another key" "$CAIRN" channel generate-key --name "${key%%:*}" other
other=$(cat "$TMP/out")
check "a key that is not there" status 1 "$CAIRN" channel sign --key nowhere tree -o site
check "is made by" has "signing key nowhere: No such file or directory [make one with 'cairn channel generate-key FILE']"
check "a channel needs a name" status 2 sign tree -o site
check "sign" sign tree -o site --name test
check "the index is the first" grep -qx 'serial = 1' site/channel.index
cp -R site old

check "nothing is fetched unless it is said from where" status 2 pull
check "what to do is said" has "/etc/cairn/pull"
check "another key, of the same name" status 65 pull --url "file://$TMP/site" --key "$other"
check "is said to be" has "is not signed by the key"
json() { python3 -c 'import json, sys; x = json.load(open(sys.argv[1])); print(x["result"], x["generation"], bool(x["modules"]), x["channel"]["serial"])' "$TMP/json"; }
says_json() { want=$1 && shift && "$CAIRN" pull --json --root "$R" "$@" >"$TMP/json" 2>"$TMP/err" && [ "$(json)" = "$want" ]; }
check "a dry run, as JSON" says_json "planned None False 1" -n --url "file://$TMP/site" --key "$key"
check "a dry run" from "file://$TMP/site" -n
check "shows what there is" has "test number 1"
check "nothing was kept so far" [ ! -e "$profile" ]
check "pull" from "file://$TMP/site"
item=$(tail -n 1 "$TMP/out")
check "the item is the profile's" [ "$R$item" = "$R$(readlink "$profile-1-link")" ]
mkdir -p "$R/etc/cairn"
printf '[channel]\nurl = file://%s\nkey = %s\n' "$TMP/site" "$key" >"$R/etc/cairn/pull"
check "settings of the machine" pull
check "it has that already" has "number 1 is what this machine has"
check "that as JSON" says_json "unchanged 1 True 1"
check "list" pull --list
check "who signed it" has "key   $key"
check "what is evaluated with it makes that item again" "$CAIRN" build --root "$R" --modules "$R$item" \
	-e "cairn_modules(require('packages.seed').busybox, require('packages.seed').shell)"
check "so the next generation has it" has "$item"

# ---- The next tree, from a server
cat >server.py <<'END'
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_address[1], flush=True)
server.serve_forever()
END
python3 server.py "$TMP/site" >port 2>requests &
server=$!
retry [ -s port ]
echo '-- newer' >>tree/packages/seed.lua
check "sign the next" sign tree -o site
check "it names the one before" grep -q '^previous = ' site/channel.index
check "pull from a server" says_json "pulled 2 True 2" --url "http://127.0.0.1:$(cat port)" --key "$key"
check "number 2" [ "$(number)" = 2 ]
kill $server
wait $server 2>/dev/null
check "a server that is gone" status 69 from "http://127.0.0.1:$(cat port)"

# ---- What somebody in between could try. Nothing of it is kept.
before=$(readlink "$profile")
check "a replay of the old one" status 65 from "file://$TMP/old"
check "is refused as that" has "this machine has 2"
cp -R old fork
echo '-- another' >>tree/packages/seed.lua
check "another number 2" sign tree -o fork
check "is another history" status 65 from "file://$TMP/fork"
check "refused" has "two histories"
rm -rf fork
cp -R site fork
sed -i '/^previous/d' fork/channel.index
check "a changed index" status 65 from "file://$TMP/fork"
check "is not signed" has "is not signed by the key"
sed '/^# signature/d' site/channel.index >fork/channel.index
check "an index without signature" status 65 from "file://$TMP/fork"
check "has none" has "has no signature"
check "number 3" sign tree -o site
for damage in 'head -c 5000 site/test-3.nar >fork/test-3.nar' 'sed s/newer/older/ site/test-3.nar >fork/test-3.nar' \
	'(cat site/test-3.nar; echo more) >fork/test-3.nar'; do
	cp site/channel.index fork/
	sh -c "$damage"
	check "an archive by $damage" status 65 from "file://$TMP/fork"
done
rm fork/test-3.nar
check "no archive" status 1 from "file://$TMP/fork"
python3 - >evil.nar <<'END'
import struct, sys
def s(x):
    x = x.encode()
    return struct.pack("<Q", len(x)) + x + b"\0" * (-len(x) % 8)
def entry(name, body):
    return s("entry") + s("(") + s("name") + s(name) + s("node") + body + s(")")
file = s("(") + s("type") + s("regular") + s("contents") + s("x") + s(")")
up = s("(") + s("type") + s("symlink") + s("target") + s("..") + s(")")
sys.stdout.buffer.write(s("nix-archive-1") + s("(") + s("type") + s("directory") +
    entry("../../evil", file) + entry("a", up) + s(")"))
END
check "a maker can sign anything" sign evil.nar -o site
check "a path that leads out" status 65 from "file://$TMP/site"
check "is refused when unpacked" has "test-4.nar"
check "and nothing was written there" [ -z "$(find "$TMP" -name evil)" ]
check "a tree that is none of modules" sh -c 'mkdir empty && echo x >empty/x && "$0" store dump empty >empty.nar' "$CAIRN"
sign empty.nar -o site >"$TMP/out" 2>&1
check "is no modules directory" status 66 from "file://$TMP/site"
check "the profile is what it was" [ "$(readlink "$profile")" = "$before" ]
check "and nothing is left lying about" [ -z "$(ls -A "$TMPDIR")" ]

check "a downgrade that is wanted" from "file://$TMP/old" --allow-downgrade
check "is a new generation" [ "$(readlink "$profile")" = cairn-modules-3-link ]
check "of the old number" [ "$(number)" = 1 ]
check "roll back, without asking anybody" says_json "rolled-back 2 True 2" --roll-back --url file:///nowhere
check "number 2 again" [ "$(number)" = 2 ]
kept=$(readlink "$profile")
check "and once more" says_json "rolled-back 1 True 1" --roll-back
check "before the first pull there were those of the system" pull --json --roll-back
check "which is said" has '"result":"rolled-back","from":1,"generation":null,"modules":null,"channel":null}'
check "so nothing is in their place" [ ! -L "$profile" ]
check "and nothing can be taken back" status 66 pull --roll-back
ln -s "$kept" "$profile"

# ---- A git repository
if command -v git >/dev/null; then
	export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x
	g() { git -C tree "$@" >"$TMP/git" 2>&1; }
	g init -b main && g add -A && g commit -m one
	echo stray >tree/packages/stray.lua
	check "what is not committed is not signed" status 65 sign tree --name git
	rm tree/packages/stray.lua
	check "sign a repository" sign tree --name git
	g add -A && g commit -m signed
	check "another name, of the same key" status 65 from "git+file://$TMP/tree#main"
	check "is refused: a hop over it could lead back" has "has the channel git, but this machine has test"
	check "unless that is wanted" from "git+file://$TMP/tree#main" --allow-downgrade
	check "it is another history" grep -qx 'name = git' "$R$(readlink "$profile-4-link")/channel"
	check "the index is not among the modules" [ ! -e "$R$(readlink "$profile-4-link")/channel.index" ]
	echo '-- tampered' >>tree/packages/seed.lua
	sign tree >"$TMP/out" 2>&1 # refuses
	g add -A && g commit -m tampered
	check "an index that was seen, with another tree" from "git+file://$TMP/tree"
	check "changes nothing" has "is what this machine has"
	check "for a machine that has not" status 65 "$CAIRN" pull --root "$TMP/fresh" --url "git+file://$TMP/tree" --key "$key"
	check "it has another hash" has "was signed"
fi

# ---- What a generation was made with
g=/gnu/store/$(printf '%032d' 1)-system
mkdir -p "$R$g/boot" "$R$g/services"
for f in accounts activation boot/entry boot/menu etc facts init kernel initrd services/set; do : >"$R$g/$f"; done
ln -s "$item" "$R$g/modules"
mkdir -p "$R/var/guix/profiles"
ln -s $g "$R/var/guix/profiles/system-1-link"
ln -s system-1-link "$R/var/guix/profiles/system"
check "describe" "$CAIRN" system describe --root "$R" --target-root "$R"
check "channel, number, where from, who" sh -c 'grep -q "channel  *test number 1 of 20" "$0" && grep -qF "file://$1/site, signed by $2" "$0"' \
	"$TMP/last" "$TMP" "$key"
check "as JSON" sh -c '"$0" system list-generations --json --root "$1" --target-root "$1" | python3 -c "
import json, sys
c = json.load(sys.stdin)[0][\"channel\"]
assert c[\"serial\"] == 1 and c[\"name\"] == \"test\" and c[\"key\"] == sys.argv[1], c" "$2"' "$CAIRN" "$R" "$key"
finish
