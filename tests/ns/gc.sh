#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Roots that depend on the machine: what it started from, what runs, what /etc/fstab wants mounted.
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
for x in booted current used held mapped lone; do
	echo "$x" >"$TMP/$x"
	eval "$x=\$(s add "$TMP/$x")"
done
mount -t tmpfs none /run || exit 1
ln -s "$booted" /run/booted-system
ln -s "$current" /run/current-system
sleep 1000 <"$root$used" &
sleeper=$!
# names in environments, across the place up to which a piece of them is read at once
names= namers=
for k in 2 3 10 14 45 50; do
	echo "$k" >"$TMP/name$k"
	name=$(s add "$TMP/name$k")
	env -i PAD="$(head -c $((65536 - 7 - k)) /dev/zero | tr '\0' x)" "X=$name" sleep 1000 &
	names="$names$name
" namers="$namers $!"
	until [ "$(cat "/proc/$!/comm")" = sleep ]; do sleep 0.05; done
done
# more lines in /proc/PID/maps than 16 MiB, and the item in one of the last
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
cat >"$TMP/maps.py" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def place(path, address):
    fd = os.open(path, os.O_RDONLY)
    assert libc.mmap(address, 4096, 1, 2 | 0x100000, fd, 0) == address, os.strerror(ctypes.get_errno())
    os.close(fd)
top = "/".join(["d" * 250] * 10)
os.makedirs(top)
with open(top + "/file", "w") as f:
    f.write("x")
for i in range(7000):  # no two of them side by side: they would be one
    place(top + "/file", 0x200000000000 + 8192 * i)
place(sys.argv[1], 0x300000000000)
with open("/proc/self/maps") as f:
    assert f.read().index(os.path.basename(sys.argv[1])) > 16 << 20
print(flush=True)
sys.stdin.read()
END
mkfifo "$TMP/go"
(cd "$TMP" && exec python3 maps.py "$root$mapped") <"$TMP/go" >"$TMP/ready" &
mapper=$!
exec 8>"$TMP/go"
i=0
until [ -s "$TMP/ready" ] || [ $i -gt 600 ]; do
	i=$((i + 1))
	sleep 0.05
done
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
	"$(printf '%s\n' "$booted" "$current" "$used" "$held" "$mapped" $names | sort | tr '\n' ' ')"
umount "$TMP/home"
s gc >"$TMP/out"
is "a root that is not mounted: nothing goes" "$(cat "$TMP/out"; ls "$root$lone" "$root$held")" "$(ls "$root$lone" "$root$held")"
is "and the reason is said" "$(said "$TMP/home is not mounted")" yes
mount -t tmpfs none "$TMP/home"
s gc >"$TMP/out"
is "mounted, and the link is gone: the item goes" "$(sort "$TMP/out" | tr '\n' ' ')" "$(printf '%s\n' "$held" "$lone" | sort | tr '\n' ' ')"
kill "$sleeper"
wait "$sleeper" 2>/dev/null
exec 8>&-
kill $namers
for p in $namers; do wait "$p" 2>/dev/null; done
wait "$mapper"
rm /run/current-system
s gc >"$TMP/out"
is "what nothing uses goes" "$(sort "$TMP/out" | tr '\n' ' ')" "$(printf '%s\n' "$current" "$used" "$mapped" $names | sort | tr '\n' ' ')"
is "what the machine started from stays" "$(s query --all)" "$booted"
# an indirect root on a file system that does not answer
mkdir "$TMP/silent"
echo silent >"$TMP/text"
silent=$(s add "$TMP/text")
s add-root "$TMP/silent/link" "$silent"
if (exec 7<>/dev/fuse) 2>/dev/null && exec 7<>/dev/fuse &&
	mount -i -t fuse -o fd=7,rootmode=40000,user_id=0,group_id=0 none "$TMP/silent" 2>"$TMP/err"; then
	s gc >"$TMP/out"
	is "a root that does not answer is what it was" "$? $(cat "$TMP/out") $(ls -d "$root$silent")" "0  $root$silent"
	rm "$root/var/guix/db/known-roots"
	s gc >"$TMP/out"
	is "when that is not known nothing goes" "$? $(cat "$TMP/out")$(said "read the root $TMP/silent/link")" "1 yes"
	umount -l "$TMP/silent"
	exec 7>&-
else
	n=$((n + 1))
	echo "ok $n - roots that do not answer # SKIP no FUSE ($(cat "$TMP/err"))"
fi
rm -f "$TMP/silent/link"
s gc >"$TMP/out"
is "it goes with its link" "$(cat "$TMP/out")" "$silent"

echo "1..$n"
exit "$status"
