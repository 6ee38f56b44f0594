#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What PID 1 must not give, and what must not bring it down (tests/attacks): users that are none, what it was started with,
# storms of processes, messages and sockets of others.
# timeout: 300
INIT_TEST_USERS=1
. "$SRC/tests/ns/init.inc"
make_root
mkdir "$R/test/out"
chmod 0777 "$R/test/out"
# A line without a name, as a damaged file has it.
printf ':x:0:0:nobody at all:/:/bin/sh\n0day:x:0:0:digits first:/:/bin/sh\n' >>"$R/etc/passwd"
printf ':x:0:\nalice:x:1000:\nextra:x:600:alice\nmore:x:601:\n' >>"$R/etc/group"
printf 'alice:x:1000:1000::/:/bin/sh\n' >>"$R/etc/passwd"
chmod 0755 "$R"
gcc -static -O1 -o "$R/test/orphans" "$SRC/tests/ns/orphans.c" || exit 1

wrong() {
	printf '[service %s]\ntype = oneshot\nexec = /bin/sh -c "id >/test/out/%s"\nenabled = no\n%s\n\n' "$1" "$1" "$2"
}
{
	wrong none 'user = nobody-there'
	wrong digits 'user = 0night'
	wrong minus 'user = -1'
	wrong all-ones 'user = 4294967295'
	wrong beyond 'user = 4294967296'
	wrong blank 'user = "ro ot"'
	wrong group 'group = nobody-there'
	wrong group-ones 'group = 4294967295'
	wrong groups 'groups = root nobody-there'
	cat <<'X'
[service named]
type = oneshot
exec = /bin/sh -c "id -u >/test/out/named"
user = 4711

[service descriptors]
type = oneshot
exec = /bin/sh -c "ls /proc/self/fd >/test/out/descriptors"

[service given]
type = oneshot
exec = /bin/sh /test/given
notify = fd:9

[service victim]
exec = /bin/sh -c "echo $$ >/test/victim.new; mv /test/victim.new /test/victim; exec sleep 1000"
restart-limit = 0
restart-delay = 1ms
restart-delay-max = 1ms
enabled = no

[service orphans]
type = oneshot
exec = /test/orphans 2000 /test/victim
remain = no
enabled = no

[service storm@]
exec = /bin/sh -c "echo >>/test/storm; exit 1"
restart-limit = 3
restart-delay = 1ms
enabled = no

[service one]
exec = /bin/sh /test/duel one two
restart-limit = 3
restart-delay = 1ms
enabled = no

[service two]
exec = /bin/sh /test/duel two one
restart-limit = 3
restart-delay = 1ms
enabled = no

[service hears]
type = notify
exec = /usr/bin/python3 /test/hears.py
restart = never
start-timeout = 600s
enabled = no

[service who]
type = oneshot
exec = /bin/sh -c "echo $(id -u) $(id -G) >/test/out/who"
user = alice

[service whose]
type = oneshot
exec = /bin/sh -c "echo $(id -u) $(id -G) >/test/out/whose"
user = alice
group = extra
groups = more

[service mine]
exec = /bin/sleep 1000
reload-exec = /bin/true
action = act /bin/true
control = user:alice

[service storms]
type = group
enabled = no
X
	echo "wants = $(seq -s ' ' 0 199 | sed 's/[0-9]*/storm@&/g')"
} >"$TMP/set"
cat >"$R/test/given" <<'X'
cd "/proc/$$"
{
	grep -E '^(Sig(Blk|Ign|Cgt)|Cap(Inh|Amb)|NoNewPrivs|Umask|Seccomp):' /proc/self/status # not of the shell, which blocks signals while it forks
	tr '\0' '\n' <environ | sort
	echo "$OLDPWD"
	ps -o sid= -p $$ | tr -d ' ' | sed "s/^$$\$/own session/"
} >/test/out/given 2>&1
X

cat >"$R/test/duel" <<'X'
echo >>/test/duels
echo $$ >/test/$1.pid
kill -9 "$(cat /test/$2.pid)"
exec sleep 1000
X
# A barrier after each kind: when it is passed, PID 1 has read what came before.
cat >"$R/test/say.py" <<'X'
import array, os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
s.connect(os.environ.get("NOTIFY_SOCKET", "/run/cairn/notify"))
def fds(message, n):
    r, w = os.pipe()
    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w] * n))])
    os.close(w)
    os.read(r, 1)
def barrier():
    fds(b"BARRIER=1", 1)
X
cat >"$R/test/hears.py" <<'X'
import sys, time
sys.path.insert(0, "/test")
from say import *
while not os.path.exists("/test/begin"):
    time.sleep(0.02)
s.send(b"")
for text in b"\0READY=1", b" READY=1", b"READY=1x", b"READY=1\0", b"ready=1", b"READY=1\n" + b"x" * 65536:
    s.send(text)
for pid in b"1", b"0", b"-1", b"4194305", b"4294967297", open("/test/victim", "rb").read().strip():
    s.send(b"MAINPID=" + pid)
s.send(b"STATUS=\x1b[2J\nMAINPID=\n=\n\n\n")
fds(b"", 1)
fds(b"NOTHING=1", 200)
barrier()
open("/test/said", "w").close()
while not os.path.exists("/test/go"):
    time.sleep(0.02)
s.send(b"READY=1")
time.sleep(1000)
X
printf 'from say import *\ns.send(b"READY=1\\nSTATUS=forged")\nbarrier()\n' >"$R/test/stranger.py"

# What lies where PID 1 wants its sockets.
mkdir "$R/run/cairn"
ln -s /etc/passwd "$R/run/cairn/init.sock"
echo kept >"$R/run/cairn/notify"
cp "$R/etc/passwd" "$TMP/passwd"

# PID 1 itself is started with all that could leak.
trap '' USR1 HUP
umask 077
export LD_PRELOAD_X=x SECRET=hidden BASH_ENV=/test/evil ENV=/test/evil
exec 7</etc/passwd 8<"$R"
boot <"$TMP/set"
exec 7<&- 8<&-
umask 022

refused() {
	! "$CAIRN" service start "$1" 2>"$TMP/said" && grep -q 'not found' "$TMP/said" && [ ! -e "$R/test/out/$1" ]
}
for name in none digits minus all-ones beyond blank group group-ones groups; do
	check "SUP-15 $name: does not start" refused "$name"
done
check "SUP-15 a number that has no name is that user" retry is_state named up
is "SUP-15 and no other" "$(cat "$R/test/out/named")" 4711
empty() {
	printf '[service x]\nexec = /bin/true\n%s =\n' "$1" >"$TMP/empty"
	! "$CAIRN" service check "$TMP/empty" 2>"$TMP/said" && grep -qF "$1: is empty" "$TMP/said"
}
check "SUP-15 an empty user is refused with the set" empty user
check "SUP-15 an empty group, too" empty group

retry is_state who up
retry is_state whose up
is "the groups of a user" "$(cat "$R/test/out/who")" "1000 1000 600"
is "those that are named instead" "$(cat "$R/test/out/whose")" "1000 600 601"
retry is_state given up
got() { grep -qx "$1" "$R/test/out/given"; }
retry is_state descriptors up
# 3 is the directory that ls reads.
is "SUP-23 descriptors" "$(tr '\n' ' ' <"$R/test/out/descriptors")" "0 1 2 3 "
check "SUP-23 no signal is blocked" got 'SigBlk:.0000000000000000'
check "SUP-23 none is ignored" got 'SigIgn:.0000000000000000'
check "SUP-23 no capability is inherited" got 'CapInh:.0000000000000000'
check "SUP-23 none is ambient" got 'CapAmb:.0000000000000000'
check "SUP-23 umask" got 'Umask:.0022'
check "SUP-23 directory" got /
check "SUP-23 a session of its own" got 'own session'
is "SUP-23 variables" "$(sed -n 's/^\([A-Za-z_]*\)=.*/\1/p' "$R/test/out/given" | tr '\n' ' ')" "PATH SERVICE_NAME "

inside() { nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" "$@"; }
fds() { ls "$R/proc/1/fd" | wc -l; }
as_before() { [ "$(fds)" -le "$before" ]; } # a client that left is a descriptor less one turn later

# ---- services that end at once -------------------------------------------------------------------------------------------------------
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "$R/proc/1/stat"; }
ctl start --no-wait one two
duel_over() { case "$(state one) $(state two)" in "failed up" | "up failed" | "failed failed") ;; *) return 1 ;; esac; }
check "SUP-07 two that kill each other come to an end" retry duel_over
check "SUP-07 after as many starts as each may have" [ "$(wc -l <"$R/test/duels")" -le 8 ]
ctl start --no-wait storms
failed() { ctl list --failed | grep -c '^storm@'; }
all_failed() { [ "$(failed)" = 200 ]; }
check "SUP-07 two hundred that end at once are given up" retry all_failed
is "SUP-07 each after as many starts as it may have" "$(wc -l <"$R/test/storm")" 800
is "SUP-07 and says so" "$(field storm@77 why)" "restart limit reached; last: exit code 1"
quiet=$(ticks)
ctl list >"$TMP/out"
check "SUP-07 then PID 1 has nothing to do" [ $(($(ticks) - quiet)) -lt 30 ]

# ---- processes that lose their parent and end, all at once -------------------------------------------------------------------------------
ctl start victim
round=0
while [ $round -lt 5 ]; do
	round=$((round + 1))
	ctl start --no-wait orphans
	ended() { is_state orphans done || is_state orphans down || is_state orphans failed; }
	retry ended
	again() { [ "$(field victim restarts)" = $round ] && is_state victim up; }
	retry again
done
is "SUP-01 a death among 2,000 orphans is seen, each time" "$(field victim restarts) $(state victim)" "5 up"
is "SUP-01 they were as many" "$(field orphans why)" ""
zombies() { cat "$R"/proc/[0-9]*/stat 2>/dev/null | awk '$3 == "Z"' | wc -l; }
no_zombies() { [ "$(zombies)" = 0 ]; }
check "SUP-01 all are reaped" retry no_zombies

# ---- messages that are none --------------------------------------------------------------------------------------------------------------
retry [ -s "$R/test/victim" ]
ctl start --no-wait hears
retry is_state hears starting
before=$(fds)
touch "$R/test/begin"
check "SUP-11 odd messages are read" retry [ -e "$R/test/said" ]
inside /usr/bin/python3 -B /test/stranger.py
inside setpriv --reuid 1000 --regid 1000 --clear-groups /usr/bin/python3 -B /test/stranger.py
is "SUP-11 none of them counts, nor a stranger's" "$(state hears) $(field hears status)" "starting \u001b[2J"
check "SUP-11 the main process is what it was" grep -qz hears.py "$R/proc/$(pid hears)/cmdline"
check "SUP-11 no descriptor is left" retry as_before
touch "$R/test/go"
check "SUP-11 a right one counts" retry is_state hears up

# ---- who may, one operation after the other, past the client ---------------------------------------------------------------------------------
cat >"$TMP/verbs.py" <<'X'
import errno, socket, struct, sys
def u(n): return struct.pack("<Q", n)
def st(b): return u(len(b)) + b + b"\0" * (-len(b) % 8)
def ask(op, name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect(sys.argv[1])
    s.send(u(2) + u(op) + u(0) + st(name))
    while True:
        m = s.recv(4096)
        kind, code = struct.unpack("<QQ", m[8:24]) if len(m) >= 24 else (6, 0)
        if kind in (4, 6):
            return code
open_to_all = (1, 2, 9, 15, 16)
names = {7: b"/set", 8: b"poweroff", 10: b"", 12: b"[service evil]\nexec = /bin/sh\n", 14: b"victim act"}
for op in range(1, 17):
    code = ask(op, names.get(op, b"victim"))
    if (code == errno.EPERM) == (op in open_to_all):
        sys.exit(f"operation {op}: {code}")
for op in 14, 6, 3, 5:
    code = ask(op, b"mine act" if op == 14 else b"mine")
    if code:
        sys.exit(f"operation {op} on its own service: {code}")
print("well")
X
setpriv --reuid 1000 --regid 1000 --clear-groups python3 "$TMP/verbs.py" "$CAIRN_INIT_SOCKET" >"$TMP/out" 2>&1
is "CTL-01 each operation is allowed or refused as the table says" "$(cat "$TMP/out")" well
check "CTL-01 and nothing happened" [ "$(state victim) $(state evil)" = "up " ]
check "CTL-01 refusals are noted" grep -q 'control: refused op=.* uid=1000' "$TMP/console"

# ---- the place of the sockets ------------------------------------------------------------------------------------------------------------
check "CTL-04 a link in the place of the socket is replaced, not followed" cmp "$TMP/passwd" "$R/etc/passwd"
is "CTL-04 nobody else can put one there" "$(stat -c '%a %u' "$R/run/cairn")" "755 0"
cat >"$TMP/abstract.py" <<'X'
import os, sys
root = sys.argv[1]
own = {os.readlink(f"{root}/proc/1/fd/{n}") for n in os.listdir(f"{root}/proc/1/fd")}
bound = [l.split() for l in open(f"{root}/proc/1/net/unix") if len(l.split()) == 8]
names = [l[7] for l in bound if f"socket:[{l[6]}]" in own]
sys.exit(not ("/run/cairn/init.sock" in names and all(n[0] == "/" for n in names)))
X
check "CTL-04 no name of a socket is open to everybody" python3 "$TMP/abstract.py" "$R"
rm "$R/run/cairn/init.sock" "$R/run/cairn/notify"
echo evil >"$R/run/cairn/init.sock"
inside kill -HUP 1
check "CTL-04 HUP brings them back" retry ctl list
check "CTL-04 both" [ -S "$R/run/cairn/notify" ]
check "CTL-04 for those who start now, too" ctl restart hears
check "CTL-04 no descriptor is left" retry as_before
mkdir -m 0777 "$R/tmp/run"
inside timeout 20 /cairn-init --run-dir /tmp/run /set >"$TMP/instance" 2>&1
is "CTL-04 an instance does not use a directory of others" $? 1
check "CTL-04 and says so" grep -q '/tmp/run: others may write to it' "$TMP/instance"

# ---- clients that leave in the middle of an answer ---------------------------------------------------------------------------------------
cat >"$TMP/leave.py" <<'X'
import socket, struct, sys
def u(n): return struct.pack("<Q", n)
for n in range(220):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect(sys.argv[1])
    s.send(u(2) + u(1) + u(0) + u(0))
    for i in range(n):
        if not s.recv(4096):
            sys.exit("closed early")
    if n % 2:
        s.shutdown(socket.SHUT_RD)
    s.close()
X
check "CTL-05 clients leave after each part of an answer" python3 "$TMP/leave.py" "$CAIRN_INIT_SOCKET"
check "CTL-05 nobody else notices" is_state hears up
check "CTL-05 no descriptor is left" retry as_before
"$CAIRN" poweroff
wait $INIT
finish
