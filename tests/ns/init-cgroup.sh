#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Control groups: processes that hide from their service, restart from within, groups that go away.
if [ -z "$INIT_TEST_GROUP" ]; then
	base=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	group=$base/cairn-test-$$
	if [ -z "$base" ] || ! mkdir "$group" 2>/dev/null; then
		echo "skip: no cgroup2 hierarchy to write to"
		exit 77
	fi
	# An own group and an own view of the hierarchy: what PID 1 makes lies below it.
	INIT_TEST_GROUP=$group INIT_TEST_UNSHARE=-C sh -c 'echo 0 >"$INIT_TEST_GROUP/cgroup.procs"; exec sh "$0"' "$0"
	status=$?
	n=0
	while [ $n -lt 50 ] && ! rmdir $(find "$group" -depth -type d) 2>/dev/null; do
		sleep 0.1
		n=$((n + 1))
	done
	exit $status
fi
. "$SRC/tests/ns/init.inc"
make_root
if ! mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup" 2>/dev/null; then
	echo "skip: cannot mount cgroup2 in a user namespace"
	exit 77
fi
cp "$CAIRN" "$R/cairn-client"

# Who is not PID 1 leaves the groups alone.
printf '[service x]\ntype = oneshot\nexec = /bin/true\n' >"$R/set-other"
mount --rbind /proc "$R/proc"
chroot "$R" /cairn-init --run-dir /run/other /set-other >"$TMP/other" 2>&1 &
other=$!
check "not PID 1: says that it uses no groups" retry grep -q 'cgroup: none.*not PID 1' "$TMP/other"
retry grep -q settled "$TMP/other"
kill $other
wait $other
umount -l "$R/proc"
check "and makes none" [ ! -e "$R/sys/fs/cgroup/service" ]

boot <<'X'
[service hider]
exec = /bin/sh -c "setsid sh -c 'setsid sleep 4711 & sleep 4712' & exec sleep 4713"

[service crasher]
exec = /bin/sh -c "setsid sleep 4721 & echo $! >>/test/crasher; sleep 0.2; exit 1"
restart-limit = 1
restart-delay = 10ms

[service self]
exec = /bin/sh -c "echo run >>/test/self; if [ $(wc -l </test/self) -lt 2 ]; then /cairn-client service restart self; fi; exec sleep 1000"
restart = never

[service drains]
exec = /bin/sh -c "setsid sleep 4731 & echo $! >/test/drains; exec sleep 1000"
delegate = yes
stop-scope = main

[service nests]
exec = /bin/sh -c "g=/sys/fs/cgroup/service/nests/main; mkdir -p $g/x; setsid sleep 4751 & echo $! >$g/x/cgroup.procs; setsid sleep 4752 & echo $! >$g/x/cgroup.procs; echo $$ >$g/x/cgroup.procs; read -r c <$g/cgroup.controllers; echo +\"${c%% *}\" >$g/cgroup.subtree_control; exec sleep 4753"
delegate = yes
stop-scope = main
enabled = no

[service plain]
exec = /bin/sleep 4741
cgroup = no
X
G=$R/sys/fs/cgroup/service
# Numbers of processes are those of the reader's pid namespace.
members() { nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" cat "/sys/fs/cgroup/$1/cgroup.procs"; }
has() { members "$1" | grep -qx "$2"; }
running() { cat "$R"/proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "sleep $1 "; }
check "groups are used" sh -c '! grep -q "cgroup: none" "$0"' "$TMP/console"
check "PID 1 is in its own" has init 1
check "a service is in its own" has service/hider "$(pid hider)"
check "a service without one" [ ! -e "$G/plain" ]
all_hidden() { running 4711 && running 4712 && running 4713; }
check "hidden processes run" retry all_hidden
ctl stop hider
check "SUP-09 and end with the service" sh -c '! cat "$0"/proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -q "sleep 471"' "$R"
check "the group is gone" [ ! -e "$G/hider" ]
check "a crash loop ends" retry is_state crasher failed
check "SUP-09 and left none of its children" sh -c '! cat "$0"/proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -q "sleep 4721"' "$R"
check "it ran twice" [ "$(wc -l <"$R/test/crasher")" = 2 ]
twice() { [ "$(wc -l <"$R/test/self")" = 2 ] && is_state self up; }
check "a service restarts itself from inside its group" retry twice
retry running 4731
check "delegated: starts in the sub-group main" has service/drains/main "$(pid drains)"
ctl stop drains
check "stop-scope = main leaves the others alone" running 4731
check "the service is down all the same" is_state drains down
check "and starts again beside them" ctl start drains

# A group with controllers for those below it takes no processes; what is left there must not keep the service from
# starting again.
C=$R/sys/fs/cgroup
mkdir "$C/outside"
for p in $(cat "$C/cgroup.procs"); do
	echo "$p" >"$C/outside/cgroup.procs" # some are gone by now
done 2>/dev/null
enable() { c=$(sed "s, .*,," "$1/cgroup.controllers") && [ -n "$c" ] && echo "+$c" >"$1/cgroup.subtree_control"; }
if enable "$C" && enable "$G" && grep -q . "$G/cgroup.subtree_control"; then
	ctl start nests
	enable "$G/nests"
	ctl restart nests
	inner() { grep -q . "$G/nests/main/cgroup.subtree_control"; }
	check "a service enables controllers below itself" retry inner
	ctl stop nests
	check "somebody drains there" running 4751
	check "it starts again all the same" ctl start nests
	again() { has service/nests/main/x "$(pid nests)"; }
	check "and runs" retry again
else
	echo "# no controllers to hand down: groups with controllers below them are not tried"
fi
"$CAIRN" poweroff
wait $INIT
finish
