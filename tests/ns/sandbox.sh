#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a builder sees and may do, as the user who runs the tests and, for root, as nobody too.
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
command -v ps >/dev/null || { echo "skip: no ps (procps)"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME

mkdir -p "$TMP/conf/bb/bin"
cp "$busybox" "$TMP/conf/bb/bin/busybox"
for x in setid attack; do
	gcc -static -O1 -w -o "$TMP/conf/bb/bin/$x" "$SRC/tests/ns/$x.c" || exit 1
done
attack=$TMP/conf/bb/bin/attack
cat >"$TMP/conf/facts.sh" <<'END'
b=$bb/bin/busybox
$b mkdir $out
exec 5>$out/facts
say() { echo "$*" >&5; }
say uid $($b id -u) gid $($b id -g)
say root $(echo $($b ls -A /))
say etc $(echo $($b ls -A /etc))
say dev $(echo $($b ls -A /dev))
say store $(cd $NIX_STORE; for i in *; do [ "$NIX_STORE/$i" = $out ] || echo $i; done)
say pwd $($b pwd) top $NIX_BUILD_TOP tmpdir $TMPDIR home $HOME path $PATH
say env $(echo $($b env | $b cut -d= -f1 | $b grep -vE '^(SHLVL|OLDPWD|_)$' | $b sort))
say pid $$ processes $($b ls /proc | $b grep -c '^[0-9]')
say links $(echo $($b ls /sys/class/net 2>/dev/null) $($b ip -o link | $b cut -d: -f2))
say loopback $($b ip -o addr show lo | $b grep -c 127.0.0.1)
say host $($b hostname)
say caps $($b grep -E '^Cap(Eff|Prm|Inh|Amb)' /proc/self/status | $b cut -f2 | $b sort -u)
say nnp $($b grep NoNewPrivs /proc/self/status | $b cut -f2)
say descriptors $(ulimit -Sn)
say ignored $($b grep SigIgn /proc/self/status | $b cut -f2)
t() { name=$1; shift; if "$@" 2>/dev/null; then say can $name; else say cannot $name; fi; }
t write-root $b touch /x
t write-input $b touch $bb/x
t unlink-input $b rm -f $bb/bin/busybox
t write-tmp $b touch /tmp/x
t write-build $b touch x
t chmod-setuid $b chmod 4755 x
t chmod-setgid $b chmod 2755 x
t chmod-plain $b chmod 0755 x
$bb/bin/setid >&5
$bb/bin/attack ways $outside >&5
$b unshare -r -m $bb/bin/attack mounts $bb $outside >&5
say map $($b cat /proc/self/uid_map)
say open $($b ls /proc/self/fd)
say victim $($b cat /proc/self/oom_score_adj)
say init $($b tr '\0' ' ' </proc/1/cmdline)
say init-name $($b cat /proc/1/comm)
say parent $PPID
t mknod $b mknod n b 7 0
t umount-proc $b umount /proc
t umount-input $b umount $bb
t remount-input $b mount -o remount,rw,bind $bb
t write-sysrq sh -c 'echo b >/proc/sysrq-trigger'
t raw-socket $b ping -c 1 -W 1 127.0.0.1
t stderr sh -c 'echo x >/dev/stderr'
t null sh -c 'echo x >/dev/null'
t nested $b unshare -r -m $b true
t nested-remount $b unshare -r -m $b mount -o remount,rw,bind $bb
t nested-umount $b unshare -r -m $b umount $bb
t nested-write $b unshare -r -m sh -c "$b mount -o remount,rw,bind $bb; $b touch $bb/x"
$b mkdir -p r/proc r/dev r/gnu/store r/old
t nested-root $b unshare -r -m sh -c "$b mount --rbind /proc r/proc && $b mount --rbind /dev r/dev &&
	$b mount --rbind $NIX_STORE r/gnu/store && $b mount --rbind r r && cd r && $b pivot_root . old &&
	$b umount -l /old && $b chroot . $b sh -c '$b unshare -r -m $b true && $b touch $out/from-inside'"
# Left behind on purpose: must be dead before the results are looked at.
$b sleep $mark &
(while :; do echo x >$out/late 2>/dev/null; done) &
:
END
cat >"$TMP/conf/facts.lua" <<'END'
local bb = source("bb", { name = "bb" })
local script = source("facts.sh", { name = "facts.sh" })
return derivation { name = "facts", builder = bb .. "/bin/busybox", args = { "sh", script }, env = { bb = bb, mark = "MARK", outside = "OUTSIDE" } }
END
mark=$((1000000000 + $$)) # a number that no other test sleeps for
sed -i "s/MARK/$mark/; s|OUTSIDE|$TMP/conf/facts.sh|" "$TMP/conf/facts.lua"

n=0
failed=0
id_of() { # the name of the attack
	case $1 in
	umount-* | remount-* | nested-* | *-input | clear-* | detach-*) printf 'SBX-13 ' ;;
	write-sysrq | *-init | init-*) printf 'SBX-10 ' ;;
	find-key | vsock | i386-socketcall* | io-uring) printf 'SBX-21 ' ;;
	see-outside | leave-root) printf 'SBX-12 ' ;;
	*-xattr*) printf 'SBX-22 ' ;;
	esac
}
check() { # NAME WANTED-LINE
	n=$((n + 1))
	if grep -qxF -- "$2" "$facts"; then
		echo "ok $n - $who: $1"
	else
		echo "not ok $n - $who: $1"
		echo "# wanted: $2"
		grep -F -- "$(echo "$2" | cut -d' ' -f1)" "$facts" | sed 's/^/# got: /'
		failed=1
	fi
}

# By the calls of the machine's own table, and of the older ones.
set_new="fchmod fchmodat fchmodat2 openat openat2 mknodat"
set_old=
if [ "$(uname -m)" = x86_64 ]; then
	set_new="$set_new chmod open creat mknod"
	set_old="x32-chmod x32-fchmodat2"
	for x in chmod fchmod fchmodat fchmodat2 open creat openat openat2 mknod mknodat; do
		set_old="$set_old i386-$x"
	done
fi

facts_as() { # WHO COMMAND...
	who=$1
	shift
	root=$TMP/$who
	mkdir "$root"
	[ "$who" = nobody ] && chown 65534:65534 "$root"
	# With a descriptor that nobody closes.
	path=$("$@" "$attack" with-key "$CAIRN" build --root "$root" --physical -f "$TMP/conf/facts.lua" \
		9<"$TMP/conf/facts.sh" 2>"$TMP/$who.log")
	n=$((n + 1))
	if [ -f "$path/facts" ]; then
		echo "ok $n - $who: builds"
	else
		echo "not ok $n - $who: builds"
		sed 's/^/# /' "$TMP/$who.log"
		failed=1
		return
	fi
	facts=$path/facts
	bb=$(basename "$root"/gnu/store/*-bb)
	script=$(basename "$root"/gnu/store/*-facts.sh)
	store=$(printf '%s\n%s\n' "$bb" "$script" | LC_ALL=C sort | tr '\n' ' ')
	check "ids" "uid 30001 gid 30000"
	check "/" "root dev etc gnu proc tmp"
	check "/etc" "etc group hosts passwd"
	check "/dev" "dev fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
	check "only inputs in the store" "store ${store% }"
	check "directories" "pwd /tmp/guix-build-facts.drv-0 top /tmp/guix-build-facts.drv-0 tmpdir /tmp/guix-build-facts.drv-0 home /homeless-shelter path /path-not-set"
	check "environment" "env HOME NIX_BUILD_CORES NIX_BUILD_TOP NIX_STORE PATH PWD TEMP TEMPDIR TMP TMPDIR bb mark out outside"
	check "host name" "host localhost"
	check "loopback alone" "links lo"
	check "loopback is up" "loopback 1"
	check "no capabilities" "caps 0000000000000000"
	check "no new privileges" "nnp 1"
	check "the usual limit of descriptors" "descriptors 1024"
	check "no signal ignored" "ignored 0000000000000000"
	for x in write-root write-input unlink-input chmod-setuid chmod-setgid mknod umount-proc umount-input \
		remount-input write-sysrq raw-socket nested-remount nested-umount nested-write; do
		check "$(id_of "$x")$x is refused" "cannot $x"
	done
	for x in $set_new; do
		check "SBX-01 a set-id bit by $x" "cannot set-$x"
	done
	for x in $set_old; do
		check "SBX-20 a set-id bit by $x" "cannot set-$x"
	done
	for x in find-key vsock i386-socketcall i386-socketcall-pair io-uring peek-init trace-init init-exe init-fd init-environ \
		kill-init see-outside set-xattr list-xattrs get-xattr clear-read-only clear-read-only-of-clone detach-input \
		detach-proc detach-root leave-root; do
		check "$(id_of "$x")$x" "cannot $x"
	done
	check "tracing among themselves" "can trace-own"
	check "sockets of their own" "can socket"
	check "the first process is ours" "parent 1"
	check "and tells nothing" "init builder-init"
	check "not even its name" "init-name builder-init"
	check "all calls were tried" "tried ways"
	check "all ways were tried" "tried set"
	check "and all mounts" "tried mounts"
	# Else it is in the namespace that the mounts belong to, and only the lack of capabilities keeps them.
	check "SBX-13 the mounts are another namespace's" "map 30001 30001 1"
	check "no descriptor too many" "open 0 1 2 3 5" # of ls, and the one that the facts go to
	check "SBX-06 it is what goes first when there is no memory" "victim 1000"
	for x in write-tmp write-build chmod-plain stderr null nested nested-root; do
		check "$x works" "can $x"
	done
	n=$((n + 1))
	if [ -z "$(find "$root/gnu/store" -perm /6222 ! -type l ! -path "$root/gnu/store" ! -path '*/.links' 2>/dev/null | grep -v '\.lock$')" ] &&
		[ ! -e "$root/gnu/store/$bb/x" ]; then
		echo "ok $n - $who: nothing writable or set-id in the store"
	else
		echo "not ok $n - $who: nothing writable or set-id in the store"
		failed=1
	fi
	before=$(cat "$path/late" 2>/dev/null | wc -c)
	n=$((n + 1))
	if ps -eo args >"$TMP/processes" && grep -q "[s]andbox.sh" "$TMP/processes" &&
		! grep -q "[s]leep $mark" "$TMP/processes" && [ "$(cat "$path/late" 2>/dev/null | wc -c)" = "$before" ]; then
		echo "ok $n - $who: no process is left"
	else
		echo "not ok $n - $who: no process is left"
		failed=1
	fi
}

chmod 711 "$TMP"
facts_as self env
if [ "$(id -u)" = 0 ]; then
	facts_as nobody setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$TMP/nobody"
fi
echo "1..$n"
exit $failed
