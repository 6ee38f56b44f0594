#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The examples of doc/alone.md, as they stand there: PID 1 of a container, an instance of an ordinary user.
INIT_TEST_USERS=1
. "$SRC/tests/ns/init.inc"
make_root
E=$SRC/doc/examples/init

python3 - "$SRC/doc/alone.md" "$E" >"$TMP/out" <<'P'
import os, sys
blocks, block = [], []
for line in open(sys.argv[1], encoding="utf-8").read().split("\n"):
    if line.startswith("    ") or (not line and block):
        block.append(line[4:])
    elif block:
        blocks.append("\n".join(block).strip("\n") + "\n")
        block = []
names = os.listdir(sys.argv[2])
for name in names:
    if open(os.path.join(sys.argv[2], name), encoding="utf-8").read() not in blocks:
        print(name, "is not what the page shows")
print(len(names), "examples")
P
is "the page shows the files" "$(cat "$TMP/out")" "4 examples"
check "and a set of it is one" "$CAIRN" service check "$E/web.set"

# ---- a container -----------------------------------------------------------------------------------------------------------------------
cp "$E/web.set" "$R/etc/web.set"
sh "$E/container.sh" "$R" /etc/web.set >"$TMP/console" 2>&1 &
INIT=$!
trap 'kill -9 $INIT 2>/dev/null; wait $INIT 2>/dev/null' EXIT
inner() { IN=$(pgrep -P "$INIT") && export CAIRN_INIT_SOCKET="/proc/$IN/root/run/cairn/init.sock" && [ -S "$CAIRN_INIT_SOCKET" ]; }
check "the container is reached from outside" retry inner
check "the container's program is up" retry is_state web up
check "and wrote to its log" retry grep -q 'Z listening' "$R/var/log/cairn/web.log"
tell() { python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1]); sys.exit(b"20" not in s.recv(100))' "/proc/$IN/root/run/clock.sock"; }
check "who connects is told the time" tell
check "the timed one ran" retry grep -q 'Z tidied' "$R/var/log/cairn/tidy.log"
is "nothing failed" "$(ctl list --failed | sed 1d)" ""
is "each thing that it may not do is said once" "$(grep -c 'cgroup: none' "$TMP/console")" 1
kill -TERM "$IN"
wait $INIT
is "TERM ends it as poweroff does" $? 130
check "in order" grep -q 'services are down' "$TMP/console"

# ---- an instance of one's own -----------------------------------------------------------------------------------------------------------
D=$TMP/own
chmod 0755 "$TMP"
mkdir "$D" "$TMP/bin"
cp "$OBJ/init/cairn-init" "$TMP/bin/"
cp "$E/own.set" "$E/own.sh" "$TMP/bin/"
echo "buy milk" >"$D/notes"
chown 1000:1000 "$TMP/own" "$TMP/own/notes"
as() { id=$1; shift; setpriv --reuid "$id" --regid "$id" --clear-groups env PATH="$TMP/bin:$PATH" CAIRN_INIT_SOCKET="$D/run/init.sock" "$@"; }
as 1000 sh "$TMP/bin/own.sh" "$TMP/bin/own.set" "$D" >"$TMP/console" 2>&1 &
INIT=$!
up() { as 1000 "$CAIRN" service status "$1" 2>/dev/null | grep -q '^  state  *up'; }
check "a user's service is up" retry up agent
check "another has done its work" retry cmp -s "$D/notes" "$D/notes.copy"
check "its log is where the set says" retry sh -c '"$@" | grep -q "good morning"' sh "$CAIRN" service log -D "$D/logs" agent
check "the user may do everything" as 1000 "$CAIRN" service restart agent
check "others may not" sh -c '! "$@" 2>"$0"' "$TMP/err" setpriv --reuid 1001 --clear-groups env CAIRN_INIT_SOCKET="$D/run/init.sock" "$CAIRN" service stop agent
check "as the directory is closed to them" grep -q "Permission denied" "$TMP/err"
agent=$(as 1000 "$CAIRN" service list --json | sed -n 's/.*"name":"agent",.*"pid":\([0-9]*\).*/\1/p')
as 1000 "$CAIRN" poweroff
wait $INIT
is "it ends well" $? 0
check "with its services" [ ! -e "/proc/$agent" ]
finish
