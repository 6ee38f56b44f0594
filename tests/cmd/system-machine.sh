#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Duties of a machine: directories that others may have prepared for root to fall into, what is emptied at boot, the
# random seed.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
R=$TMP/machine
path=/gnu/store/$(printf '%032d' 1)-system
g=$R$path
mkdir -p "$g/boot" "$g/services" "$g/etc" "$R/var/guix/profiles" "$R/run" "$R/var/lib"
: >"$g/activation" >"$g/boot/entry" >"$g/boot/menu" >"$g/facts" >"$g/init" >"$g/kernel" >"$g/initrd" >"$g/services/set"
printf '[group root]\nid = 0\n[user root]\nid = 0\nhome = /root\n' >"$g/accounts"
ln -s $path "$R/run/booted-system"
activate() { "$CAIRN" system activate --target-root "$R" "$@" >"$TMP/out" 2>"$TMP/err"; }

# ---- Links on the way
mkdir -m 711 "$R/canary"
mkdir "$R/var/lib/open" "$R/elsewhere"
chmod 777 "$R/var/lib/open" # whoever likes may put a link there
ln -s ../../../canary "$R/var/lib/open/way"
ln -s ../../elsewhere "$R/var/lib/ours"
cat >"$g/activation" <<'D'
[directory /var/lib/open/way/in]
[directory /var/lib/open/way]
mode = 0777
[directory /var/lib/ours/in]
mode = 0700
[directory /var/lib/open/fine/below]
D
activate $path
check "a link that others can have put there is not followed" [ ! -e "$R/canary/in" ]
check "nor does its target change" [ "$(stat -c %a "$R/canary")" = 711 ]
check "the path is named, and why" grep -q 'var/lib/open/way/in: .*is a link' "$TMP/err"
check "a link that is ours is followed" [ "$(stat -c %a "$R/elsewhere/in")" = 700 ]
check "no link, no difference" [ -d "$R/var/lib/open/fine/below" ]
if [ "$(id -u)" = 0 ]; then
	mkdir "$R/var/lib/theirs"
	ln -s ../../../canary "$R/var/lib/theirs/way"
	chown -h 1234:1234 "$R/var/lib/theirs" "$R/var/lib/theirs/way"
	printf '[directory /var/lib/theirs/way/in]\nuser = root\n' >"$g/activation"
	activate $path
	check "a service's own link is not followed by root" [ ! -e "$R/canary/in" ]
fi

# ---- Emptied at boot
dirty() {
	rm -rf "$R/var/spool"
	mkdir -p "$R/var/spool/a/b" "$R/var/spool/.hidden" "$R/var/spool/at"
	echo x >"$R/var/spool/a/b/file"
	ln -s ../../canary "$R/var/spool/link"
	(cd "$R/var/spool" && i=0 && while [ $i -lt 300 ]; do mkdir deep && cd deep || exit; i=$((i + 1)); done)
}
echo kept >"$R/canary/kept"
printf '[directory /var/spool]\nmode = 1777\nclean = yes\n[directory /var/lib/ours/in]\n' >"$g/activation"
dirty
activate $path
check "a switch empties nothing" [ -e "$R/var/spool/a/b/file" ]
check "directories of a boot" activate --directories
check "what is to be empty is" [ -z "$(ls -A "$R/var/spool")" ]
check "with the mode that was asked for" [ "$(stat -c %a "$R/var/spool")" = 1777 ]
check "a link goes, not what it names" [ -e "$R/canary/kept" ]
check "others are not emptied" [ -d "$R/elsewhere/in" ]
if unshare -Urm true 2>/dev/null; then
	dirty
	unshare -Urm --propagation private sh -c 'mount -t tmpfs tmpfs "$1/at" && echo x >"$1/at/mounted" &&
		"$CAIRN" system activate --target-root "$2" --directories && cat "$1/at/mounted" && ls -A "$1"' \
		sh "$R/var/spool" "$R" >"$TMP/out" 2>"$TMP/err"
	check "a file system that is mounted there stays as it is" [ "$(tr '\n' ' ' <"$TMP/out")" = "x at " ]
fi

# ---- What lies on file systems that are mounted after the activation of a boot
printf '[group ann]\n[user ann]\ngroup = ann\nhome = /home/ann\ncreate-home = yes\n' >>"$g/accounts"
printf '[link /home/sh]\ntarget = /run/sh\n' >>"$g/activation"
mkdir -p "$g/skeletons"
echo hello >"$g/skeletons/.profile"
activate $path
if unshare -Urm true 2>/dev/null; then
	unshare -Urm --propagation private sh -c 'mount -t tmpfs -o mode=700 tmpfs "$0/home" &&
		"$CAIRN" system activate --target-root "$0" --directories && stat -c "%a %u" "$0/home" && cat "$0/home/ann/.profile" && readlink "$0/home/sh"' \
		"$R" >"$TMP/out" 2>"$TMP/err"
	check "homes and links are made there, too" [ "$(tr '\n' ' ' <"$TMP/out")" = "755 0 hello /run/sh " ]
	unshare -Urm --propagation private sh -c 'mkdir -p "$0/mnt" && mount -t tmpfs -o mode=700,ro tmpfs "$0/mnt" &&
		"$CAIRN" system activate --target-root "$0" --directories && stat -c %a "$0/mnt"' "$R" >"$TMP/out" 2>"$TMP/err"
	check "what is only read stays as it is" [ "$(cat "$TMP/out")" = 700 ]
fi
other=/gnu/store/$(printf '%032d' 2)-system
cp -r "$g" "$R$other"
printf '[directory /var/lib/other]\n' >"$R$other/activation"
ln -sfn $other "$R/run/current-system"
activate --directories
check "what runs is asked, not what was booted" [ -d "$R/var/lib/other" ]
rm "$R/run/current-system"
check "without a system that runs nothing is done" sh -c '! "$CAIRN" system activate --target-root "$0" --directories 2>/dev/null' "$R"

# ---- The random seed
seed=$TMP/seeds/seed
mkdir "$TMP/seeds"
random_seed() { "$CAIRN" system random-seed "$@" >"$TMP/out" 2>"$TMP/err"; }
check "no seed yet" random_seed load "$seed"
check "one is there then" [ "$(stat -c '%a %s' "$seed")" = "600 512" ]
cp "$seed" "$TMP/first"
check "a seed is loaded" random_seed load "$seed"
check "and never again: another one took its place" sh -c '! cmp -s "$0" "$1"' "$seed" "$TMP/first"
cp "$seed" "$TMP/first"
check "one for the next boot" random_seed save "$seed"
check "is new, too" sh -c '! cmp -s "$0" "$1"' "$seed" "$TMP/first"
credit() { sed -n 's/.*random-seed: bits=//p' "$TMP/err"; }
if [ "$(id -u)" = 0 ] && random_seed load "$seed" && [ -n "$(credit)" ]; then
	check "a secret one counts" [ "$(credit)" = 256 ]
	chmod 644 "$seed"
	random_seed load "$seed"
	check "one that others could read does not" [ "$(credit)" = 0 ]
	ln "$seed" "$TMP/second"
	random_seed load "$seed"
	check "nor one with another name" [ "$(credit)" = 0 ]
	head -c 100 /dev/zero >"$seed"
	random_seed load "$seed"
	check "nor a piece of one" [ "$(credit)" = 0 ]
fi
rm -f "$seed"
ln -s "$TMP/first" "$seed"
check "a link is refused" sh -c '! "$CAIRN" system random-seed load "$0" 2>/dev/null' "$seed"
cmp -s "$seed" "$TMP/first"
check "and its target stays" [ $? = 0 ]
"$CAIRN" system random-seed lose "$seed" 2>"$TMP/err"
check "neither load nor save" [ $? = 2 ]
finish
