#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a service's process is shut into and given: one service for each key, which writes down what it
# finds; and what each failing step says.
INIT_TEST_USERS=1
. "$SRC/tests/ns/init.inc"
[ "$(wc -l </proc/self/uid_map)$(awk '{ print $3 }' /proc/self/uid_map)" = 165536 ] || { echo "skip: needs root, for other users"; exit 77; }
make_root
printf 'dd:x:77:78:dd:/tmp:/bin/sh\n' >>"$R/etc/passwd"
mkdir -p "$R/var/tmp" "$R/sys/x" "$R/data/deep" "$R/cage/bin" "$R/cage/proc" "$R/cage/out" "$R/mnt/to" "$R/mnt/calls" "$R/dev/pts" "$R/test/out" "$R/test/run"
for d in full random urandom tty; do
	: >"$R/dev/$d" && mount --bind "/dev/$d" "$R/dev/$d"
done
chmod 1777 "$R/tmp" "$R/var/tmp"
chmod 0777 "$R/test/out"
touch "$R/tmp/host" "$R/data/deep/file" "$R/data/secret" "$R/sys/x/setting"
echo inside >"$R/data/deep/file"
echo secret >"$R/data/secret"
busybox=$(command -v busybox)
cp "$busybox" "$R/cage/bin/busybox"
printf '# a comment\nA=1\n  B=two words\nC="quoted"\nSERVICE=given\nLISTEN_FDS=99\n\n' >"$R/test/env"
printf 'B=last\n' >"$R/test/env2"
printf 'B last\n' >"$R/test/env-bad"
head -c 20000 /dev/zero | tr '\0' x >"$R/test/env-big"

# Filters by hand: all is let through; uname (63 on this machine, else 160) is refused with EPERM.
python3 - "$R/test" <<'X'
import platform, struct, sys
uname = 63 if platform.machine() == "x86_64" else 160
ins = lambda code, jt, jf, k: struct.pack("=HBBI", code, jt, jf, k)
open(sys.argv[1] + "/uname.bpf", "wb").write(
    ins(0x20, 0, 0, 0) + ins(0x15, 0, 1, uname) + ins(0x06, 0, 0, 0x50001) + ins(0x06, 0, 0, 0x7FFF0000))
open(sys.argv[1] + "/cut.bpf", "wb").write(b"1234567")
open(sys.argv[1] + "/wrong.bpf", "wb").write(ins(0x20, 0, 0, 0))
X

profile=service out=$R/test/service.bpf "$CAIRN" builder seccomp && profile=service-packet out=$R/test/packet.bpf "$CAIRN" builder seccomp ||
	exit 1
cat >"$R/test/calls.py" <<'X'
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    getattr(libc, name)(*args)
    print(name, os.strerror(ctypes.get_errno()))
def family(name):
    try:
        socket.socket(getattr(socket, name), socket.SOCK_DGRAM).close()
        print(name, "works")
    except OSError as e:
        print(name, e.strerror)
call("mount", b"x", b"/mnt/calls", b"tmpfs", 0, None)
call("unshare", 0x20000)
call("ptrace", 0, 0, 0, 0)
call("swapoff", b"/not/there")
for f in "AF_UNIX", "AF_INET", "AF_NETLINK", "AF_PACKET", "AF_VSOCK":
    family(f)
X

# service NAME "SCRIPT" KEY…: a oneshot that writes to /test/out/NAME.
service() {
	printf '[service %s]\ntype = oneshot\noutput = null\n' "$1"
	printf '{ %s ; } >/test/out/%s 2>&1\n' "$2" "$1" >"$R/test/run/$1"
	printf 'exec = /bin/sh /test/run/%s\n' "$1"
	shift 2
	printf '%s\n' "$@" ''
}
{
	service plain 'cat /proc/self/status; readlink /proc/self/ns/mnt; ls /tmp'
	service variables env 'environment = B=first KEPT=yes' 'environment-file = /test/env -/test/none' 'environment-file = /test/env2'
	service disk 'ionice -p $$' 'ioprio = best-effort 6'
	service idle 'ionice -p $$' 'ioprio = idle'
	service cpu 'taskset -p $$; grep Cpus_allowed_list /proc/self/status' 'cpu-affinity = 0'
	service bounded 'cat /proc/self/status; chown 77 /test/out/bounded && echo chowned; chroot / true || echo refused' \
		'capabilities = chown cap_net_raw'
	service ambient 'cat /proc/self/status; chown 0 /test/out/ambient || echo refused' 'user = dd' \
		'ambient-capabilities = chown' 'capabilities = chown kill'
	service inheritable 'cat /proc/self/status' 'user = dd' 'inheritable-capabilities = kill'
	service filter 'uname || echo refused; cat /proc/self/status' 'seccomp = /test/uname.bpf'
	service calls 'python3 /test/calls.py' 'seccomp = /test/service.bpf'
	service packet 'python3 /test/calls.py' 'seccomp = /test/packet.bpf'
	service open-calls 'python3 /test/calls.py'
	service tmp 'ls /tmp /var/tmp; touch /tmp/mine; echo ok; stat -c %a /tmp' 'private-tmp = yes'
	service dev 'ls /dev; echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls /dev/fd/ >/dev/null && echo fds; ls /dev/pts' 'private-dev = yes'
	service network 'cat /proc/net/dev; ls /proc/net' 'private-network = yes'
	service numbers 'echo $$; ls /proc | grep -c "^[0-9]"; cat /proc/1/comm' 'private-pids = yes'
	service read-only 'touch /data/x || echo refused; touch /data/deep/x && echo deep; touch /mnt/x && echo elsewhere' \
		'read-only-paths = /data -/not/there' 'read-write-paths = /data/deep'
	service hidden 'ls /data/deep; cat /data/secret; echo end' 'inaccessible-paths = /data/deep /data/secret'
	service bound 'cat /mnt/to/file; touch /mnt/to/y && echo written' 'bind-paths = /data/deep:/mnt/to'
	service bound-ro 'cat /mnt/to/file; touch /mnt/to/y || echo refused' 'bind-read-only-paths = /data/deep:/mnt/to'
	service kernel 'touch /sys/x/setting || echo sys; echo 1 >/proc/sys/kernel/sysrq || echo sysctl; cat /proc/kcore | wc -c' \
		'protect-kernel = yes'
	service privileges 'grep NoNewPrivs /proc/self/status' 'no-new-privileges = yes'
	service profile 'cat /proc/self/status; ls /tmp; touch /sys/x/setting || echo sys' 'sandbox = default'
	service profile-less 'cat /proc/self/status; ls /tmp' 'sandbox = default' 'private-tmp = no' 'capabilities = all' \
		'no-new-privileges = no'
	cat <<'X'
[service cage]
exec = /bin/busybox sh -c "while ! /bin/busybox test -e /out/stop; do /bin/busybox sleep 1; done"
root-directory = /cage
private-pids = yes
bind-paths = /test/out:/out
reload-exec = /bin/busybox sh -c "/bin/busybox ls / >/out/cage; /bin/busybox ps >/out/cage-ps"

[service alone]
exec = /bin/sh -c "setsid sleep 4801 & sleep 4802"
private-pids = yes
cgroup = no
restart = never

[service leaver]
exec = /bin/sh -c "(setsid sleep 0 &) ; sleep 0.2; echo /proc/[0-9]*; setsid sleep 4811 & exec sleep 0.1"
private-pids = yes
cgroup = no
restart = never
enabled = no
X
	bad() {
		printf '[service bad-%s]\nexec = /bin/true\nenabled = no\nrestart = never\n%s\n\n' "$1" "$2"
	}
	bad env 'environment-file = /test/none'
	bad env-line 'environment-file = /test/env-bad'
	bad env-big 'environment-file = /test/env-big'
	bad env-pipe 'environment-file = /dev/null'
	bad root 'root-directory = /not/there'
	bad ro 'read-only-paths = /not/there'
	bad bind 'bind-paths = /data:/not/there'
	bad hidden 'inaccessible-paths = /not/there'
	bad cut 'seccomp = /test/cut.bpf'
	bad wrong 'seccomp = /test/wrong.bpf'
	bad cwd 'working-directory = /not/there'
	bad exec 'root-directory = /cage'
	bad cpu 'cpu-affinity = 1023'
} >"$TMP/set"
boot <"$TMP/set"

out=$R/test/out
has() { retry is_state "$1" up && grep -q "$2" "$out/$1"; }
hasnt() { retry is_state "$1" up && ! grep -q "$2" "$out/$1"; }
status() { sed -n "s/^$2:[[:space:]]*//p" "$out/$1"; }
says() { "$CAIRN" service start "bad-$1" 2>&1 | grep -qF "$2"; }

check "nothing asked for, nothing done" has plain '^host$'
mine=$(readlink "/proc/$(pgrep -P "$INIT")/ns/mnt")
check "no namespace is made" grep -qxF "$mine" "$out/plain"
check "variables of a file" has variables '^A=1$'
check "files replace what was given, later ones earlier ones" has variables '^B=last$'
check "what they do not name stays" has variables '^KEPT=yes$'
check "quotes fall off" has variables '^C=quoted$'
check "descriptors are not theirs to tell" hasnt variables 'LISTEN_FDS'
check "priority at the disk" has disk 'best-effort: prio 6'
check "the idle class" has idle '^idle$'
check "processors" has cpu 'Cpus_allowed_list:.0$'

check "bounding set" retry is_state bounded up
is "bounding set: what is left" "$(status bounded CapBnd)" 0000000000002001
is "and in effect for root" "$(status bounded CapEff)" 0000000000002001
check "what is left works" has bounded chowned
check "what is not is refused" has bounded refused
check "ambient set" retry is_state ambient up
is "ambient: kept by a user" "$(status ambient CapEff)" 0000000000000001
is "ambient: and no more" "$(status ambient CapBnd)" 0000000000000021
is "ambient: it is the user" "$(status ambient Uid)" "$(printf '77\t77\t77\t77')"
check "inheritable set" retry is_state inheritable up
is "inheritable: in the mask" "$(status inheritable CapInh)" 0000000000000020
is "inheritable: not in effect" "$(status inheritable CapEff)" 0000000000000000

check "a filter refuses its call" has filter '^refused$'
check "and nothing is gained any more" has filter 'NoNewPrivs:.1'
is "the filter of services" "$(retry is_state calls up; tr '\n' ' ' <"$out/calls")" "mount Operation not permitted \
unshare Operation not permitted ptrace Operation not permitted swapoff Operation not permitted AF_UNIX works AF_INET works AF_NETLINK works \
AF_PACKET Address family not supported by protocol AF_VSOCK Address family not supported by protocol "
check "with raw sockets" has packet '^AF_PACKET [^A]'
check "but nothing else" has packet '^AF_VSOCK Address family not'
check "without a filter they are let through" has open-calls '^unshare Success$'
check "its own /tmp: empty" hasnt tmp '^host$'
check "its own /tmp: usable" has tmp '^ok$'
check "its own /tmp: for all" has tmp '^1777$'
check "nobody else sees what is there" [ ! -e "$R/tmp/mine" ]
check "its own /dev" retry is_state dev up
is "its own /dev: what is there" "$(sed -n '1,/^zero/p' "$out/dev" | tr '\n' ' ')" \
	"fd full log null ptmx pts random shm stderr stdin stdout tty urandom zero "
check "its own /dev: devices work" has dev '^3$'
check "its own /dev: links work" has dev '^fds$'
check "a network of its own" has network 'lo:'
is "with nothing else in it" "$(grep -c : "$out/network")" 1
check "process numbers of its own" has numbers '^2$'
check "nobody else is seen" hasnt numbers '^[0-9][0-9]$'
check "its first process is the reaper" has numbers '^cairn-init$'
check "read-only paths" has read-only '^refused$'
check "but those excepted" has read-only '^deep$'
check "and all others" has read-only '^elsewhere$'
check "inaccessible: a directory is empty" hasnt hidden '^file$'
check "inaccessible: a file is empty" hasnt hidden '^secret$'
check "it went on" has hidden '^end$'
check "a path at another place" has bound '^inside$'
check "written there" has bound '^written$'
check "and read-only" has bound-ro '^refused$'
check "nobody else sees it there" [ ! -e "$R/mnt/to/file" ]
check "settings of the kernel: /sys" has kernel '^sys$'
check "settings of the kernel: /proc/sys" has kernel '^sysctl$'
check "its memory" has kernel '^0$'
check "no new privileges" has privileges '1$'

check "the profile: nothing is gained" has profile 'NoNewPrivs:.1'
check "the profile: its own /tmp" hasnt profile '^host$'
check "the profile: kernel" has profile '^sys$'
is "the profile: capabilities" "$(status profile CapBnd)" 00000000b004adfb
check "status shows it" sh -c '"$CAIRN" service status profile | grep -qx "  sandbox *  default: no-new-privileges private-tmp protect-kernel capabilities"'
check "each may be left out" has profile-less '^host$'
is "left out: capabilities" "$(status profile-less CapBnd)" "$(status plain CapBnd)"
check "left out: no new privileges" has profile-less 'NoNewPrivs:.0'
check "status shows what is left out" sh -c '"$CAIRN" service status profile-less | grep -qx "  sandbox *  default: protect-kernel; without no-new-privileges private-tmp capabilities"'
check "status shows that there is none" sh -c '"$CAIRN" service status plain | grep -qx "  sandbox *  none"'
check "and what was asked for alone" sh -c '"$CAIRN" service status numbers --json | grep -q "\"sandbox\":\"own: private-pids\""'

check "a root of its own" ctl reload cage
caged() { [ "$(tr '\n' ' ' <"$out/cage")" = "bin out proc " ]; }
check "a command of the service enters it" retry caged
numbered() { grep -q '^ *2 .*while' "$out/cage-ps" && ! grep -q 4801 "$out/cage-ps"; }
check "and its process numbers" retry numbered
ctl stop cage
check "it is stopped by its signal" sh -c '! grep -q "killing name=cage" "$0"' "$TMP/console"
running() { cat "$R"/proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "sleep $1 "; }
gone() { ! running "$1"; }
check "who hides runs" retry running 4801
ctl stop alone
check "and ends with its service, without groups" retry gone 4801
check "the signal reached it" sh -c '! grep -q "killing name=alone" "$0"' "$TMP/console"
ctl start leaver
check "who is left when it ends by itself" retry is_state leaver done
check "ends, too" retry gone 4811
zombies() { cat "$R"/proc/[0-9]*/stat 2>/dev/null | awk '$3 == "Z"' | wc -l; }
no_zombies() { [ "$(zombies)" = 0 ]; }
check "no zombie is left" retry no_zombies
reapers() { cat "$R"/proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -o -- 'cairn-init --reaper' | wc -l; }
no_reaper() { [ "$(reapers)" = 0 ]; }
check "nor a reaper without its service" retry no_reaper

check "missing file of variables" says env 'set-up: environment-file /test/none: No such file or directory'
check "a line that is none" says env-line 'set-up: environment-file /test/env-bad: Invalid argument'
check "too much of it" says env-big 'set-up: environment-file /test/env-big: File too large'
check "no file" says env-pipe 'set-up: environment-file /dev/null: Invalid argument'
check "missing root" says root 'set-up: root-directory /not/there: No such file or directory'
check "missing read-only path" says ro 'set-up: read-only-paths /not/there: No such file or directory'
check "missing place to bind" says bind 'set-up: bind-paths /not/there: No such file or directory'
check "missing inaccessible path" says hidden 'set-up: inaccessible-paths /not/there: No such file or directory'
check "a filter of the wrong length" says cut 'set-up: seccomp /test/cut.bpf: Invalid argument'
check "a filter that the kernel refuses" says wrong 'set-up: seccomp /test/wrong.bpf: Invalid argument'
check "missing directory" says cwd 'set-up: working-directory /not/there: No such file or directory'
check "a program that the root does not have" says exec 'exec /bin/true: No such file or directory'
check "processors that the machine does not have" says cpu 'set-up: cpu-affinity: Invalid argument'
"$CAIRN" poweroff
wait $INIT
finish
