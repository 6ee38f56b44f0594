#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Nothing escapes and nothing holds up the end: processes that left their service where there are no control groups, and
# a shutdown with a service that does not stop, a process that does not listen, mounts that are in use.
. "$SRC/tests/ns/init.inc"
make_root
mkdir "$R/mnt"
boot <<'S'
[init]
shutdown-timeout = 1s

[service hider]
exec = /bin/sh -c "setsid sh -c 'setsid sleep 4811 & exec sleep 4812' & exec sleep 4813"

[service crasher]
exec = /bin/sh -c "echo run >>/test/crasher; (setsid sh -c 'setsid sleep 4821 & exec sleep 4822' &); until [ -e /test/crash ]; do sleep 0.05; done; pgrep -c -f '^sleep 482' >>/test/seen; exit 1"
restart-limit = 1
restart-delay = 10ms

[service other]
exec = /bin/sh -c "setsid sleep 4831 & exec sleep 4832"

[service drains]
exec = /bin/sh -c "setsid sh -c \"trap '' TERM; echo >/test/deaf; while :; do sleep 1; done\" & exec sleep 4841"
stop-scope = main

[service identity]
type = oneshot
exec = /bin/sh -c "echo 0123456789abcdef0123456789abcdef >/etc/machine-id"

[service first]
type = oneshot
exec = /bin/touch /test/first
requires = identity
condition = first-boot:yes

[service hangs]
exec = /bin/sh -c "trap '' TERM; while :; do sleep 1; done"
stop-timeout = 1h
S
running() { cat "$R"/proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "sleep $1"; }
gone() { ! running "$1"; }
all_hidden() { running 4811 && running 4812 && running 4813; }
check "hidden processes run" retry all_hidden
check "their service is stopped" ctl stop hider
check "SUP-09 none of them is left, without control groups" gone 481
retry running 4831
retry running 4821
check "a first boot is one until its end, whoever makes the identity" retry [ -e "$R/test/first" ]
touch "$R/test/crash"
check "a crash loop ends" retry is_state crasher failed
check "SUP-09 a crash leaves nobody either" gone 482
check "it ran twice" [ "$(wc -l <"$R/test/crasher")" = 2 ]
check "each run met its own processes only" awk '$1 > 2 { bad = 1 } END { exit bad || NR != 2 }' "$R/test/seen"
check "SUP-09 the processes of others are left alone" running 4831
check "what may drain drains" sh -c 'until [ -e "$0/test/deaf" ]; do sleep 0.02; done' "$R"
ctl stop drains

# A file system that somebody is in, and one below it.
mount -t tmpfs tmpfs "$R/mnt"
mkdir "$R/mnt/below" "$R/mnt/used"
mount -t tmpfs tmpfs "$R/mnt/below"
mount -t tmpfs tmpfs "$R/mnt/used"
exec 9>"$R/mnt/used/file"
# One whose server never answers, and that somebody holds.
mkdir "$R/dead"
cat >"$TMP/dead.py" <<'X'
import ctypes, os, sys, time
server = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
if ctypes.CDLL(None).mount(b"dead", sys.argv[1].encode(), b"fuse", 6, options.encode()):
    sys.exit("no mount")
holds = os.open(sys.argv[1], os.O_PATH)
print("mounted", flush=True)
sys.stdin.read()
X
mkfifo "$TMP/hold"
python3 "$TMP/dead.py" "$R/dead" <"$TMP/hold" >"$TMP/dead.out" 2>&1 &
dead=$!
exec 8>"$TMP/hold"
served() { grep -q mounted "$TMP/dead.out" || ! kill -0 $dead 2>/dev/null; }
retry served
check "no kernel to start" sh -c '! "$CAIRN" reboot --kexec 2>"$0"' "$TMP/kexec"
check "is told with what to do" grep -q 'no kernel is loaded .*cairn system kexec' "$TMP/kexec"
begin=$(date +%s)
"$CAIRN" poweroff
wait $INIT
took=$(($(date +%s) - begin))
exec 9>&-
check "SUP-08 the end comes" [ $took -lt 60 ]
log=$R/var/log/cairn/init.log
said() { grep -q "$1" "$TMP/console"; }
check "SUP-08 the service that holds it up is named" said 'out of time name=hangs'
check "in the log, too" grep -q 'out of time name=hangs' "$log"
check "SUP-08 the process that does not listen is named" said 'shutdown: does not end pid=[0-9]* program=sh name=drains'
check "in the log, too" grep -q 'shutdown: does not end pid=[0-9]* program=sh name=drains' "$log"
check "SUP-08 a file system in use is named" said 'unmount: put aside path=/mnt/used'
check "and gone" sh -c '! grep -q "/root/mnt/used " /proc/self/mountinfo'
check "the one below as well" sh -c '! grep -q "/root/mnt/below " /proc/self/mountinfo'
check "in reverse order: nothing else was in use below /mnt" [ "$(grep -c 'put aside path=/mnt' "$TMP/console")" = 2 ]
if grep -q mounted "$TMP/dead.out"; then
	check "SUP-08 a file system whose server is dead is put aside, unasked" said 'unmount: in use, put aside path=/dead'
	check "SUP-08 nobody waits for that server" sh -c '! grep -q "mount: hangs\|sync: hangs" "$0"' "$TMP/console"
	check "SUP-08 it is gone" sh -c '! grep -q "/root/dead " /proc/self/mountinfo'
else
	echo "# no FUSE here: a file system whose server is dead is not tried: $(cat "$TMP/dead.out")"
fi
exec 8>&-
wait $dead
finish
