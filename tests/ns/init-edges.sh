#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Dependencies beyond requires and wants, with real processes: binds, milestones, smooth recovery.
. "$SRC/tests/ns/init.inc"
make_root

boot <<'E'
[service base]
type = notify
notify = fd:5
exec = /bin/sh -c "while [ ! -e /test/go ]; do sleep 0.02; done; echo >&5; exec sleep 1000"
smooth-recovery = yes
restart-delay = 10ms
restart-limit = 3

[service user]
exec = /bin/sleep 1001
requires = base

[service plain]
exec = /bin/sleep 1002
restart-delay = 10ms

[service bound]
exec = /bin/sleep 1003
binds = plain

[service requiring]
exec = /bin/sleep 1004
requires = plain

[service mile]
type = oneshot
exec = /bin/false

[service after-mile]
exec = /bin/sleep 1005
milestones = mile
E

kill_service() { nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" /bin/sh -c "kill -9 $(pid "$1")"; }
again() { [ "$(field "$1" restarts)" = "$2" ] && is_state "$1" up; }

touch "$R/test/go"
check "all but the milestone come up" retry is_state user up
check "a milestone that fails fails who waits for it" retry is_state after-mile failed
check "and it says so" grep -q 'after-mile why="requires mile, which is failed"' "$TMP/console"

user=$(pid user) base=$(pid base)
kill_service base
check "it restarts" retry again base 1
check "with another process" [ "$(pid base)" != "$base" ]
check "who requires it stayed up" [ "$(pid user)" = "$user" ]

requiring=$(pid requiring)
kill_service plain
check "the ordinary one restarts" retry again plain 1
check "who requires it came back" retry is_state requiring up
check "anew" [ "$(pid requiring)" != "$requiring" ]
check "who is bound to it went" retry is_state bound down
check "and tells why" [ "$(field bound why)" = "bound to plain" ]

# The recovery that does not come: readiness never arrives again, a stop by hand ends it.
rm "$R/test/go"
kill_service base
check "it waits for readiness" retry is_state base starting
check "who requires it is still up" [ "$(pid user)" = "$user" ]
ctl stop base
check "a stop takes both down" [ "$(state base) $(state user)" = "down down" ]
"$CAIRN" poweroff
wait $INIT
finish
