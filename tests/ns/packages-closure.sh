#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Every program and script of every package starts in a root that holds the package's closure and
# nothing else: no loader, interpreter or run-time path of the seed or the host is needed. Programs
# must be static, links must lead somewhere, and no path of a build is left in what a script reads.
set -u
unshare -U -r -m -n true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }

packages=$("$CAIRN" build --list | grep -v '^seed-') || exit 1
n=0
failed=0

result() {
	n=$((n + 1))
	if [ -s "$TMP/why" ]; then
		echo "not ok $n - $1"
		sed 's/^/# /' "$TMP/why"
		failed=1
	else
		echo "ok $n - $1 ($2 programs)"
	fi
}

# Runs inside the namespaces: $1 = file with "PHYSICAL LOGICAL" of the closure, $2 = package.
cat >"$TMP/inside" <<'END'
set -u
root=$TMP/root
chroot=$(command -v chroot)
mount -t tmpfs none "$root"
mkdir -p "$root/dev" "$root/proc" "$root/tmp"
touch "$root/dev/null"
mount --bind /dev/null "$root/dev/null"
while read -r physical logical; do
	mkdir -p "$root$logical"
	mount --bind "$physical" "$root$logical"
done <"$1"
find "$root$2" -xtype l | sed 's/^/leads nowhere: /'
find "$root$2" -type f -perm -100 | while read -r file; do
	inside=${file#"$root"}
	case $inside in
	*.a | */lib/modules/* | */lib/grub/*) continue ;;
	esac
	if readelf -lW "$file" 2>/dev/null | grep -q INTERP; then
		echo "has an interpreter: $inside"
	fi
	echo "$inside" >>"$TMP/count"
	timeout -s KILL 20 env -i PATH=/nowhere "$chroot" "$root" "$inside" --version </dev/null >"$TMP/log" 2>&1
	status=$?
	# busybox has no --version and says so with 127.
	if [ $status = 126 ] || [ $status = 127 ] && ! grep -q 'applet not found' "$TMP/log"; then
		echo "does not start: $inside: $(head -n 1 "$TMP/log")"
	fi
done
END

for name in $packages; do
	: >"$TMP/why" >"$TMP/count"
	logical=$("$CAIRN" build "$name" 2>"$TMP/log") || { cat "$TMP/log" >"$TMP/why"; result "$name" 0; continue; }
	"$CAIRN" store query --requisites "$logical" >"$TMP/closure" || echo "no closure" >>"$TMP/why"
	: >"$TMP/paths"
	while read -r path; do
		echo "$CAIRN_ROOT$path $path" >>"$TMP/paths"
		case $path in
		*-seed-* | *-busybox-static*) echo "refers to the seed: $path" >>"$TMP/why" ;;
		esac
	done <"$TMP/closure"
	mkdir -p "$TMP/root"
	unshare -U -r -m -n sh "$TMP/inside" "$TMP/paths" "$logical" >>"$TMP/why" 2>&1 </dev/null
	grep -rlE '/usr/(bin|sbin|lib|local)/|/build/(src|tools|obj)' "$CAIRN_ROOT$logical" --include='*.pc' |
		sed 's/^/names a path of the build: /' >>"$TMP/why"
	for file in "$CAIRN_ROOT$logical"/lib/modules/*/modules.dep; do
		[ ! -e "$file" ] || LC_ALL=C sort -c "$file" 2>>"$TMP/why"
	done
	page=share/man/man8/cairn-daemon.8
	[ "$name" != cairn ] || cmp "$CAIRN_ROOT$logical/$page" "$SRC/doc/cairn-daemon.8" 2>>"$TMP/why"
	result "$name" "$(wc -l <"$TMP/count")"
done
echo "1..$n"
exit $failed
