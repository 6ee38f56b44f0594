#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Processes: readiness of both kinds, restarts and their limit, time-outs, what a child is given,
# orphans, forking daemons, socket activation, descriptors that do not leak.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/notify.py" <<'X'
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
while not os.path.exists("/test/go"):
    time.sleep(0.02)
s.send(b"STATUS=warm\nREADY=1")
time.sleep(1000)
X
cat >"$R/test/echo.py" <<'X'
import os, socket
assert os.environ["LISTEN_FDS"] == "1" and int(os.environ["LISTEN_PID"]) == os.getpid()
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    d = c.recv(100)
    if d == b"die":
        os._exit(3)
    c.sendall(b"%d:" % os.getpid() + d)
    c.close()
X
cat >"$R/test/ask.py" <<'X'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode())
print(s.recv(100).decode())
X
# Says that a child is the main process, and ends: "plain", or in another session: "foreign"; or stays
# and reaps it: "reaps".
cat >"$R/test/main.py" <<'X'
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
go, done = os.pipe()
pid = os.fork()
if pid == 0:
    if sys.argv[1] == "foreign":
        os.setsid()
    os.write(done, b"x")
    time.sleep(1000)
os.read(go, 1)
if sys.argv[1] == "plain":
    with open("/test/main.pid", "w") as f:
        f.write(str(pid))
s.send(b"MAINPID=%d\nREADY=1" % pid)
if sys.argv[1] == "plain":
    os._exit(0)
os.wait()
time.sleep(1000)
X
cat >"$R/test/leaves.py" <<'X'
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.02)
s.send(b"READY=1")
wait("/test/leave")
s.send(b"STOPPING=1\nSTATUS=on my way")
wait("/test/left")
X
printf 'dd:x:77:78:dd:/tmp:/bin/sh\n' >>"$R/etc/passwd"
# What cannot be executed, each in its way.
echo >"$R/test/cannot-mode"
printf '#!/nowhere\n' >"$R/test/cannot-interpreter"
mkdir "$R/test/cannot-directory"
chmod 0644 "$R/test/cannot-mode"
chmod 0755 "$R/test/cannot-interpreter"
# pid-file HOW: what a forking service writes that is not its process, or not yet
cat >"$R/test/pid-file" <<'X'
f=/test/pid-$1
case $1 in
other) cp /test/phoenix "$f" ;;
garbage) echo a7 >"$f" ;;
digits) echo 12345678901234567890 >"$f" ;;
zero) echo 0 >"$f" ;;
negative) echo -7 >"$f" ;;
ended) sh -c 'echo $$' >"$f" ;;
link) setsid sleep 1000 & echo $! >/test/real; ln -s real "$f" ;;
late) : >"$f"; setsid sleep 1000 & while [ ! -e /test/fill ]; do sleep 0.02; done; echo $! >"$f" ;;
esac
X

cat >"$TMP/set" <<'X'
[service notify]
type = notify
exec = /usr/bin/python3 /test/notify.py
enabled = no

[service junk]
type = notify
notify = fd:7
exec = /bin/sh -c "head -c 65536 /dev/zero >&7; echo READY=1 >&7; sleep 1000"
enabled = no

[service closes]
type = notify
notify = fd:7
exec = /bin/sh -c "exec 7>&-; sleep 1000"
restart = never
enabled = no

[service slow]
type = notify
exec = /bin/sleep 1000
start-timeout = 300ms
restart = never
enabled = no

[service loop]
exec = /bin/sh -c "echo x >>/test/loop; exit 1"
restart-delay = 20ms
restart-limit = 4
enabled = no

[service good-end]
exec = /bin/sh -c "exit 0"
restart = on-failure
enabled = no

[service phoenix]
exec = /bin/sh -c "echo $$ >/test/phoenix; exec sleep 1000"
restart-delay = 10ms
restart-limit = 0

[service deaf]
exec = /bin/sh -c "trap '' TERM; while :; do sleep 1; done"
stop-timeout = 300ms

[service fds]
type = oneshot
exec = /bin/sh -c "ls /proc/self/fd >/test/fds; cat /proc/self/status >/test/status; env >/test/env; umask >/test/umask; pwd >/test/pwd; ulimit -n >/test/nofile"
environment = A=1 "B=two words"
umask = 027
working-directory = /tmp
limit = nofile 321
notify = fd:9

[service orphans]
type = oneshot
exec = /bin/sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do (for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (true &) ; done) ; done; kill -9 $PPID"
enabled = no

[service daemon]
type = forking
pid-file = /test/daemon.pid
exec = /bin/sh -c "setsid sleep 1000 & echo $! >/test/daemon.pid"
enabled = no

[service liar]
type = forking
pid-file = /test/liar.pid
exec = /bin/sh -c "echo 1 >/test/liar.pid"
start-timeout = 300ms
restart = never
enabled = no

[service sock]
exec = /usr/bin/python3 /test/echo.py
listen = stream /run/echo.sock mode=0600
activate = yes
restart-delay = 10ms

[service main-plain]
type = notify
exec = /usr/bin/python3 /test/main.py plain
enabled = no

[service main-foreign]
type = notify
exec = /usr/bin/python3 /test/main.py foreign
enabled = no

[service main-reaps]
type = notify
exec = /usr/bin/python3 /test/main.py reaps
enabled = no
restart = never

[service leaves]
type = notify
exec = /usr/bin/python3 /test/leaves.py
enabled = no
restart = on-failure

[service reloads]
exec = /bin/sleep 1000
reload-exec = /bin/sleep 3001
stop-timeout = 1min

[service main-again]
type = notify
exec = /usr/bin/python3 /test/main.py reaps
enabled = no
restart = never

[service cannot@]
exec = /test/cannot-%i
instances = missing mode interpreter directory
restart-limit = 2
restart-delay = 1ms
enabled = no

[service pid@]
type = forking
pid-file = /test/pid-%i
instances = other garbage digits zero negative ended link
exec = /bin/sh /test/pid-file %i
start-timeout = 500ms
restart = never
enabled = no

[service pid@late]
start-timeout = 60s

[service bit-by-bit]
type = notify
notify = fd:7
exec = /bin/sh -c "for c in R E A D Y = 1; do printf %s $c >&7; done; touch /test/almost; while [ ! -e /test/newline ]; do sleep 0.02; done; echo >&7; echo again >&7; exec 7>&-; touch /test/twice; exec sleep 1000"
enabled = no

[service no-line]
type = notify
notify = fd:7
exec = /bin/sh -c "printf READY=1 >&7; exec 7>&-; exec sleep 1000"
restart = never
enabled = no

[service heir]
type = notify
notify = fd:7
exec = /bin/sh -c "setsid sleep 3011 & exit 3"
restart = never
enabled = no

[service too-late]
type = notify
notify = fd:7
exec = /bin/sh -c "trap 'echo >&7; touch /test/asked; while [ ! -e /test/end ]; do sleep 0.02; done; exit' TERM; touch /test/trapped; while :; do sleep 0.02; done"
enabled = no

[service full]
exec = /bin/sleep 1000
restart = never
enabled = no
ENVIRONMENT
[service nobody]
exec = /bin/true
user = not-a-user
restart = never
enabled = no
X
seq 130 | sed 's/.*/environment = V&=1/' >"$TMP/environment"
sed -e "/^ENVIRONMENT/{r $TMP/environment" -e 'd}' "$TMP/set" >"$TMP/full"
boot <"$TMP/full"

inside() { nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" "$@"; }
running() { cat "$R"/proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "sleep $1 "; }
ctl start --no-wait notify
check "waits for READY=1" is_state notify starting
touch "$R/test/go"
check "sd_notify readiness" ctl start notify
check "STATUS= is kept" [ "$(field notify status)" = warm ]
ctl start main-plain
check "MAINPID= names the main process" [ "$(pid main-plain)" = "$(cat "$R/test/main.pid")" ]
check "the end of the first one is no end" is_state main-plain up
ctl stop main-plain
check "the named one is stopped" [ ! -e "$R/proc/$(cat "$R/test/main.pid")" ]
ctl start main-foreign
check "a process that is not of the service is refused" grep -q 'MAINPID refused.*name=main-foreign' "$TMP/console"
ctl start main-reaps
inside kill -9 "$(pid main-reaps)"
check "a main process of another parent is noticed to end" retry is_state main-reaps done
# While PID 1 is stopped, the main process of a service ends, and a stranger gets its number.
cat >"$R/test/stranger" <<'X'
n=0
while [ $n -lt 500 ]; do
	n=$((n + 1))
	echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid || exit 1
	setsid sleep 1012 </dev/null >/dev/null 2>&1 &
	[ $! != "$1" ] || { touch /test/reused; wait; exit; }
	kill $!
done
exit 1
X
ctl start main-again
main=$(pid main-again)
kill -STOP "$(pgrep -P "$INIT")"
inside kill -9 "$main"
reaped() { [ ! -e "$R/proc/$main" ]; }
retry reaped
inside /bin/sh /test/stranger "$main" &
retry [ -e "$R/test/reused" ]
"$CAIRN" service stop main-again & stopper=$!
asks() { [ "$(ls "/proc/$stopper/fd" | wc -l)" -ge 4 ]; }
retry asks
kill -CONT "$(pgrep -P "$INIT")"
wait $stopper
check "the number of a process that ended is a stranger's" grep -qz 1012 "$R/proc/$main/cmdline"
check "whom PID 1 leaves alone" inside kill -9 "$main"
ctl start leaves
touch "$R/test/leave"
check "STOPPING=1 is seen" retry is_state leaves stopping
check "with what it says" [ "$(field leaves status)" = "on my way" ]
touch "$R/test/left"
check "its exit status counts" retry is_state leaves done
ctl reload reloads
check "a reload runs" retry running 3001
check "stop of one that reloads" timeout 20 "$CAIRN" service stop reloads
check "it is down at once" is_state reloads down
check "and ends it" sh -c '! cat "$0"/proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -q "sleep 3001"' "$R"
check "too many variables are told" sh -c '"$CAIRN" service start full 2>&1 | grep -q "environment: more than 128 variables"'
check "a line on the descriptor, after junk" ctl start junk
check "closing it without a line is failure" sh -c '! "$CAIRN" service start closes 2>/dev/null'
check "and leaves no process" [ "$(pid closes)" = 0 ]
ctl start --no-wait bit-by-bit heir too-late
retry [ -e "$R/test/almost" ]
check "a line without its end is none" is_state bit-by-bit starting
touch "$R/test/newline"
check "with it, bit by bit, it is one" retry is_state bit-by-bit up
retry [ -e "$R/test/twice" ]
check "a second line, and the end of lines, change nothing" is_state bit-by-bit up
check "the end of lines in the middle of one is failure" sh -c '! "$CAIRN" service start no-line 2>/dev/null'
check "a child that keeps the descriptor keeps nobody waiting" retry is_state heir failed
check "for that reason" [ "$(field heir why)" = "exit code 3" ]
check "and is gone" sh -c '! cat "$0"/proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -q "sleep 3011"' "$R"
retry [ -e "$R/test/trapped" ]
ctl stop --no-wait too-late
retry [ -e "$R/test/asked" ]
ctl list >/dev/null
check "readiness after the stop has begun is too late" is_state too-late stopping
touch "$R/test/end"
check "it goes down" retry is_state too-late down
check "start timeout" sh -c '"$CAIRN" service start slow 2>&1 | grep -q "start timed out"'

ctl start --no-wait loop
check "crash loop ends failed" retry is_state loop failed
check "after limit + 1 runs" [ "$(wc -l <"$R/test/loop")" = 5 ]
check "with the reason" [ "$(field loop why)" = "restart limit reached; last: exit code 1" ]
ctl start --no-wait cannot@missing cannot@mode cannot@interpreter cannot@directory
for what in "missing: No such file or directory" "mode: Permission denied" "interpreter: No such file or directory" "directory: Permission denied"; do
	retry is_state "cannot@${what%%:*}" failed
	check "cannot be executed: $what" [ "$(field "cannot@${what%%:*}" why)" = "restart limit reached; last: exec /test/cannot-$what" ]
done
ctl start --no-wait good-end
check "on-failure leaves a good end alone" retry is_state good-end done

old=$(pid phoenix)
inside kill -9 "$old"
new_pid() { p=$(pid phoenix); [ "$p" != "$old" ] && [ "$p" != 0 ]; }
check "killed service is up again" retry new_pid

check "a deaf service is killed after its time-out" ctl stop deaf
check "it is down" is_state deaf down
check "and it was said" grep -q 'killing name=deaf' "$TMP/console"

# 0 1 2, the directory ls reads, and the notification descriptor that it did not ask for as oneshot
check "a oneshot comes to its end" retry is_state fds up
check "exactly the descriptors it may have" [ "$(tr '\n' ' ' <"$R/test/fds")" = "0 1 2 3 " ]
check "no signal blocked" grep -q 'SigBlk:.*0000000000000000$' "$R/test/status"
check "no signal ignored" grep -q 'SigIgn:.*0000000000000000$' "$R/test/status"
check "environment" grep -q '^B=two words$' "$R/test/env"
check "umask" grep -q 027 "$R/test/umask"
check "working directory" grep -qx /tmp "$R/test/pwd"
check "limit" grep -qx 321 "$R/test/nofile"

ctl start --no-wait orphans
zombies() { cat "$R"/proc/[0-9]*/stat 2>/dev/null | awk '$3 == "Z"' | wc -l; }
no_zombies() { [ "$(zombies)" = 0 ]; }
check "orphans are reaped" retry no_zombies

check "a forking daemon is adopted" ctl start daemon
check "by its pid file" [ "$(pid daemon)" = "$(cat "$R/test/daemon.pid")" ]
ctl stop daemon
check "and stopped" [ ! -e "$R/proc/$(cat "$R/test/daemon.pid")" ]
phoenix=$(pid phoenix)
ctl start --no-wait pid@other pid@garbage pid@digits pid@zero pid@negative pid@ended pid@link pid@late
for what in other garbage digits zero negative ended link; do
	check "a pid file with what is not its process: $what" retry is_state pid@$what failed
done
check "the other one is left alone" [ "$(pid phoenix)" = "$phoenix" ]
check "one that is empty yet is waited for" is_state pid@late starting
touch "$R/test/fill"
check "until it is filled" retry is_state pid@late up
check "a pid file that names PID 1 is refused" sh -c '! "$CAIRN" service start liar 2>/dev/null'
check "an unknown user is a clear failure" sh -c '"$CAIRN" service start nobody 2>&1 | grep -q "user not-a-user: not found"'

check "an activated service counts as up" is_state sock up
check "without a process" [ "$(pid sock)" = 0 ]
ask() { inside /usr/bin/python3 /test/ask.py /run/echo.sock "$1"; }
check "mode of the socket" [ "$(stat -c %a "$R/run/echo.sock")" = 600 ]
one=$(ask hello)
check "the first connection starts it" [ "${one#*:}" = hello ]
check "the next one finds it running" [ "$(ask again)" = "${one%%:*}:again" ]
ask die >/dev/null 2>&1
two=$(ask more)
check "after its death the socket answers again" [ "${two#*:}" = more ]
check "from a new process" [ "${two%%:*}" != "${one%%:*}" ]

fds() { ls "$R/proc/1/fd" | wc -l; }
ctl restart phoenix
before=$(fds)
i=0
while [ $i -lt 20 ]; do
	ctl restart phoenix
	i=$((i + 1))
done
check "no descriptor leaks over restarts" [ "$(fds)" -le "$((before + 2))" ]
# A child sets its output in the table of PID 1, which puts its own back.
has() { inside readlink "/proc/$1/$2"; }
p=$(pid phoenix)
check "a service writes into a pipe" sh -c 'case $1 in pipe:*) ;; *) false ;; esac' - "$(has "$p" fd/1)"
check "and reads nothing" [ "$(has "$p" fd/0)" = /dev/null ]
check "PID 1 has its own output after the start" [ "$(has 1 fd/1)" != "$(has "$p" fd/1)" ]
check "for errors too" [ "$(has 1 fd/2)" != "$(has "$p" fd/2)" ]
check "a service that says nothing of it is in /" [ "$(has "$p" cwd)" = / ]
"$CAIRN" poweroff
wait $INIT
finish
