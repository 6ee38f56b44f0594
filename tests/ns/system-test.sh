#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 600
# cairn system reconfigure --test container: a system whose services come up there becomes the current one; one in which a
# service fails, or is not up in time, changes nothing; whatever ends the command, nothing is left.
set -u
. "$SRC/tests/tap.inc"
[ "$(id -u)" = 0 ] || { echo "skip: only root may give a container its users"; exit 77; }
unshare -U true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
command -v musl-gcc >/dev/null || { echo "skip: no musl-gcc (Debian: musl-tools)"; exit 77; }
unset CAIRN_INIT_SOCKET
. "$SRC/tests/cmd/world.inc"
real_init
umask 022
run() { "$CAIRN" system "$@" >"$TMP/out" 2>"$TMP/err"; }
change="--root $R --modules $W --target-root $R"
says() { grep -qE -- "$1" "$TMP/err"; }
ends() { # STATUS COMMAND...
	want=$1
	shift
	run "$@"
	got=$?
	[ $got = "$want" ] || echo "# status $got"
	[ $got = "$want" ]
}
# config NAME < SERVICES
config() {
	python3 - "$SRC/examples/minimal.lua" "$TMP/$1.lua" "$(cat)" <<'P'
import sys
text = open(sys.argv[1]).read()
for old, new in (("services.base {}", "services.base { " + sys.argv[3] + " }"),
                 ("host_name = ", 'secrets = { { name = "key" } },\n\thost_name = '),
                 ("file_systems = {", 'file_systems = {\n\t\t{ device = "LABEL=nowhere", mount_point = "/data", type = "ext4" },')):
    assert text.count(old) == 1, old
    text = text.replace(old, new)
open(sys.argv[2], "w").write('local bb = require "packages.busybox" .. "/bin/busybox"\n' + text)
P
}
# A service of a user of its own; a secret; /data is not mounted there.
config good <<'X'
services.simple { name = "web", user = "web", users = { { name = "web", system = true } }, directories = { "/srv/web" },
	exec = { bb, "sh", "-c", bb .. " touch /srv/web/x && exec " .. bb .. " sleep 1000" } },
services.simple { name = "secret", type = "oneshot", exec = { bb, "grep", "-qx", "open.*e", "/run/secrets/key" } },
services.simple { name = "place", type = "oneshot", exec = { bb, "test", "-d", "/data" } },
X
config ill <<'X'
services.simple { name = "broken", restart = "never", exec = { bb, "sh", "-c", "echo no flour; exit 3" } }
X
config slow <<'X'
services.simple { name = "slow", type = "oneshot", exec = { bb, "sleep", "1000" } }
X
# Says more than is read of a log. The log of the next leads out of the container, to a file of the machine.
config loud <<'X'
services.simple { name = "loud", restart = "never", log_size = "8M", log_rate = "0",
	exec = { bb, "sh", "-c", bb .. " yes no flour again | " .. bb .. " head -c 3000000; echo no salt; exit 3" } }
X
config leads <<'X'
services.simple { name = "leads", restart = "never",
	exec = { bb, "sh", "-c", bb .. " rm -f /var/log/cairn/leads.log; " .. bb .. " ln -s @OUT@ /var/log/cairn/leads.log; exit 3" }, sandbox = "none" }
X
echo 'of the machine' >"$TMP/outside"
sed -i "s|@OUT@|$TMP/outside|" "$TMP/leads.lua"
# Says more there than is to be kept of it.
config shouts <<'X'
services.simple { name = "shouts", type = "oneshot", sandbox = "none",
	exec = { bb, "sh", "-c", bb .. " yes no flour | " .. bb .. " head -c 100000000 >>/proc/1/fd/1; exec " .. bb .. " sleep 1000" } }
X
config dies <<'X'
services.simple { name = "dies", exec = { bb, "sh", "-c", "echo once more; exit 1" } }
X
mkdir -p "$R/etc/cairn/secrets"
(umask 077 && printf opensesame >"$R/etc/cairn/secrets/key")
sed 's/host_name = "cairn"/host_name = "first"/' "$SRC/examples/minimal.lua" >"$TMP/first.lua"

check "a first generation" run reconfigure $change "$TMP/first.lua"
state() { find "$R/var/guix/profiles" "$R/etc" "$R/boot" "$R/var/lib" ! -name system.lock ! -name system.tmp -printf '%p %l %T@\n' | sort; }
mounts() { sed 's/^[0-9]* [0-9]* //' /proc/self/mountinfo | sort; }
before=$(state)
mounted=$(mounts)

check "--test of something else" ends 1 reconfigure --test=chroot $change "$TMP/good.lua"
check "is named" says 'neither container nor vm'
check "a time that is none" ends 1 reconfigure --test=container --test-timeout=soon $change "$TMP/good.lua"
check "a time without a test" ends 1 boot --test-timeout=5 $change "$TMP/good.lua"
check "a plan has no test" ends 1 reconfigure --dry-run --test=container $change "$TMP/good.lua"
check "nor has another machine" ends 1 reconfigure --target-host nowhere --test=container --modules "$W" "$TMP/good.lua"

check "a service that fails: its own status" ends 7 reconfigure --test=container $change "$TMP/ill.lua"
check "it is named, and why" says 'services failed in the container: broken: exit code 3'
check "with the last lines of its log" says '^  \| .*no flour'
check "nothing was switched, it says" says '\[nothing was switched\]'
is "nothing was" "$(state)" "$before"
check "a service that is not up in time" ends 7 reconfigure --test=container --test-timeout=8 $change "$TMP/slow.lua"
check "is named with what it does" says 'not up in the container in time: .*slow is starting'
check "one that ends again and again" ends 7 boot --test=container --test-timeout=12 $change "$TMP/dies.lua"
check "is not up" says 'dies is (backoff|failed)|failed in the container: dies'
is "nothing was switched" "$(state)" "$before"
is "no mounts are left" "$(mounts)" "$mounted"

check "the end of a long log" sh -c '"$@"; [ $? = 7 ]' sh "$CAIRN" system reconfigure --test=container $change "$TMP/loud.lua" 2>"$TMP/err"
check "is shown" says '^  \| .*no salt'
check "a log that leads elsewhere" ends 7 reconfigure --test=container $change "$TMP/leads.lua"
check "is one of the container" sh -c '! grep -q "of the machine" "$1"' sh "$TMP/err"

# Whatever ends the command.
inits() { pgrep -f '^/gnu/store/.*-system/init cairn.system=' | wc -l; }
for signal in INT KILL; do
	env --default-signal=INT "$CAIRN" system reconfigure --test=container $change "$TMP/slow.lua" >"$TMP/out" 2>"$TMP/err" &
	command=$!
	check "$signal: a container runs" retry sh -c '[ "$(pgrep -f "^/gnu/store/.*-system/init cairn.system=" | wc -l)" = 1 ]'
	kill -$signal $command
	wait $command
	none() { [ "$(inits)" = 0 ]; }
	check "$signal: it ends" retry none
	is "$signal: no mounts" "$(mounts)" "$mounted"
	is "$signal: nothing was switched" "$(state)" "$before"
	is "$signal: no directories of plans" "$(ls -d "${TMPDIR:-/tmp}"/cairn-plan-* 2>/dev/null | wc -l)" 0
done

# What is said there is in memory.
"$CAIRN" system reconfigure --test=container $change "$TMP/shouts.lua" >"$TMP/out" 2>"$TMP/err" &
command=$!
console() { # FORMAT: of the file that PID 1 there writes to
	for fd in /proc/$command/fd/*; do
		case $(readlink "$fd") in /memfd:console*) stat -L -c "$1" "$fd" ;; esac
	done
}
shouted() { [ "$(console %s)" -gt 100000000 ] 2>/dev/null; }
kept() { [ "$(console %b)" -lt 8192 ]; } # of 512 bytes
check "a container in which much is said" retry shouted
check "of which the end is kept" retry kept
kill $command
wait $command
check "it ends" retry none

# PID 1 that stops answers no more.
"$CAIRN" system reconfigure --test=container --test-timeout=20 $change "$TMP/slow.lua" >"$TMP/out" 2>"$TMP/err" &
command=$!
check "a container runs" retry sh -c '[ "$(pgrep -f "^/gnu/store/.*-system/init cairn.system=" | wc -l)" = 1 ]'
kill -STOP "$(pgrep -f '^/gnu/store/.*-system/init cairn.system=')"
{ sleep 60; kill -KILL $command; } >/dev/null 2>&1 &
late=$!
wait $command
is "PID 1 that is stopped is not waited for" $? 7
kill $late
check "that it does not answer is said" says 'PID 1 does not answer'
check "nothing of it is left" retry none
is "nothing was switched" "$(state)" "$before"

# The caller's umask is not the system's.
masked() { (umask 077 && run reconfigure --test=container $change "$TMP/good.lua"); }
check "a system whose services come up" masked
check "is told" says 'it came up well there'
is "and is the current one" "$(readlink "$R/var/guix/profiles/system")" system-2-link
is "nothing of it runs here" "$(inits)" 0
is "no mounts are left" "$(mounts)" "$mounted"
finish
