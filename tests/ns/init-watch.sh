#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What people and scripts see of the services (list, status, tree, graph, the boot), wait for and watch; who may do what.
INIT_TEST_USERS=1
. "$SRC/tests/ns/init.inc"
make_root
printf 'alice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n' >>"$R/etc/passwd"
printf 'wheel:x:500:\n' >>"$R/etc/group"
chmod 755 "$R" "$R/run"

set_of() { # what stays, as it is; $1: a line of the service "stays"
	cat <<X
[service base]
description = red $(printf '\033[31m') and $(printf '\377')
exec = /bin/sleep 1000

[service slow]
type = notify
notify = fd:3
exec = /bin/sh -c "echo one; echo two; while [ ! -e /test/ready ]; do sleep 0.05; done; echo >&3; exec sleep 1001"
requires = base
control = user:alice group:wheel
start-timeout = 600s

[service top]
exec = /bin/sleep 1002
wants = slow fails
after = timed

[service fails]
type = oneshot
exec = /bin/sh -c "exit 3"

[service retries]
exec = /bin/sh -c "exit 4"
restart-delay = 2h
restart-delay-max = 2h

[service timed]
type = oneshot
exec = /bin/true
every = 1h

[service off]
exec = /bin/sleep 1003
enabled = no

[service flaps]
exec = /bin/true
enabled = no
restart-limit = 0
restart-delay = 1ms
restart-delay-max = 1ms

[service holds]
exec = /bin/sh -c "trap 'until [ -e /test/let-go ]; do sleep 0.05; done; exit' TERM; while :; do sleep 0.05; done"
stop-timeout = 600s

[service stays]
exec = /bin/sleep 1004
$1
on-change = later
X
}
set_of >"$TMP/set1"
boot <"$TMP/set1"
as() { # USER GROUP COMMAND…
	u=$1 g=$2
	shift 2
	setpriv --reuid "$u" --regid "$u" --groups "$g" "$@"
}
cp "$CAIRN" "$R/cairn-client"
svc() { CAIRN_INIT_SOCKET=/run/cairn/init.sock chroot "$R" /cairn-client service "$@"; } # sees the machine's files
status_of() { "$@" >"$TMP/out" 2>"$TMP/err"; echo $?; }
names() { ctl list "$@" | sed 1d | cut -d' ' -f1 | sort | tr '\n' ' '; }
show="$TMP/out $TMP/err $TMP/console"

# ---- while the boot waits for "slow" -----------------------------------------------------------------------------------------------
retry is_state retries backoff
retry is_state slow starting
is "failed ones" "$(names --failed)" "fails "
is "by state" "$(names --state backoff --state starting)" "retries slow "
is "by pattern" "$(names 'f*' 'bas?')" "base fails flaps "
is "an unknown state" "$(status_of "$CAIRN" service list --state upp)" 2
check "is told the nearest" grep -q "did you mean 'up'" "$TMP/err"
is "no time left" "$(status_of "$CAIRN" service wait --timeout 200ms slow)" 101
"$CAIRN" service watch --json >"$TMP/events" 2>"$TMP/watch.err" &
watch=$!
"$CAIRN" service watch off >"$TMP/events-off" 2>&1 &
watch_off=$!
"$CAIRN" service wait slow top >"$TMP/wait.out" 2>&1 &
wait_up=$!
"$CAIRN" service wait --until failed slow >"$TMP/wait-failed.out" 2>&1 &
wait_failed=$!
watches() { ctl start off && ctl stop off && grep -q '"name":"off"' "$TMP/events" && grep -q 'off: stopping -> down' "$TMP/events-off"; }
check "both watch" retry watches
check "the boot is not over" sh -c '"$CAIRN" service timeline | grep -q "the boot is not over"'
touch "$R/test/ready"
wait $wait_up
is "a wait ends when all are up" $? 0
check "with no word" [ ! -s "$TMP/wait.out" ]
is "one that failed cannot come up" "$(status_of "$CAIRN" service wait fails)" 1
check "and the reason is told" grep -q 'fails is failed: exit code 3' "$TMP/err"
is "but is failed" "$(status_of "$CAIRN" service wait --until failed fails)" 0
is "and down" "$(status_of "$CAIRN" service wait --until down fails off)" 0
is "no such service" "$(status_of "$CAIRN" service wait nosuch)" 66

# ---- what is shown -----------------------------------------------------------------------------------------------------------------
says_two() { svc status slow | grep -q two; }
retry says_two
svc status slow base retries timed fails >"$TMP/out" 2>"$TMP/err"
is "one that is not up" $? 3
for line in 'needs *base$' 'needed by *top$' 'next try *20.*(in [0-9]*[mh]' 'next run *20.*(in [0-9]*min)' 'last end *exit code 3' 'last end *exit code 4' \
	'    20.*Z two' 'because *exit code 3' 'restarts *2'; do
	check "status: $line" grep -q "$line" "$TMP/out"
done
check "the log as JSON" sh -c 'echo "$0" | grep -q "\"log_lines\":\[.*Z two\"\]"' "$(svc status --json slow)"
check "CTL-07 nothing raw" sh -c '! grep -q "$(printf "\033")" "$0" && grep -q "red .x1b\[31m" "$0"' "$TMP/out"
"$CAIRN" service tree >"$TMP/out" 2>&1
for line in '^+ top$' '^|- + slow$' '^|  `- + base$' '^`- ! fails (failed)$' '^\* retries (backoff)$' '^- off (down)$'; do
	check "tree: $line" grep -q -- "$line" "$TMP/out"
done
is "who needs base" "$(ctl tree --reverse base | tr '\n' ' ')" '+ base `- + slow    `- + top '
check "a graph for dot" sh -c '"$CAIRN" service graph | tee "$0" | grep -q "\"top\" -> \"slow\" \[style=dashed\]"' "$TMP/out"
check "without what is said already" sh -c '! grep -q "\"slow\" -> \"base\" .*dotted" "$0" && grep -q "\"top\" -> \"timed\" .*dotted" "$0"' "$TMP/out"
check "blame names the slowest first" sh -c '"$CAIRN" service blame | head -1 | grep -q "s  slow$"'
cat >"$TMP/facts.py" <<'X'
import json, os, subprocess, sys, xml.dom.minidom
def get(*args):
    return subprocess.run([os.environ["CAIRN"], "service", *args], stdout=subprocess.PIPE, text=True).stdout
one = json.loads(get("status", "--json", "slow"))[0]
assert one["needs"] == ["base"] and one["needed_by"] == ["top"] and one["log_lines"] == [], one
assert one["ready_ms"] > one["begun_ms"] > 0, one
all = {s["name"]: s for s in json.loads(get("list", "--json"))}
assert 0 < all["retries"]["due_ms"] <= 7200000 and 0 < all["timed"]["due_ms"] <= 3600000, all
assert len(json.loads(get("status", "--json"))) == len(all)
edges = json.loads(get("graph", "--json"))["edges"]
assert {"from": "slow", "to": "base", "kind": "requires"} in edges, edges
tree = json.loads(get("tree", "--json", "top"))
assert tree[0]["below"][0]["below"][0]["name"] == "base", tree
line = json.loads(get("timeline", "--json"))
assert line["critical_chain"] == ["base", "slow", "top"], line
assert line["settled_ms"] >= line["start_ms"] > 0
took = {s["name"]: s["took_ms"] for s in json.loads(get("blame", "--json")) if "took_ms" in s}
assert took["slow"] == max(took.values()) > 0, took
svg = xml.dom.minidom.parseString(get("timeline", "--svg"))
assert len(svg.getElementsByTagName("title")) == len(line["services"]), svg
X
check "JSON and SVG" python3 "$TMP/facts.py"
check "the chain that was waited for" sh -c '"$CAIRN" service timeline | grep -A9 "^The chain" | tr "\n" " " | grep -q " base .* slow .* top "'
is "names are completed" "$("$CAIRN" complete -- service start s | tr '\n' ' ')" "slow stays "

# ---- events ------------------------------------------------------------------------------------------------------------------------
"$CAIRN" service start off
cat >"$TMP/events.py" <<'X'
import json, sys
ev = [json.loads(l) for l in open(sys.argv[1])]
off = [(e["old"], e["state"]) for e in ev if e["name"] == "off"]
assert ("waiting", "starting") in off and ("starting", "up") in off and ("stopping", "down") in off, off
assert ("starting", "up") in [(e["old"], e["state"]) for e in ev if e["name"] == "slow"]
assert [e["boottime_ns"] for e in ev] == sorted(e["boottime_ns"] for e in ev)
assert all(e["realtime_ns"] > 1600000000 * 10**9 and e["time"].endswith("Z") for e in ev)
assert [e for e in ev if e["name"] == "" and e["state"] == "booted"], ev
X
check "events" retry python3 "$TMP/events.py" "$TMP/events"
check "only those that were asked for" sh -c '! grep -q slow "$0" && grep -q "init: booted" "$0"' "$TMP/events-off"
ctl restart slow
"$CAIRN" service re-exec
check "a watch survives another life of PID 1" retry grep -q '"state":"re-exec"' "$TMP/events"
check "and so does a wait" kill -0 $wait_failed
ctl stop off
check "both go on" retry sh -c 'tail -n 3 "$0" | grep -q "off: stopping -> down"' "$TMP/events-off"

# One that never reads: its connection goes, and nobody waits for it.
cat >"$TMP/deaf.py" <<'X'
import select, socket, struct, sys
def u(n): return struct.pack("<Q", n)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(u(2) + u(16) + u(0) + u(0))
print("watches", flush=True)
p = select.poll()
p.register(s, select.POLLRDHUP)
if not p.poll(120000): sys.exit("still connected")
n = 0
try:
    while s.recv(4096): n += 1
except ConnectionResetError:
    pass
print("closed after", n)
X
as 1001 1001 python3 "$TMP/deaf.py" "$CAIRN_INIT_SOCKET" >"$TMP/deaf" 2>&1 &
deaf=$!
retry grep -q watches "$TMP/deaf"
ctl start --no-wait flaps
wait $deaf
result "who does not read loses the connection" $? "$TMP/deaf"
check "and nobody else" kill -0 $watch
ctl stop flaps
check "PID 1 goes on" retry is_state flaps down

# ---- who may ---------------------------------------------------------------------------------------------------------------------
other() { CAIRN_INIT_SOCKET=/run/cairn/init.sock chroot "$R" setpriv --reuid 1001 --regid 1001 --clear-groups /cairn-client service "$@"; }
reads() { other list && other status slow && other tree && other graph && other timeline && other blame; } >/dev/null
check "everybody reads" reads
# Secrets: of a service that was added, and of a set that is not for everybody.
svc run --name secret -p environment=PASSWORD=swordfish -- /bin/sleep 1009 >/dev/null
check "root sees the definition of one that was added" sh -c '"$CAIRN" service graph | grep -q "\"secret\""'
cat >"$TMP/set.py" <<'X'
import os, socket, struct, sys
def u(n): return struct.pack("<Q", n)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(u(2) + u(15) + u(0) + u(0))
m, fds, _, _ = socket.recv_fds(s, 4096, 4)
text = os.pread(fds[0], 1 << 20, 4096) if fds else b""
print(len(fds), b"swordfish" in text, b"/set" in m)
X
chmod 0755 "$TMP"
is "PID 1 gives it to root" "$(python3 "$TMP/set.py" "$CAIRN_INIT_SOCKET")" "1 True True"
is "others get the path of the set, and nothing of it" "$(as 1001 1001 python3 "$TMP/set.py" "$CAIRN_INIT_SOCKET")" "0 False True"
other status secret >"$TMP/out" 2>&1
check "they see that it is there" grep -q 'state  *up' "$TMP/out"
for verb in 'status secret' 'status --json secret' 'graph' 'graph --json' 'tree' 'list --json'; do other $verb; done >"$TMP/out" 2>&1
check "but not what it is given" sh -c '[ -s "$0" ] && ! grep -q swordfish "$0"' "$TMP/out"
chmod 0600 "$R/set"
check "a set that is root's alone is not read by others" sh -c '! "$@" 2>"$0"' "$TMP/err" chroot "$R" setpriv --reuid 1001 --regid 1001 --clear-groups env CAIRN_INIT_SOCKET=/run/cairn/init.sock /cairn-client service tree
check "and they are told so" grep -q 'cannot open /set: Permission denied' "$TMP/err"
shows() { other status slow >/dev/null; }
check "status shows the rest" shows
chmod 0644 "$R/set"
ctl stop secret
is "not everybody stops" "$(status_of as 1001 1001 "$CAIRN" service stop slow)" 1
check "who may is told" grep -q 'only root or user:alice or group:wheel may do that to slow' "$TMP/err"
check "and it is noted" retry grep -q 'control: refused op=stop name=slow uid=1001 pid=[0-9]' "$TMP/console"
is "a user that is named" "$(status_of as 1000 1000 "$CAIRN" service restart slow)" 0
is "a group that is named" "$(status_of as 1001 500 "$CAIRN" service restart slow)" 0
is "but no other service" "$(status_of as 1000 1000 "$CAIRN" service stop base)" 1
for verb in 'disable slow' 'mask slow' 'run /bin/true' 're-exec' "load $R/set" 'start slow@x'; do
	as 1000 500 "$CAIRN" service $verb >"$TMP/out" 2>&1
	check "nor: $verb" grep -q 'only root may do that' "$TMP/out"
done
is "nor poweroff" "$(status_of as 1000 500 "$CAIRN" poweroff)" 1
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do as 1001 1001 "$CAIRN" service stop base 2>/dev/null; done
check "many refusals make few messages" [ "$(grep -c 'control: refused op=stop name=base' "$TMP/console")" -lt 11 ]
# One user fills its share, and root is served.
cat >"$TMP/crowd.py" <<'X'
import socket, struct, sys
def u(n): return struct.pack("<Q", n)
all = []
for i in range(60):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    try:
        s.send(u(2) + u(16) + u(0) + u(0))
    except OSError:
        pass
    all.append(s)
print("crowd", flush=True)
sys.stdin.read()
X
mkfifo "$TMP/stay"
as 1001 1001 python3 "$TMP/crowd.py" "$CAIRN_INIT_SOCKET" <"$TMP/stay" >"$TMP/crowd" 2>&1 &
crowd=$!
exec 9>"$TMP/stay"
retry grep -q crowd "$TMP/crowd"
check "another user has room beside a crowd of watchers" as 1000 1000 "$CAIRN" service list
check "and root's own are still there" kill -0 $watch $watch_off
exec 9>&-
wait $crowd

# ---- definitions, removal, the end -----------------------------------------------------------------------------------------------
case $TMP in
/var/*) ok "generations # SKIP scratch directory below /var" ;;
*)
	mkdir -p "$TMP/var/guix/profiles/system-1-link/services" "$TMP/var/guix/profiles/system-2-link/services"
	cp "$TMP/set1" "$TMP/var/guix/profiles/system-1-link/services/set"
	mount --bind "$TMP/var" /var
	check "the generation that a service is of" sh -c '"$CAIRN" service status stays | grep -q "definition *of generation 1$"'
	set_of "nice = 3" | sed '/^.service off/,/^$/d' >"$TMP/set2"
	cp "$TMP/set2" "$TMP/var/guix/profiles/system-2-link/services/set"
	;;
esac
"$CAIRN" service wait off >"$TMP/wait-off.out" 2>&1 &
wait_off=$!
waits() { [ "$(ls "/proc/$wait_off/fd" | wc -l)" -ge 4 ]; }
retry waits
set_of "nice = 3" | sed '/^.service off/,/^$/d' >"$R/set2"
svc load /set2 >"$TMP/out" 2>&1
result "a load" $? "$TMP/out"
wait $wait_off
is "who waits for one that is removed is told" $? 66
check "and who watches" retry grep -q 'off: down -> removed' "$TMP/events-off"
case $TMP in
/var/*) ;;
*) check "and the one that runs the definition of before" sh -c '"$CAIRN" service status stays | grep -q "definition *older, of generation 1; .* of generation 2$"' ;;
esac
"$CAIRN" service wait --until up flaps >"$TMP/wait-flaps.out" 2>&1 &
wait_flaps=$!
waits() { [ "$(ls "/proc/$wait_flaps/fd" | wc -l)" -ge 4 ]; }
retry waits
"$CAIRN" poweroff
is "nothing is started any more" "$(status_of "$CAIRN" service start flaps)" 1
check "for that reason" grep -q 'the machine is shutting down' "$TMP/err"
"$CAIRN" reboot # changes only what comes at the end
touch "$R/test/let-go"
wait $INIT
is "a second request changes the kind" $? 129
check "and begins nothing anew" [ "$(grep -c 'shutdown: begins' "$TMP/console")" = 1 ]
wait $wait_flaps
check "who waits is told of the end" [ $? != 0 ]
wait $watch
is "who watches ends with the machine" $? 0
check "which it was told of" grep -q '"state":"shutdown","reason":"poweroff"' "$TMP/events"
finish
