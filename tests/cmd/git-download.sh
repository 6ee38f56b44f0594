#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# builtin:git-download from servers on the loopback: commits, tags, submodules, what it is not allowed (FOD-13).
set -u
for x in git python3 nix-hash; do
	command -v $x >/dev/null || { echo "skip: no $x"; exit 77; }
done
unshare -U true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy
: "${TMP:?}"
. "$SRC/tests/tap.inc"
export HOME="$TMP" GIT_CONFIG_NOSYSTEM=1 GIT_ALLOW_PROTOCOL=file:http:git
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c
cd "$TMP" || exit 1
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$SRC/tests/cmd" python3 -c 'import signal, wire
print(wire.tcp_address()[1], wire.tcp_address()[1], flush=True)
signal.pause()' >ports &
servers=$!
trap 'kill $servers' EXIT
retry grep -q . ports && read -r plain smart <ports || exit 1

commit() { # DIR TEXT
	echo "$2" >"$1/file"
	git -C "$1" add -A && git -C "$1" commit -qm "$2"
}
mkdir web
git -c init.defaultBranch=main init -q part && commit part one
git clone -q --bare part web/part.git && git -C web/part.git update-server-info
git -c init.defaultBranch=main init -q whole && printf '#!/bin/sh\n' >whole/run && chmod +x whole/run && ln -s run whole/link
commit whole one && git -C whole tag v1
first=$(git -C whole rev-parse HEAD)
mkdir want1 && git -C whole archive HEAD | tar -xC want1
python3 -m http.server --bind 127.0.0.1 --directory web "$plain" >/dev/null 2>&1 &
servers="$servers $!"
"$(git --exec-path)/git-daemon" --base-path="$TMP/web" --export-all --listen=127.0.0.1 --port="$smart" --reuseaddr 2>/dev/null &
servers="$servers $!"
retry git ls-remote "http://127.0.0.1:$plain/part.git" >/dev/null || exit 1
git -C whole submodule --quiet add "http://127.0.0.1:$plain/part.git" sub || exit 1
commit whole two
second=$(git -C whole rev-parse HEAD)
git clone -q --bare whole web/whole.git && git -C web/whole.git update-server-info
retry git ls-remote "git://127.0.0.1:$smart/whole.git" >/dev/null || exit 1
cp -R whole want2 && rm -rf want2/.git want2/sub/.git
cp -R want2 want3 && rm -rf want3/sub && mkdir want3/sub

# get NAME WANTED-TREE URL COMMIT [RECURSIVE]
get() {
	echo "return derivation { name = '$1', builder = 'builtin:git-download', args = {},
		env = { url = '\"$3\"', commit = '$4', ['recursive?'] = '${5:-#f}' },
		outputHash = '$(nix-hash --type sha256 "$2")', outputHashMode = 'recursive', outputHashAlgo = 'sha256' }" >"$1.lua"
	"$CAIRN" build --root "$TMP/root" --physical -f "$1.lua" >"$TMP/out" 2>"$TMP/err"
}
same() { diff -r --no-dereference "$1" "$(cat "$TMP/out")"; }

for base in "http://127.0.0.1:$plain" "git://127.0.0.1:$smart"; do
	kind=${base%%:*}
	get "$kind-commit" want1 "$base/whole.git" "$first" && same want1
	result "$kind: a commit" $?
	get "$kind-tag" want1 "$base/whole.git" v1 && same want1
	result "$kind: a tag" $?
	get "$kind-sub" want2 "$base/whole.git" "$second" "#t" && same want2
	result "$kind: with submodules" $?
	get "$kind-nosub" want3 "$base/whole.git" "$second" && same want3
	result "$kind: without" $?
	get "$kind-none" want1 "$base/whole.git" 0123456789012345678901234567890123456789
	[ $? = 100 ] && grep -q "cannot fetch 0123456789" "$TMP/err"
	result "$kind: a commit that is not there" $?
	get "$kind-hash" want2 "$base/whole.git" "$first"
	[ $? = 100 ] && grep -q "hash mismatch" "$TMP/err"
	result "$kind: another hash" $?
done
for url in "file://$TMP/web/whole.git" "$TMP/web/whole.git" "ext::sh -c touch% $TMP/evil" "ssh://127.0.0.1/x" "--upload-pack=touch $TMP/evil"; do
	get bad want1 "$url" "$first"
	[ $? = 100 ] && [ ! -e evil ]
	result "FOD-13 no repository at ${url%%[ /]*}" $?
done
get bad want1 "http://127.0.0.1:$plain/whole.git" "--upload-pack=x"
[ $? = 100 ] && grep -q "no proper .commit" "$TMP/err"
result "FOD-13 no option as commit" $?
# What a repository says itself is not followed elsewhere.
git clone -q web/whole.git evil-sub && git -C evil-sub config -f .gitmodules submodule.sub.url "file://$TMP/web/part.git"
commit evil-sub three
cp -R want2 want4
git clone -q --bare evil-sub web/evil.git && git -C web/evil.git update-server-info
get local want4 "http://127.0.0.1:$plain/evil.git" "$(git -C evil-sub rev-parse HEAD)" "#t"
[ $? = 100 ] && gzip -dc "$TMP"/root/var/log/guix/drvs/*/*-local.drv.gz | grep -q "transport 'file' not allowed"
result "FOD-13 no submodule from a directory of the machine" $?
mkdir evil-link && git -C evil-link -c init.defaultBranch=main init -q . && ln -s /etc evil-link/x && commit evil-link four
git clone -q --bare evil-link web/link.git && git -C web/link.git update-server-info
mkdir want5 && ln -s /etc want5/x && echo four >want5/file
get link want5 "http://127.0.0.1:$plain/link.git" "$(git -C evil-link rev-parse HEAD)" && same want5
result "FOD-13 a link that leads out is a link" $?
[ -z "$(find "$TMP/root/gnu/store" -name .git)" ]
result "no data of git is left" $?
finish
