#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The control socket under garbage and crowds, and for clients of other versions; logs over the death of everybody, bounded shutdown.
. "$SRC/tests/ns/init.inc"
make_root
boot <<'X'
[init]
shutdown-timeout = 2s

[service counter]
exec = /bin/sh -c "n=$(wc -l </test/n); while [ $n -lt 1200 ]; do n=$((n + 1)); echo line $n; echo $n >>/test/n; [ $((n % 4)) != 0 ] || /bin/true; done; sleep 1000"
restart-delay = 1ms
restart-limit = 0
log-size = 8K
log-keep = 9
enabled = no

[service chatter]
exec = /bin/sh -c "printf 'no newline'; printf '\\000zero\\n'; head -c 70000 /dev/zero | tr '\\000' x; echo; exec sleep 1000"

[service immortal]
exec = /bin/sh -c "trap '' TERM; while :; do sleep 1; done"
stop-timeout = 60s

[service plain]
exec = /bin/sleep 1000
X
retry is_state chatter up

cat >"$TMP/garbage.py" <<'X'
import os, random, socket, struct, sys, time
path = sys.argv[1]
random.seed(7)
def conn():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)
    s.settimeout(60)
    return s
def u(n): return struct.pack("<Q", n)
def st(b): return u(len(b)) + b + b"\0" * (-len(b) % 8)
def closed(s):
    try:
        while s.recv(4096): pass
        return True
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False
bad = [
    b"", b"x", u(1), u(1) + u(1), u(1) + u(1) + u(0), u(1) + u(1) + u(0) + u(1 << 32),
    u(1) + u(1) + u(0) + st(b"a") + b"tail", u(0) + u(1) + u(0) + st(b""), u(3) + u(1) + u(0) + st(b""), u(1) + u(99) + u(0) + st(b""),
    u(1) + u(3) + u(0xff) + st(b"chatter"), u(1) + u(2) + u(0) + u(3) + b"abc" + b"\1" * 5,
    u(1) + u(2) + u(0) + st(b"a\0b"), os.urandom(4096), os.urandom(12000),
]
for b in bad:
    s = conn()
    try:
        s.send(b)
    except (OSError,):
        continue
    if b and not closed(s):
        sys.exit("not closed after %r" % b[:40])
    s.close()
s = conn()  # one that watches has nothing else to say
s.send(u(2) + u(16) + u(0) + st(b""))
assert s.recv(4096)
s.send(u(2) + u(9) + u(0) + st(b""))
if not closed(s):
    sys.exit("heard out of turn")
for i in range(500):
    s = conn()
    try:
        s.send(random.randbytes(random.randrange(1, 400)))
    except OSError:
        pass
    s.close()
idle = []
for i in range(1000):  # more than there are slots; the oldest lose theirs
    idle.append(conn())
# half a conversation: asks for the list and never reads
deaf = [conn() for i in range(5)]
for s in deaf:
    for i in range(50):
        try:
            s.send(u(1) + u(1) + u(0) + st(b""))
        except OSError:
            break
s = conn()
s.send(u(1) + u(9) + u(0) + st(b""))
assert s.recv(4096)
X
check "CTL-03 garbage, crowds and the deaf harm only themselves" python3 "$TMP/garbage.py" "$CAIRN_INIT_SOCKET"
check "CTL-03 everybody else is served" is_state chatter up
# A client of the protocol before this one, and one of the protocol after it.
cat >"$TMP/versions.py" <<'X'
import errno, socket, struct, sys
def u(n): return struct.pack("<Q", n)
def st(b): return u(len(b)) + b + b"\0" * (-len(b) % 8)
def ask(version, op, name=b"", flags=0):
    """(kind, strings, numbers) of each packet, which must be whole and of that version; the last is (4, code, message)"""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect(sys.argv[1])
    s.send(u(version) + u(op) + u(flags) + st(name))
    out = []
    while not out or out[-1][0] != 4:
        m, at = s.recv(4096), 0
        def number():
            nonlocal at
            at += 8
            return struct.unpack_from("<Q", m, at - 8)[0]
        def text():
            nonlocal at
            n = number()
            at += n + -n % 8
            return m[at - n - -n % 8:][:n]
        spoken, kind = number(), number()
        assert spoken == min(version, 2), spoken
        if kind == 1:
            row = [text() for i in range(8)] + [number() for i in range(5)]
            out.append((kind, row))
            if version > 1:
                row += [number() for i in range(5)] + [text()]
        elif kind == 3:
            out.append((kind, [text(), text()] + [number() for i in range(3 if version == 1 else 6)]))
        else:
            out.append((kind, number(), text()))
        assert at == len(m), (kind, at, len(m))
    return out
for version in 1, 2:
    rows = ask(version, 1)
    assert [r[1][0] for r in rows[:-1]] == [b"counter", b"chatter", b"immortal", b"plain"] and rows[-1][1] == 0, rows
    one = ask(version, 2, b"plain")
    assert one[0][1][2] == b"up" and len(one[0][1]) == (13 if version == 1 else 19), one
    assert ask(version, 9)[0][1][2:4] == [1, 4]
    for op, state in (4, b"down"), (3, b"up"), (5, b"up"):
        assert ask(version, op, b"plain", 1) == [(4, 0, b"")], op
        assert ask(version, 2, b"plain")[0][1][2] == state, op
    kind, code, message = ask(version, 3, b"nobody")[0]
    assert code and message == b"no service 'nobody'", (code, message)
kind, code, message = ask(3, 1)[0]
assert code and message == b"malformed request, or not of a protocol from 1 to 2", message
X
check "a client of the version before is served" python3 "$TMP/versions.py" "$CAIRN_INIT_SOCKET"
check "unknown service" sh -c '"$CAIRN" service status nosuch 2>&1 | grep -q "no service .nosuch"'

# 1200 lines while the service is killed again and again. It notes each number in one write, so that a kill leaves
# no half of one, and runs a program now and then, so that it is not done before the first kill.
: >"$R/test/n"
ctl start --no-wait counter
written() { wc -l <"$R/test/n"; }
goes_on() { [ "$(written)" -gt "$before" ]; }
host_pid() { for p in $(cat "/proc/$INIT/task/$INIT/children") $(pgrep -P "$(pgrep -P "$INIT")"); do
	if grep -qa -e "$1" "/proc/$p/cmdline" 2>/dev/null; then echo "$p"; fi; done; }
i=0
while [ $i -lt 8 ] && before=$(written) && [ "$before" -lt 1200 ]; do
	retry goes_on
	kill -9 $(host_pid 'test/n') 2>/dev/null
	i=$((i + 1))
done
all_lines() { [ "$(written)" = 1200 ] && cat "$R/var/log/cairn/counter.log" | grep -q 'line 1200$'; }
check "a killed writer goes on" retry all_lines
cat $(ls -v "$R"/var/log/cairn/counter.log.*) "$R/var/log/cairn/counter.log" | sed 's/^[^ ]* //' >"$TMP/lines"
# A kill between the line and the note of its number prints that number twice; none may be missing.
check "no line is lost and the order is kept" sh -c 'uniq "$0" | sed "s/line //" | awk "NR > 1 && \$1 != last + 1 { bad = 1 } { last = \$1 } END { exit bad || last != 1200 }"' "$TMP/lines"
check "logs were rotated" [ -e "$R/var/log/cairn/counter.log.1" ]
check "stamps" grep -Eq '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z line' "$R/var/log/cairn/counter.log"
check "long lines and zeros" retry grep -qa 'no newline.zero' "$R/var/log/cairn/chatter.log"
check "nothing is cut" sh -c 'awk "length > 70000 { found = 1 } END { exit !found }" "$0"' "$R/var/log/cairn/chatter.log"
log_pid=$(host_pid '--logger')
kill -9 $log_pid
ctl restart chatter
other_logger() { p=$(host_pid '--logger'); [ -n "$p" ] && [ "$p" != "$log_pid" ]; }
check "a dead logger is replaced" retry other_logger
twice() { [ "$(grep -ac 'no newline' "$R/var/log/cairn/chatter.log")" = 2 ]; }
check "and what was written meanwhile is there" retry twice

start=$(date +%s)
"$CAIRN" poweroff
wait $INIT
took=$(($(date +%s) - start))
check "shutdown is bounded by its time-out ($took s)" [ $took -lt 50 ]
check "and names who was late" grep -q 'out of time name=immortal' "$TMP/console"
finish
