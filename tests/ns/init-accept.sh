#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A process for each connection, with a limit; and the names of sockets that a service gets.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/names.sh" <<'X'
#!/bin/sh
echo "$LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$))" >/test/names
exec sleep 1000
X
chmod +x "$R/test/names.sh"
boot <<'E'
[service each]
exec = /bin/sh -c "echo $$; read line; echo got $line; echo said $line >&2"
listen = stream /run/each.sock mode=0600
accept = yes
max-connections = 2

[service stubborn]
exec = /bin/sh -c "trap '' TERM; echo $$; while :; do sleep 0.1; done"
listen = stream /run/stubborn.sock
accept = yes
stop-timeout = 200ms

[service few]
exec = /bin/sh -c "echo $$; read line"
listen = stream /run/few.sock
accept = yes
max-connections = 1

[service broken]
exec = /does/not/exist
listen = stream /run/broken.sock
accept = yes

[service names]
exec = /test/names.sh
listen = stream /run/n1.sock name=first
listen = stream /run/n2.sock
E

# Client: connect three times at once, then as told.
cat >"$TMP/client.py" <<'X'
import os, socket, sys
os.chdir(sys.argv[1] + "/run")
def dial(name):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(name)
    return s, s.makefile("rw")
a, b, c = dial("each.sock"), dial("each.sock"), dial("each.sock")
pids = [a[1].readline(), b[1].readline()]
print("two", len(set(pids)) == 2 and all(int(p) > 1 for p in pids), flush=True)
c[0].settimeout(0.3)
try:
    c[0].recv(1, socket.MSG_PEEK)
    print("third served", flush=True)
except TimeoutError:
    print("third waits", flush=True)
c[0].settimeout(60)
a[1].write("hello\n"); a[1].flush()
print(a[1].readline().strip(), "/", repr(a[1].readline()), flush=True)
print("then", int(c[1].readline()) > 1, flush=True)
s = dial("stubborn.sock")
s[1].readline()
print("ready", flush=True)
sys.stdin.readline()
print("ended", repr(b[1].readline()), repr(c[1].readline()), repr(s[1].readline()), flush=True)
d = dial("broken.sock")
print("broken", repr(d[1].readline()), flush=True)
X
cat >"$TMP/one.py" <<'X'
import os, socket, sys
os.chdir(sys.argv[1] + "/run")
s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect("each.sock")
sys.exit(not s.recv(10))
X
mkfifo "$TMP/go"
retry is_state stubborn up
timeout 120 python3 "$TMP/client.py" "$R" <"$TMP/go" >"$TMP/out" 2>&1 &
CLIENT=$!
exec 8>"$TMP/go"
show="$TMP/console $TMP/out"
check "clients are served" retry grep -q ready "$TMP/out"
check "each by a process of its own" grep -qx 'two True' "$TMP/out"
check "as many as may" grep -qx 'third waits' "$TMP/out"
check "with the connection as input and output" grep -qx "got hello / ''" "$TMP/out"
check "what one leaves, another gets" grep -qx 'then True' "$TMP/out"
check "errors are in the log" retry grep -q 'said hello' "$R/var/log/cairn/each.log"
check "it is up all the time" is_state each up
check "a stop" ctl stop each
check "ends those that listen to it" ctl stop stubborn
echo >&8
check "and those that do not" retry grep -qx "ended '' '' ''" "$TMP/out"
check "what cannot be executed closes" retry grep -qx "broken ''" "$TMP/out"
check "with a word" grep -q 'connection refused name=broken why="exec /does/not/exist' "$TMP/console"
check "and goes on" is_state broken up
wait $CLIENT
check "start again" ctl start each
check "PID 1 executes itself again" ctl re-exec
check "it listens on" python3 "$TMP/one.py" "$R"
# One is served, PID 1 executes itself again: the next waits still.
cat >"$TMP/few.py" <<'X'
import os, socket, sys
os.chdir(sys.argv[1] + "/run")
def dial():
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect("few.sock"); return s
a = dial()
print("first", len(a.recv(10)) > 0, flush=True)
sys.stdin.readline()
b, beside = dial(), socket.socket(socket.AF_UNIX)
beside.settimeout(60); beside.connect("each.sock"); beside.recv(10) # PID 1 has looked by now
b.settimeout(0.3)
try:
    b.recv(10)
    print("second served", flush=True)
except TimeoutError:
    print("second waits", flush=True)
b.settimeout(60)
a.close()
print("second", len(b.recv(10)) > 0, flush=True)
sys.stdin.readline()
print("stopped", repr(b.recv(10)), flush=True)
X
mkfifo "$TMP/go2"
timeout 120 python3 "$TMP/few.py" "$R" <"$TMP/go2" >"$TMP/out2" 2>&1 &
CLIENT=$!
exec 8>"$TMP/go2"
show="$TMP/console $TMP/out2"
check "one is served" retry grep -qx 'first True' "$TMP/out2"
check "PID 1 executes itself again" ctl re-exec
echo >&8
check "and counts it still" retry grep -qx 'second waits' "$TMP/out2"
check "until it ends" retry grep -qx 'second True' "$TMP/out2"
check "PID 1 executes itself again" ctl re-exec
check "a stop" ctl stop few
echo >&8
check "ends it" retry grep -qx "stopped b''" "$TMP/out2"
wait $CLIENT
check "names of sockets" retry grep -qx '2 first:names 1' "$R/test/names"
"$CAIRN" poweroff
wait $INIT
finish
