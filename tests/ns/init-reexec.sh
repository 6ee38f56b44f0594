#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1 in another life: executed again by request, or after a fault, while services are in every state.
. "$SRC/tests/ns/init.inc"
make_root
cp "$OBJ/init/cairn-init" "$R/other-init"

set_of_all() {
	cat <<'X'
[service base]
exec = /bin/sleep 1001

[service needs]
exec = /bin/sleep 1002
requires = base

[service once]
type = oneshot
exec = /bin/sh -c "echo once >>/test/once"
stop-exec = /bin/sh -c "echo down >>/test/once"

[service starting]
type = notify
notify = fd:3
exec = /bin/sh -c "while [ ! -e /test/ready ]; do sleep 0.1; done; echo >&3; exec sleep 1003"

[service after-starting]
exec = /bin/sleep 1004
requires = starting

[service stops]
exec = /bin/sh -c "trap 'echo term >>/test/term' TERM; while [ ! -e /test/end ]; do sleep 0.1; done"
restart = never
stop-timeout = 300s

[service backs-off]
exec = /bin/sh -c "echo run >>/test/backoff; exit 1"
restart-delay = 300s
restart-delay-max = 300s

[service broken]
exec = /does/not/exist
restart = never

[service off]
exec = /bin/sleep 1005
enabled = no

[service by-hand]
exec = /bin/sleep 1006

[service listens]
exec = /bin/sh -c "echo $LISTEN_FDS >>/test/listens; exec sleep 1007"
listen = stream /run/listens
activate = yes

[service passed]
exec = /bin/sleep 1008
listen = stream /run/passed

[service talks]
exec = /bin/sh -c "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); [ $((i % 50)) != 0 ] || sleep 0.1; done; exec sleep 1009"

[service tells]
type = notify
exec = /bin/sleep 1010
start-timeout = 0
X
	i=0
	while [ $i -lt 40 ]; do
		printf '[service s%d]\nexec = /bin/sleep 2%03d\n' $i $i
		i=$((i + 1))
	done
}
set_of_all >"$R/test/in"
boot <"$R/test/in"
up() { [ "$(ctl list --json | grep -o '"state":"up"' | wc -l)" -ge 48 ]; }
check "all that can is up" retry up
retry is_state backs-off backoff
ctl stop by-hand
ctl stop --no-wait stops
check "one is stopping" retry is_state stops stopping
retry test -s "$R/test/term"
INNER=$(pgrep -P "$INIT")
# A client that left is a descriptor less one turn later: the least of some looks is how many there are.
fds=9999
for look in 1 2 3 4 5 6 7 8 9 10; do
	now=$(ls "$R/proc/1/fd" | wc -l)
	[ "$now" -ge $fds ] || fds=$now
done
(ctl start starting; echo $? >"$TMP/started") & waiter=$!
# How it stands, without what moves by itself.
picture() { ctl list --json | sed 's/"\(since\|due\|last_run\)[a-z_]*":[0-9]*,//g; s/"restarts":[0-9]*//' ; }
lives() { grep -c 'init: goes on' "$TMP/console"; }
picture >"$TMP/before"
few_fds() { [ "$(ls "$R/proc/1/fd" | wc -l)" -le $((fds + 1)) ]; } # and the client that waits

same() {
	retry ctl list >/dev/null
	picture >"$TMP/after"
	cmp -s "$TMP/before" "$TMP/after" || { diff "$TMP/before" "$TMP/after" | sed 's/^/# /'; return 1; }
}
check "re-exec by request" ctl re-exec
check "is another life" [ "$(lives)" = 1 ]
check "of the same process with the same services" same
cp "$CAIRN" "$R/cairn-client"
inside() { # in the machine paths are other ones than here
	nsenter -t "$INNER" -p env CAIRN_INIT_SOCKET=/run/cairn/init.sock chroot "$R" /cairn-client service "$@" 2>>"$TMP/ctl.err"
}
inside re-exec /bin/true
check "what is no cairn-init is refused" grep -q '/bin/true is no cairn-init' "$TMP/ctl.err"
# A file that is another one where PID 1 looks: it cannot be executed.
mkdir -p "$R$TMP"
cp "$OBJ/init/cairn-init" "$TMP/new-init"
echo garbage >"$R$TMP/new-init"
chmod +x "$R$TMP/new-init"
check "what the kernel does not execute" sh -c '! "$CAIRN" service re-exec "$TMP/new-init" 2>"$TMP/e"'
check "is said to who asked" grep -q 'Exec format error' "$TMP/e"
check "and in the log" grep -q 'cannot execute itself again why="Exec format error"' "$TMP/console"
check "PID 1 goes on as what it was" [ "$(readlink "$R/proc/1/exe") $(lives)" = "$R/cairn-init 1" ]
check "with the same services" same
check "another binary" inside re-exec /other-init
check "is the one that runs" [ "$(readlink "$R/proc/1/exe")" = "$R/other-init" ]
check "with the same services" same
for sig in SEGV ABRT BUS FPE; do
	before=$(lives)
	another() { [ "$(lives)" -gt "$before" ]; }
	kill -$sig "$INNER"
	check "$sig is another life" retry another
	check "with the same services" same
done
check "no descriptor is left" retry few_fds
touch "$R/test/ready"
wait $waiter
check "a client that waited gets its answer" [ "$(cat "$TMP/started")" = 0 ]
check "what waited for it is up" retry is_state after-starting up
touch "$R/test/end"
check "what was stopping is down" retry is_state stops down
check "asked to stop once" [ "$(wc -l <"$R/test/term")" = 1 ]
check "the back-off goes on" is_state backs-off backoff
check "its program did not run again" [ "$(wc -l <"$R/test/backoff")" = 2 ]
check "the oneshot ran once" [ "$(cat "$R/test/once")" = once ]
echo | python3 -c 'import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])' "$R/run/listens"
check "a socket that is listened on activates" retry test -s "$R/test/listens"
kill -9 "$(pgrep -f '^/bin/sleep 1001$' -P "$INNER")"
check "a death is seen" retry is_state needs up
ended() { grep -q 'line 2999$' "$R/var/log/cairn/talks.log"; }
check "logs flow" retry ended
check "no line is lost or written twice" [ "$(grep -c ' line ' "$R/var/log/cairn/talks.log")" = 3000 ]
"$CAIRN" poweroff
wait $INIT
check "and the machine ends" [ $? = 130 ]
finish
