#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What is damaged is found, told, and made again from its derivation; nothing else is put in its place.
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
root=$TMP/root
mkdir -p "$TMP/bb/bin"
cp "$busybox" "$TMP/bb/bin/busybox"
cd "$TMP" || exit 1
. "$SRC/tests/tap.inc"

has() { grep -qF -- "$2" "$1"; }
build() { "$CAIRN" build --root "$root" "$@"; }
s() { "$CAIRN" store "$@" --root "$root"; }
# damage FILE: as a disk might
damage() {
	chmod u+w "$1" && printf X | dd of="$1" bs=1 seek=9000 conv=notrunc 2>/dev/null && chmod a-w "$1" && touch -d @1 "$1"
}

# Three items, each of which the next refers to and is made with; the first has files large enough
# for links, one in two items.
cat >three.lua <<'END'
local bb = source("bb", { name = "bb" })
local function drv(name, script, env)
	env.b = bb .. "/bin/busybox"
	return derivation { name = name, builder = bb .. "/bin/busybox", args = { "sh", "-c", script }, env = env }
end
local one = drv("one", [[$b mkdir -p $out/sub; $b seq 5000 >$out/sub/data; $b ln -s sub $out/link]], {})
local two = drv("two", [[$b mkdir $out; $b seq 5000 >$out/data; $b cat $in1/sub/data >>$out/all; echo $in1 >$out/ref]], { in1 = one })
local odd = drv("odd", [[$b mkdir $out; $b seq 5000 >$out/data; $b head -c 20 /dev/urandom >$out/random; echo $in1 >$out/ref]], { in1 = two })
return odd
END
build -f three.lua >out 2>err
result "build" $? err
odd=$root$(cat out)
two=$root$(cat "$odd/ref")
one=$root$(cat "$two/ref")
s verify >out 2>err
result "a sound store" $? err
result "equal files are links" "$([ "$(stat -c %i "$one/sub/data")" = "$(stat -c %i "$two/data")" ]; echo $?)" err

# ---- one file, of three items by links ----
damage "$one/sub/data"
s verify >out 2>err
result "damage is told: exit status" "$([ $? = 65 ]; echo $?)" err
result "for each item that has it" "$([ "$(grep -c 'was modified' err)" = 3 ]; echo $?)" err
result "and nothing is changed" "$(s verify >/dev/null 2>err; [ "$(grep -c 'was modified' err)" = 3 ]; echo $?)" err
s verify --repair >out 2>err
status=$?
result "what can be made again is" "$(has err "repaired \`${one#"$root"}'" && has err "repaired \`${two#"$root"}'"; echo $?)" err
result "what comes out differently is not put in place" \
	"$([ $status = 65 ] && has err "could not be repaired" && has err "may not be deterministic"; echo $?)" err
result "one fault is left" "$(s verify >/dev/null 2>err; [ "$(grep -c 'was modified' err)" = 1 ]; echo $?)" err
result "it is as it was" "$([ "$(dd if="$odd/data" bs=1 skip=9000 count=1 2>/dev/null)" = X ]; echo $?)" err
result "modes and times are those of the store" \
	"$([ "$(stat -c '%a %Y' "$one" "$one/sub" "$one/sub/data" | sort -u | tr '\n' ' ')" = "444 1 555 1 " ]; echo $?)" err
result "sound files are links again" "$([ "$(stat -c %i "$one/sub/data")" = "$(stat -c %i "$two/data")" ]; echo $?)" err
result "the damaged one is not among them" "$([ "$(stat -c %i "$one/sub/data")" != "$(stat -c %i "$odd/data")" ]; echo $?)" err

damage "$two/all"
build --repair -f three.lua >out 2>err
result "a build repairs what it refers to" "$([ $? = 1 ] && has err "repaired \`${two#"$root"}'"; echo $?)" err
build --repair --check -f three.lua >out 2>err
result "and either repairs or compares" "$([ $? = 2 ]; echo $?)" err

# ---- with a cache ----
# It has the items as they were, and from now on also the one that no build makes twice.
"$CAIRN" build --root "$root" -f three.lua >/dev/null 2>&1
cp -a "$root" "$TMP/cache"
origin=$TMP/cache
"$CAIRN" archive --generate-key --root "$origin" >out 2>err
result "a cache" $? err
fresh=$origin${odd#"$root"}
chmod u+w "$fresh" "$fresh/data" && seq 5000 >"$fresh/data" && chmod a-w "$fresh" "$fresh/data" && touch -d @1 "$fresh" "$fresh/data"
"$CAIRN" store verify --root "$origin" >out 2>err
result "is whole" $? err
"$CAIRN" publish --listen 127.0.0.1 --port 0 --root "$origin" 2>publish.log &
publish=$!
trap 'kill $publish 2>/dev/null' EXIT
retry grep -q listening publish.log
url=http://127.0.0.1:$(sed -n 's/.*port=\([0-9]*\).*/\1/p' publish.log)
"$CAIRN" archive --authorize --root "$root" <"$origin/etc/guix/signing-key.pub"
damage "$two/all"
build --repair --substitute-urls "$url" -f three.lua >out 2>err
result "a build repairs from a cache" "$([ $? = 0 ] && has err "repaired \`${two#"$root"}'"; echo $?)" err
result "and builds nothing" "$(! has err building; echo $?)" err
result "even what no build makes twice" "$(has err "repaired \`${odd#"$root"}'" && cmp -s "$odd/data" "$one/sub/data"; echo $?)" err
s verify >out 2>err
result "the store is whole" $? err
kill $publish
damage "$two/ref"
s verify --repair --substitute-urls "$url" >out 2>err
result "when the cache fails it is built" "$([ $? = 0 ] && has err "fetching path \`${two#"$root"}' failed" && has err "repaired \`${two#"$root"}'"; echo $?)" err

# ---- what is gone ----
chmod -R u+w "$one" && rm -r "$one"
s verify --quick >out 2>err
result "what is gone is told" "$([ $? = 65 ] && has err "'${one#"$root"}' disappeared"; echo $?)" err
s verify --quick --repair >out 2>err
result "and made again" "$([ $? = 0 ] && has err "repaired \`${one#"$root"}'" && [ -d "$one/sub" ]; echo $?)" err
echo source >lone.txt
lone=$(s add lone.txt)
rm -f "$root$lone"
s verify --quick >out 2>err
result "a row without files stays" "$(s query "$lone" >/dev/null 2>err; echo $?)" err
s verify --quick --repair >out 2>err
result "until it is repaired and nothing needs it" "$([ $? = 0 ] && has err "removing '$lone'"; echo $?)" err

# ---- no way back ----
bb=$(s query --all | grep -- '-bb$')
damage "$root$bb/bin/busybox"
s verify --repair >out 2>err
result "a source cannot be made again" "$([ $? = 65 ] && has err "$bb' could not be repaired: no derivation"; echo $?)" err
result "and stays as it is" "$([ -f "$root$bb/bin/busybox" ]; echo $?)" err
result "nothing is left beside" "$([ -z "$(ls -A "$root/gnu/store" | grep -v '^[0-9a-z]\{32\}-' | grep -v '^.links$')" ]; echo $?)" err
finish
