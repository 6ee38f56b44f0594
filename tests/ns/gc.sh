#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Roots that depend on the machine: what it started from, what runs, what /etc/fstab wants mounted.
# timeout: 60
set -u
unshare -rm true 2>"$TMP/err" || { echo "skip: no user namespaces ($(cat "$TMP/err"))"; exit 77; }
if [ "${1-}" != inside ]; then
	exec unshare -rm "$0" inside
fi

n=0
status=0
is() {
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: '$2', expected '$3'"
		status=1
	fi
}
s() { "$CAIRN" store "$@" --root "$root" 2>"$TMP/err"; }
said() {
	grep -q "$1" "$TMP/err" && echo yes || cat "$TMP/err"
}

root=$TMP/root
mkdir "$TMP/run"
for x in booted current used held lone; do
	echo "$x" >"$TMP/$x"
	eval "$x=\$(s add "$TMP/$x")"
done
mount -t tmpfs none /run || exit 1
ln -s "$booted" /run/booted-system
ln -s "$current" /run/current-system
sleep 1000 <"$root$used" &
sleeper=$!
# an indirect root on a file system that will be missing
mkdir "$TMP/home"
mount -t tmpfs none "$TMP/home" || exit 1
s add-root "$TMP/home/link" "$held"
cat >"$TMP/fstab" <<END
# <device> <dir> <type>
none / tmpfs defaults 0 0
none $TMP/home tmpfs noauto 0 0
END
mount --bind "$TMP/fstab" /etc/fstab 2>/dev/null || { echo "skip: no /etc/fstab to stand in for"; exit 77; }

is "what lives" "$(s gc --list-live | sort | tr '\n' ' ')" \
	"$(printf '%s\n' "$booted" "$current" "$used" "$held" | sort | tr '\n' ' ')"
umount "$TMP/home"
s gc >"$TMP/out"
is "a root that is not mounted: nothing goes" "$(cat "$TMP/out"; ls "$root$lone" "$root$held")" "$(ls "$root$lone" "$root$held")"
is "and the reason is said" "$(said "$TMP/home is not mounted")" yes
mount -t tmpfs none "$TMP/home"
s gc >"$TMP/out"
is "mounted, and the link is gone: the item goes" "$(sort "$TMP/out" | tr '\n' ' ')" "$(printf '%s\n' "$held" "$lone" | sort | tr '\n' ' ')"
kill "$sleeper"
wait "$sleeper" 2>/dev/null
rm /run/current-system
s gc >"$TMP/out"
is "what nothing uses goes" "$(sort "$TMP/out" | tr '\n' ' ')" "$(printf '%s\n' "$current" "$used" | sort | tr '\n' ' ')"
is "what the machine started from stays" "$(s query --all)" "$booted"
echo "1..$n"
exit "$status"
