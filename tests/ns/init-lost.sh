#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1 whose state is damaged, or that crashes too often: what runs is found by what it is.
. "$SRC/tests/ns/init.inc"
make_root

boot <<'X'
[service base]
exec = /bin/sleep 1001

[service needs]
exec = /bin/sleep 1002
requires = base

[service once]
type = oneshot
exec = /bin/sh -c "echo once >>/test/once"

[service after-once]
exec = /bin/sleep 1008
requires = once

[service listens]
exec = /bin/sleep 1003
listen = stream /run/listens
activate = yes

[service talks]
exec = /bin/sh -c "i=0; while [ ! -e /test/quiet ]; do echo line $i; i=$((i + 1)); sleep 0.02; done; echo last $i; exec sleep 1004"

[service forks]
type = forking
pid-file = /run/forks.pid
exec = /bin/sh -c "setsid sleep 1005 & echo $! >/run/forks.pid"

[service off]
exec = /bin/sleep 1006
enabled = no
X
up() { [ "$(ctl list --json | grep -o '"state":"up"' | wc -l)" = 7 ]; }
check "all that can is up" retry up
retry grep -q 'boot: settled' "$TMP/console"
INNER=$(pgrep -P "$INIT")
pids() { for s in base needs talks forks after-once; do pid $s; done | tr '\n' ' '; }
before=$(pids)
lives() { grep -c 'init: goes on' "$TMP/console"; }
crash() {
	had=$(lives)
	another() { [ "$(lives)" -gt "$had" ]; }
	kill -SEGV "$INNER"
	retry another
}
kept() { [ "$(pids)" = "$before" ]; }

# damage HOW: the file of PID 1's state. record: both places of that of base; head: the first bytes; all: everything.
damage() {
	python3 - "$INNER" "$1" <<'P'
import os, re, sys
d = f"/proc/{sys.argv[1]}/fd"
fd = next(f"{d}/{n}" for n in os.listdir(d) if os.readlink(f"{d}/{n}").startswith("/memfd:cairn-init"))
with open(fd, "r+b") as f:
    data = f.read()
    if sys.argv[2] == "record":
        at = re.search(rb"base\0{8}", data).start() + 72 + 200  # name, reason and status, then two places
        f.seek(at + 24)
        f.write(b"\xff" * 16)
        f.seek(at + 24 + 320 + 24)
        f.write(b"\xff" * 16)
    elif sys.argv[2] == "head":
        f.seek(8)
        f.write(b"\xff" * 64)
    else:
        f.seek(0)
        f.write(os.urandom(len(data)))
P
}
damage record
crash
check "a record that does not check is told" grep -q 'does not check name=base' "$TMP/console"
check "its process is found" retry kept
check "by what it is" grep -q 'by its process name=base' "$TMP/console"
check "who requires it stays" is_state needs up
check "all is as before" retry up

damage head
crash
check "a damaged head is told" grep -q 'the state is lost' "$TMP/console"
check "all processes are found" retry kept
check "what is to be up is" retry up

damage all
crash
check "after any damage all processes are found" retry kept
check "and what is to be up is" retry up
retry grep -q line "$R/var/log/cairn/talks.log"

n_before=$(grep -c with=processes "$TMP/console")
i=0
while [ $i -lt 5 ] && [ "$(grep -c with=processes "$TMP/console")" = "$n_before" ]; do
	crash
	i=$((i + 1))
done
check "five crashes in a row: nothing that was kept is trusted" [ "$(grep -c with=processes "$TMP/console")" -gt "$n_before" ]
check "processes are the same" retry kept
check "what is off stays off" is_state off down
touch "$R/test/quiet"
check "their output is not lost" retry grep -q last "$R/var/log/cairn/talks.log"
said=$(grep -c ' line ' "$R/var/log/cairn/talks.log")
check "no line of it" [ "$said" = "$(sed -n 's/.* last //p' "$R/var/log/cairn/talks.log")" ]
check "a oneshot of a machine that runs is not run again" [ "$(sort -u "$R/test/once")" = once ]
ctl restart base
check "it can be told what to do" retry up
i=0
while [ $i -lt 6 ] && ! grep -q 'becoming a rescue shell' "$TMP/console"; do
	had=$(lives)
	kill -SEGV "$INNER" 2>/dev/null
	moved() { [ "$(lives)" -gt "$had" ] || grep -q 'becoming a rescue shell' "$TMP/console"; }
	retry moved
	i=$((i + 1))
done
check "five more: a shell" grep -q 'becoming a rescue shell' "$TMP/console"
finish
