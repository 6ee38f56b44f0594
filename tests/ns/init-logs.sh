#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Logs: every byte once, over the death of the logger; rotation, packing, boots; the system log; what cannot be written.
# timeout: 600
. "$SRC/tests/ns/init.inc"
make_root
mount -t tmpfs tmpfs "$R/run" # else nobody but the machine would see it
LOGS=$R/var/log/cairn
logs() { "$CAIRN" service log -D "$LOGS" "$@" 2>>"$TMP/ctl.err"; }
logger_pid() { pgrep -P "$(pgrep -P "$INIT")" -f -- --logger; }

# Kill N loggers, one after the other, each in the first moments of its work: the pipes are full then. Makes a FILE
# before the last.
cat >"$TMP/killer.py" <<'X'
import os, random, signal, sys, time
def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]
def logger(pid1):
    for p in children(pid1):
        try:
            if open(f"/proc/{p}/comm").read() == "cairn-logger\n":
                return p
        except OSError:
            pass
pid1, killed, old = children(int(sys.argv[1]))[0], 0, None
while killed < int(sys.argv[2]):
    p = logger(pid1)
    if p in (None, old):
        time.sleep(0.0005)
        continue
    time.sleep(random.random() * 0.002)
    if killed == int(sys.argv[2]) - 1 and len(sys.argv) > 3:
        open(sys.argv[3], "w")
    os.kill(p, signal.SIGKILL)
    old, killed = p, killed + 1
X
kill_loggers() { python3 "$TMP/killer.py" "$INIT" "$@"; }
# As that of init.inc, with mounts of its own: the end of a machine unmounts all, and another one begins here.
start() {
	cat >"$R/set"
	unshare -m -p -f --kill-child sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" /cairn-init /set' "$R" >"$TMP/console" 2>&1 &
	INIT=$!
	trap 'kill -9 $INIT 2>/dev/null; wait $INIT 2>/dev/null' EXIT
}
power_off() {
	"$CAIRN" poweroff
	wait $INIT
	mount -o remount,rw "$R" && mount -o remount,rw "$R/run"
	rm -rf "${R:?}/run/cairn"
}

# Lines of many lengths, some longer than what is taken at a time, with zeros and escapes; the marks tell which.
cat >"$R/test/lines.py" <<'X'
import os
def body(i):
    return b"" if i % 3 == 0 else b"\0\x1b[2J" if i % 3 == 1 else b"y" * (i * 37 % 20000 if i % 60 == 2 else i % 200)
i = 0
while not os.path.exists("/test/quiet"):
    os.write(1, b"line %d %s.\n" % (i, body(i)))
    i += 1
os.write(1, b"end %d\n" % i)
X
# The log of lines.py, without stamps, is all that it wrote.
cat >"$TMP/verify.py" <<'X'
import re, sys
def body(i):
    return b"" if i % 3 == 0 else b"\0\x1b[2J" if i % 3 == 1 else b"y" * (i * 37 % 20000 if i % 60 == 2 else i % 200)
i = 0
for line in sys.stdin.buffer.read().split(b"\n")[:-1]:
    if not re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line):
        sys.exit("no stamp: %r" % line[:80])
    line = line[25:]
    if line == b"end %d" % i:
        sys.exit(i == 0)
    if line != b"line %d %s." % (i, body(i)):
        sys.exit("line %d is %r" % (i, line[:80]))
    i += 1
sys.exit("no end after %d lines" % i)
X

cat >"$TMP/set" <<'X'
[init]
shutdown-timeout = 2s
log-boots = 2
log-size = 64K
log-keep = 4

[service blink]
exec = /bin/sh -c "echo lived for a moment; echo and another >&2"
restart = never

[service lines]
exec = /usr/bin/python3 /test/lines.py
restart = never
log-size = 500M
log-rate = 0
enabled = no

[service turns]
exec = /bin/sh -c "i=0; while [ $i -lt 3000 ]; do echo turn $i of a line that is about as long as others are; i=$((i + 1)); done; exec sleep 1000"
log-size = 16K
log-keep = 3
enabled = no

[service pages]
exec = /bin/sh -c "i=0; while [ $i -lt 3000 ]; do echo page $i of a book that is about as long as others are; i=$((i + 1)); done; exec sleep 1000"
log-size = 16K
log-keep = 99
enabled = no

[service endless]
exec = /bin/sh -c "head -c 300000 /dev/zero | tr '\\0' x; exec sleep 1000"
enabled = no

[service flood]
exec = /usr/bin/yes this is said as fast as can be
log-rate = 400K
log-size = 16M
enabled = no

[service other]
exec = /bin/sh -c "echo other begins; while read -r x; do echo heard $x; done </test/fifo; exec sleep 1000"
enabled = no

[service immortal]
exec = /bin/sh -c "trap '' TERM; while :; do sleep 1; done"
stop-timeout = 60s
X
mkfifo "$R/test/fifo"
boot <"$TMP/set"

check "a process that lived for a moment" retry grep -q 'Z lived for a moment' "$LOGS/blink.log"
check "with its last line" retry grep -q 'Z and another' "$LOGS/blink.log"
check "the first words of PID 1" grep -q 'init: starts' "$LOGS/init.log"

# ---- a logger that dies again and again
ctl start --no-wait lines
kill_loggers 100 "$R/test/quiet"
whole() { logs -n all lines | python3 "$TMP/verify.py" 2>"$TMP/verified"; }
show="$TMP/verified $show"
check "SUP-12 a logger killed 100 times loses nothing, repeats nothing" retry whole

# ---- rotation
ctl start turns endless
all_turns() { cat "$LOGS"/turns.log* | grep -q 'turn 2999 '; }
retry all_turns
is "as many rotated files as are kept" "$(ls "$LOGS" | grep -c '^turns\.log\.')" 3
small() { for f in "$LOGS"/turns.log.*; do [ "$(wc -c <"$f")" -lt 45000 ] || return 1; done; }
check "about as big as they may be" small
in_order() { logs -n all turns | sed 's/.* turn \([0-9]*\) .*/\1/' |
	awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 } END { if (last != 2999) exit 1 }'; }
check "their lines in order" in_order
newest=$(ls "$LOGS" | sed -n 's/^turns\.log\.//p' | sort -n | tail -n 1)
oldest=$(ls "$LOGS" | sed -n 's/^turns\.log\.//p' | sort -n | head -n 1)
check "none but the oldest are gone" [ $((newest - oldest)) = 2 ]
logs -n all turns >"$TMP/before"
gzip "$LOGS/turns.log.$oldest" "$LOGS/turns.log.$newest"
logs -n all turns >"$TMP/after"
check "packed ones are read, too" cmp "$TMP/before" "$TMP/after"
endless_is_cut() { [ "$(cat "$LOGS"/endless.log* | grep -c 'x(line goes on)$')" -ge 1 ]; }
check "SUP-12 a line without end is split at a mark" retry endless_is_cut
all_x() { [ "$(logs -n all endless | sed 's/^[^ ]* //; s/(line goes on)$//' | tr -d '\n' | wc -c)" = 300000 ]; }
check "and whole" retry all_x

# ---- the system log
cat >"$TMP/say.py" <<'X'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
s.send(b"<30>Nov  6 09:00:00 tagged[77]: hello")
s.send(b"<11>evil: one\n2026-01-01T00:00:00.000Z two\x1b[2J\0after")
s.send(b"no priority")
s.send(b"<999>odd")
s.send(b"")
s.send(b"<187>" + b"long" * 5000)
for i in range(500):
    s.send(b"<14>count: %d" % i)
X
check "/dev/log is there" [ -S "$R/dev/log" ]
python3 "$TMP/say.py" "$R/dev/log" &
said=$!
kill_loggers 10
wait $said
counted() { [ "$(grep -c 'user.info count: ' "$LOGS/syslog.log")" = 500 ]; }
check "each message once, also while the logger dies" retry counted
check "facility and priority; its own date is gone" grep -q 'Z daemon.info tagged\[77\]: hello$' "$LOGS/syslog.log"
check "SUP-12 no escapes, no lines of others" grep -qF 'user.err evil: one\x0a2026-01-01T00:00:00.000Z two\x1b[2J' "$LOGS/syslog.log"
check "without a priority" grep -q 'user.notice no priority' "$LOGS/syslog.log"
check "with one that is none" grep -q 'user.notice .*odd' "$LOGS/syslog.log"
check "a long one is cut, and says so" grep -Eq 'local7.err (long)+l?o?n? \(cut\)$' "$LOGS/syslog.log"

# ---- a logger that is stopped, and a flood
ctl start flood
found() { p=$(logger_pid) && [ -n "$p" ]; }
retry found # the next one, after the last that was killed
kill -STOP "$p"
ctl restart blink
check "SUP-12 PID 1 does not wait for a stopped logger" is_state flood up
check "nor do restarts" ctl restart other
kill -CONT "$p"
slowed() { grep -q 'Z (slowed down here)' "$LOGS"/flood.log*; }
check "SUP-12 a flood is slowed down, and the log says so" retry slowed
heard() { echo "$1" >"$R/test/fifo"; retry grep -q "heard $1" "$LOGS/other.log"; }
exec 9>"$R/test/fifo"
check "SUP-12 others are heard in a flood" heard something
check "and restarted" ctl restart other
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$(logger_pid)/status"; }
anon() { awk '/^RssAnon/ { print $2 }' "/proc/$(logger_pid)/status"; }
echo "# the logger has $(rss) KiB, $(anon) of its own"
check "SUP-12 the logger's own memory is bounded" [ "$(anon)" -le 200 ]
ctl stop flood
exec 9>&-

# ---- what the command shows
is "the last lines" "$(logs -n 2 turns | sed 's/.* turn/turn/; s/ of.*//' | tr '\n' ' ')" "turn 2998 turn 2999 "
by_time() { logs -n all >"$TMP/all" && cut -d' ' -f1 "$TMP/all" | LC_ALL=C sort -c; }
check "all services by time" by_time
check "with their names" grep -q 'Z blink: lived' "$TMP/all"
check "--since" [ "$(logs --since '1 hour ago' blink | grep -c lived)" -ge 1 ]
is "--until" "$(logs --until '1 hour ago' blink)" ""
check "JSON" sh -c '"$1" service log -D "$2" --json -n all syslog blink |
	python3 -c "
import json, sys
all = [json.loads(l) for l in sys.stdin]
assert [o for o in all if o[\"service\"] == \"syslog\" and o[\"facility\"] == \"daemon\" and o[\"priority\"] == \"info\" and o[\"message\"] == \"tagged[77]: hello\"]
assert [o for o in all if o[\"service\"] == \"blink\" and o[\"message\"] == \"lived for a moment\" and o[\"boot\"] == 1]
"' "$0" "$CAIRN" "$LOGS"
fails() { want=$1; shift; "$CAIRN" service log -D "$LOGS" "$@" >/dev/null 2>"$TMP/err"; [ $? = "$want" ]; }
check "a service that there is none of" fails 66 nosuch
check "says so" grep -q "no log of 'nosuch'" "$TMP/err"
check "a near one is named" sh -c '"$1" service log -D "$2" blnk 2>&1 | grep -q "is it .blink."' "$0" "$CAIRN" "$LOGS"
check "a time that is none" fails 2 --since soon
check "a boot that is none" fails 66 -b 7
check "a number that is none" fails 2 -n many
check "nothing moves a terminal's cursor" sh -c 'script -qec "$1 service log -D $2 -n all lines" /dev/null </dev/null | tr -d "\r" | grep -qF "x1b[2J" &&
	! script -qec "$1 service log -D $2 -n all lines" /dev/null </dev/null | grep -q "$(printf "\\033")"' "$0" "$CAIRN" "$LOGS"

# ---- follow, over rotation
"$CAIRN" service log -D "$LOGS" -f -n 0 pages >"$TMP/followed" &
follower=$!
watching() { grep -q inotify "/proc/$follower/fdinfo"/* 2>/dev/null; }
retry watching
ctl start pages
followed() { grep -q 'page 2999 ' "$TMP/followed"; }
check "--follow goes on over rotated files" retry followed
check "without a gap, without a repetition" sh -c 'sed "s/.* page \([0-9]*\) .*/\1/" "$0" | awk "\$1 != NR - 1 { exit 1 } END { if (NR != 3000) exit 1 }"' "$TMP/followed"
kill $follower
wait $follower 2>/dev/null

# ---- boots
power_off
cat >"$TMP/set.next" <<'X'
[init]
log-boots = 1

[service blink]
exec = /bin/sh -c "echo lived for a moment"
restart = never
X
boot <"$TMP/set.next"
# The logger makes the place when it begins; before that all is as it was.
kept() { [ "$(ls "$LOGS/boots" 2>/dev/null)" = "$1" ]; }
anew() { [ "$(logs -n all blink | grep -c lived)" = 1 ]; }
check "the boot before has a place" retry kept 1
check "and this one begins anew" retry anew
check "the last words of the boot before" sh -c '"$1" service log -D "$2" -b -1 init | grep -q "out of time name=immortal"' "$0" "$CAIRN" "$LOGS"
is "boots are listed" "$(logs --list-boots --json | sed 's/.*"boot":\([0-9]*\),"offset":\(-*[0-9]*\).*/\1 \2/' | tr '\n' ' ')" "1 -1 2 0 "
check "--boot N" [ "$(logs -b 1 -n all turns | grep -c 'turn 2999 ')" -ge 1 ]
check "--since looks at the boots before" [ "$(logs --since '1 hour ago' blink | grep -c lived)" -ge 3 ]
power_off
boot <"$TMP/set.next"
check "as many boots as are kept" retry kept 2

# ---- a directory that cannot be written, then a disk that is full
power_off
mkdir -p "$R/small"
mount -t tmpfs -o size=256k tmpfs "$R/small"
LOGS=$R/small/logs
: >"$LOGS" # no directory
cat >"$R/test/counts.py" <<'X'
import os
for go in "/test/go1", "/test/go2", "/test/go3":
    open(go).read()
    for i in range(200):
        os.write(1, b"%s %3d%s\n" % (go.encode(), i, b"." * 45))
open("/test/end").read()
X
for i in go1 go2 go3 end; do mkfifo "$R/test/$i"; done
boot <<'X'
[init]
log-directory = /small/logs

[service counts]
exec = /usr/bin/python3 /test/counts.py
log-size = 10M
X
retry is_state counts up
unread() { python3 -c "
import fcntl, os, struct, sys, termios
fd = os.open('/proc/$(pgrep -P "$(pgrep -P "$INIT")" -f counts.py)/fd/1', os.O_RDONLY | os.O_NONBLOCK)
sys.exit(struct.unpack('i', fcntl.ioctl(fd, termios.FIONREAD, b'0000'))[0] == 0)
"; }
echo >"$R/test/go1"
check "PID 1 goes on with a directory that it cannot write" retry is_state counts up
check "and a service's words wait" retry unread
rm "$LOGS"
first() { grep -q 'go1 199' "$LOGS/counts.log"; }
check "until it can be written" retry first
is "all of them" "$(grep -c 'go1 ' "$LOGS/counts.log")" 200
head -c 400000 /dev/zero >"$R/small/filler" 2>/dev/null
echo >"$R/test/go2"
echo >"$R/test/go3"
ends() { python3 -c "import os; os.open('$R/test/end', os.O_WRONLY | os.O_NONBLOCK)"; }
retry ends
read_up() { ! unread && is_state counts up; } # it starts again, with the same pipe
check "SUP-12 PID 1 goes on with a full disk, and so does the service" retry read_up
rm "$R/small/filler"
cat >"$TMP/sum.py" <<'X'
import re, sys
said = lost = 0
for line in open(sys.argv[1], "rb").read().split(b"\n")[:-1]:
    mark = re.fullmatch(rb"\S+ \((\d+) bytes lost here\)", line)
    if mark:
        lost += int(mark[1])
    else:
        said += len(line) - 25 + (line[-1:] == b".")  # else the newline is only that before a mark
print(said, lost)
sys.exit(not (lost > 0 and said >= 400 * 59 and said + lost == 800 * 59))
X
echo >"$R/test/go1"
marked() { python3 "$TMP/sum.py" "$LOGS/counts.log" >"$TMP/sum"; }
show="$TMP/sum $show"
check "SUP-12 what is missing is counted to the byte" retry marked
"$CAIRN" poweroff
wait $INIT
finish
