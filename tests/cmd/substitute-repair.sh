#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 120
# What is damaged is fetched again from a cache that has it as it was; no derivation of it is there. Another archive, however well
# signed, is not put in its place.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
. "$SRC/tests/tap.inc"
export HOME="$TMP"
root=$TMP/root pids=
trap 'for p in $pids; do kill $p; done' EXIT

# publish ROOT: serve its store; the address in $url
publish() {
	"$CAIRN" publish --listen 127.0.0.1 --port 0 --root "$1" -C none 2>"$1.log" &
	pids="$pids $!"
	retry grep -q listening "$1.log" || { cat "$1.log"; exit 1; }
	url=http://127.0.0.1:$(sed -n 's/.*port=\([0-9]*\).*/\1/p' "$1.log")
}
verify() { "$CAIRN" store verify --root "$root" "$@" >"$TMP/out" 2>"$TMP/err"; }
says() { grep -qF -- "$1" "$TMP/err"; }
# ends STATUS ARGUMENT…: how a verification ends
ends() {
	wanted=$1
	shift
	verify "$@"
	[ $? = "$wanted" ]
}
# change FILE: as a disk might
change() { chmod u+w "$1" && printf X | dd of="$1" bs=1 seek=100 conv=notrunc 2>/dev/null && chmod a-w "$1" && touch -d @1 "$1"; }
state() { (cd "$root/gnu/store" && find ./[0-9a-z]* -printf '%p %m %i %T@ %l\n' | sort && find ./[0-9a-z]* -type f -exec sha256sum {} + | sort); }
same() { diff -r --no-dereference "$TMP/good$1" "$root$1" >"$TMP/out"; }
modes() { find "$root$1" ! -type l -printf '%m %Ts\n' | sort -u | tr '\n' ' '; }

# ---- three caches: what it was, something else under the same name, and one whose archives are torn ----
mkdir -p "$TMP/tree/sub"
seq 9000 >"$TMP/tree/sub/file"
ln -s sub "$TMP/tree/link"
printf '#!/bin/sh\n%200s' '' >"$TMP/tree/run"
chmod 755 "$TMP/tree/run"
tree=$("$CAIRN" store add --root "$TMP/good" "$TMP/tree")
echo "refers to $tree" >"$TMP/top"
top=$("$CAIRN" store add --root "$TMP/good" --text --reference "$tree" "$TMP/top")
"$CAIRN" archive --generate-key --root "$TMP/good" >/dev/null
cp -a "$TMP/good" "$TMP/other"
change "$TMP/other$tree/sub/file"
hash=$("$CAIRN" store dump --root "$TMP/other" "$tree" | sha256sum | cut -d' ' -f1)
python3 - "$TMP/other/var/guix/db/db.sqlite" "$tree" "$hash" <<'E'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute("update ValidPaths set hash = 'sha256:' || ? where path = ?", (sys.argv[3], sys.argv[2])).rowcount == 1
db.commit()
E
cp -a "$TMP/good" "$TMP/torn"
change "$TMP/torn$tree/sub/file"
publish "$TMP/good" && good=$url
publish "$TMP/other" && other=$url
publish "$TMP/torn" && torn=$url
mkdir "$root"
"$CAIRN" archive --authorize --root "$root" <"$TMP/good/etc/guix/signing-key.pub"
check "a store from the cache" "$CAIRN" store realise --root "$root" --substitute-urls "$good" "$top"

# ---- what cannot be had ----
change "$root$tree/sub/file"
state >"$TMP/before"
check "without a cache it stays damaged" ends 65 --repair
check "as nothing makes it" says "no derivation is there that makes it"
check "a cache that has another archive does not help" ends 65 --repair --substitute-urls "$other"
check "which is said" says "its archive is not the one that is registered"
check "and so is what is not repaired" says "path \`$tree' could not be repaired"
check "a cache whose archive is not what it signed does not help" ends 65 --repair --substitute-urls "$torn"
check "which is said, too" says "fetching path \`$tree' failed"
mv "$root/etc/guix/acl" "$TMP/acl"
check "nor one whose key is not authorized" ends 65 --repair --substitute-urls "$good"
mv "$TMP/acl" "$root/etc/guix/acl"
check "nor one that nobody is to ask" ends 65 --repair --substitute-urls "$good" --no-substitutes
state >"$TMP/after"
check "after all that the item is as it was" cmp "$TMP/before" "$TMP/after"

# ---- what can ----
check "only a repair changes anything" ends 65 --substitute-urls "$good"
check "the right one is found behind others" ends 0 --repair --substitute-urls "$other $torn $good"
check "it is said" says "repaired \`$tree'"
check "it is what it was" same "$tree"
is "modes and times are those of the store" "$(modes "$tree")" "444 1 555 1 "
check "the store is whole" ends 0
chmod -R u+w "$root$tree"
rm -r "${root:?}$tree"
check "files that are gone come back" ends 0 --quick --repair --substitute-urls "$good"
check "as they were" same "$tree"
change "$root$top"
change "$root$tree/run"
check "two at a time" ends 0 --repair --substitute-urls "$good"
check "both are well" same "$top"
check "and the store is" ends 0
is "nothing is left beside" "$(ls -A "$root/gnu/store" | LC_ALL=C sort | tr '\n' ' ')" \
	"$(printf '%s\n' .links "${tree#/gnu/store/}" "${top#/gnu/store/}" | LC_ALL=C sort | tr '\n' ' ')"
finish
