#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a service says beyond READY=1: signs of life, more time, a barrier, that it reloads; what it leaves with PID 1, and
# what it can be asked to do.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/notify.py" <<'X'
import array, os, signal, socket, sys, time
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
def put(text, fds):
    s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
def memory(text):
    fd = os.memfd_create("stored")
    os.write(fd, text)
    return fd
# It says what it was given, and does what files in /test ask for, each once.
def keeps():
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    given = [n + "=" + os.pread(3 + i, 9, 0).decode() for i, n in enumerate(names) if n]
    print("given", os.environ.get("LISTEN_PID") in (None, str(os.getpid())), *given, flush=True)
    s.send(b"READY=1")
    if not given:
        put(b"FDSTORE=1\nFDNAME=one", [memory(b"1")])
        put(b"FDNAME=two\nFDSTORE=1", [memory(b"2"), memory(b"3")])
        put(b"FDSTORE=1", [memory(b"4")])
        put(b"FDNAME=five", [memory(b"5")])  # not asked for
        put(b"FDSTORE=1\nFDNAME=" + 32 * b"x", [memory(b"6")])  # too long
        put(b"FDSTORE=1\nFDNAME=many", [memory(b"7") for _ in range(10)])
    s.send(b"STATUS=kept")
    wait("remove")
    s.send(b"FDSTOREREMOVE=1\nFDNAME=many")
    put(b"FDSTOREREMOVE=1\nFDSTORE=1\nFDNAME=two", [memory(b"8")])
    s.send(b"STATUS=removed")
def reloads():
    def reload(*_):
        s.send(b"RELOADING=1\nMONOTONIC_USEC=%d" % (time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
        wait("reloaded")
        s.send(b"READY=1")
    signal.signal(signal.SIGHUP, reload)
    s.send(b"READY=1")
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

[service keeps]
type = notify
exec = /usr/bin/python3 /test/notify.py keeps
fd-store = 6
restart-delay = 10ms

[service hoards]
type = notify
exec = /usr/bin/python3 /test/notify.py keeps

[service reloads]
type = notify
exec = /usr/bin/python3 /test/notify.py reloads

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

# Descriptors that PID 1 keeps: bounded, over a crash of the service, over another life of PID 1, until it stops.
says() { [ "$(field keeps status)" = "$1" ]; }
given() { grep -c ' given ' "$R/var/log/cairn/keeps.log"; }
last() { sed -n 's/.* given //p' "$R/var/log/cairn/keeps.log" | tail -n 1; }
again() { [ "$(given)" -gt "$had" ] && says "$1"; }
check "a service gives descriptors" retry says kept
had=$(given)
kill -9 "$(pgrep -P "$(pgrep -P "$INIT")" -f 'notify.py keeps' | head -n 1)"
check "it dies and comes again" retry again kept
is "with what it gave, as far as there was room" "$(last)" "True one=1 two=2 two=3 stored=4 many=7 many=7"
fds=$(ls "$R/proc/1/fd" | wc -l)
check "PID 1 executes itself again" ctl re-exec
check "and has no more of them" retry sh -c '[ "$(ls "$0/proc/1/fd" | wc -l)" -le "$1" ]' "$R" "$fds"
had=$(given)
check "a restart" ctl restart keeps
check "gives them again" retry again kept
is "all of them" "$(last)" "True one=1 two=2 two=3 stored=4 many=7 many=7"
touch "$R/test/remove"
check "some are taken back" retry says removed
had=$(given)
ctl restart keeps
check "after that" retry again removed
is "others are there" "$(last)" "True one=1 stored=4"
had=$(given)
ctl stop keeps
ctl start keeps
check "after a stop" retry again removed
is "there is nothing" "$(last)" "True"
check "who may keep none has none" sh -c '! grep "given True ." "$0"' "$R/var/log/cairn/hoards.log"
had=$(grep -c given "$R/var/log/cairn/hoards.log")
ctl restart hoards
more() { [ "$(grep -c given "$R/var/log/cairn/hoards.log")" -gt "$had" ]; }
retry more
check "also not later" sh -c '! grep "given True ." "$0"' "$R/var/log/cairn/hoards.log"
check "which is told" grep -q 'svc: not kept name=hoards' "$TMP/console"

check "a service is told to reload" ctl reload reloads
is_reloading() { [ "$(field reloads status)" = RELOADING=1 ]; }
check "and says that it does" retry is_reloading
check "while it is up" is_state reloads up
touch "$R/test/reloaded"
check "until it is done" retry sh -c '[ -z "$("$CAIRN" service list reloads --json | sed -n "s/.*\"status\":\"\([^\"]*\).*/\1/p")" ]'
check "up all the time" is_state reloads up
"$CAIRN" poweroff
wait $INIT
finish
