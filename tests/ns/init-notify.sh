#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a service says beyond READY=1: signs of life, more time, a barrier; and what it can be asked to do.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/notify.py" <<'X'
import array, os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
def wait(path):
    while not os.path.exists("/test/" + path):
        time.sleep(0.02)
def alive():
    s.send(b"READY=1")
    every = int(os.environ["WATCHDOG_USEC"]) / 1e6 / 20
    while not os.path.exists("/test/hang"):
        s.send(b"WATCHDOG=1")
        time.sleep(every)
def slow():
    s.send(b"EXTEND_TIMEOUT_USEC=60000000")
    s.send(b"EXTEND_TIMEOUT_USEC=1\nEXTEND_TIMEOUT_USEC=99999999999999999999\nEXTEND_TIMEOUT_USEC=-1")
    wait("go")
    s.send(b"READY=1")
def barrier():
    r, w = os.pipe()
    s.send(b"STATUS=first\nREADY=1")
    s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
    os.close(w)
    print("barrier", repr(os.read(r, 1)), flush=True)
globals()[sys.argv[1]]()
while True:
    time.sleep(1000)
X
boot <<'E'
[service alive]
type = notify
exec = /usr/bin/python3 /test/notify.py alive
alive-timeout = 5s
restart = never

[service slow]
type = notify
exec = /usr/bin/python3 /test/notify.py slow
start-timeout = 3s
restart = never

[service acts]
exec = /bin/sleep 1000
action = note /bin/sh -c "sleep 0.1; echo as $SERVICE_NAME >/test/acted"
action = fail /bin/sh -c "exit 4"

[service barrier]
type = notify
exec = /usr/bin/python3 /test/notify.py barrier
E

check "signs of life begin" retry is_state alive up
check "a barrier is passed" retry grep -q "barrier b''" "$R/var/log/cairn/barrier.log"
late() { [ "$(field slow since_ms)" -gt 3500 ]; }
check "one asks for time and gets it" retry late
check "though its time-out is over" is_state slow starting
touch "$R/test/go"
check "it comes up" retry is_state slow up
alive_long() { [ "$(field alive since_ms)" -gt 6000 ]; }
check "who gives signs of life stays" retry alive_long
check "up" is_state alive up
check "an action" ctl action acts note
check "did it" grep -qx 'as acts' "$R/test/acted"
check "one that fails" sh -c '! "$CAIRN" service action acts fail 2>"$TMP/e"'
check "says how" grep -q 'exit code 4' "$TMP/e"
check "one that is not there" sh -c '! "$CAIRN" service action acts dance 2>"$TMP/e"'
check "is said so" grep -q 'no such action' "$TMP/e"
touch "$R/test/hang"
check "who stops doing so is ended" retry is_state alive failed
check "for that" [ "$(field alive why)" = "gave no sign of life" ]
"$CAIRN" poweroff
wait $INIT
finish
