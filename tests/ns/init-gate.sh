#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A boot on trial: the health gate opens, fails or is late; what cannot go on reboots and asks nobody; the
# hardware watchdog. A shutdown unmounts everything it sees, so each case has a mount namespace of its own.
. "$SRC/tests/ns/init.inc"
if [ $# = 0 ]; then
	: >"$TMP/console"
	for case in opens fails falls late argument untried critical unreadable watchdog off; do
		unshare -m --propagation private sh "$0" $case >"$TMP/case" 2>&1
		status=$?
		[ $status != 77 ] || { tail -n 1 "$TMP/case"; exit 77; }
		sed 's/^/# /' "$TMP/case"
		check "$case" [ $status = 0 ]
	done
	finish
fi
make_root
echo 'quiet cairn.trial=1' >"$R/cmdline"

# reboot(2) in a pid namespace kills PID 1: HUP is a reboot, INT a power off.
ends() {
	wait $INIT
	[ $? = "$1" ]
}
said() { grep -q "$1" "$TMP/console"; }

# gated COMMAND: the gate waits for a service that runs it
gated() {
	cat <<X
[init]
gate = good
gate-timeout = ${TIME:-1min}
rescue = /bin/sh -c "echo >/test/rescued; sleep 1000"

[service good]
type = oneshot
exec = /bin/true
requires = app

[service app]
type = oneshot
exec = /bin/sh -c "$1"
start-timeout = 1h

[service other]
exec = /bin/sh -c "trap 'echo down >/test/other; exit' TERM; echo >/test/ready; while :; do sleep 0.05; done"
X
}

case $1 in
opens)
	gated 'while [ ! -e /test/go ]; do sleep 0.05; done' >"$R/test/in"
	boot <"$R/test/in"
	check "it is a trial" said 'trial=yes'
	check "the machine waits for its gate" is_state good waiting
	touch "$R/test/go"
	check "which opens" retry said 'trial: passed'
	ctl stop app
	check "what happens later is no reason to go back" is_state other up
	"$CAIRN" poweroff
	check "power off" ends 130
	;;
fails)
	gated 'while [ ! -e /test/ready ]; do sleep 0.05; done; exit 3' >"$R/test/in"
	start <"$R/test/in"
	check "a gate that fails reboots" ends 129
	check "it says why" said 'trial: the health gate failed.*good failed'
	check "in order: services were told" [ "$(cat "$R/test/other")" = down ]
	;;
falls)
	# The gate holds for a while, in which what it needs must stay up.
	gated 'while [ ! -e /test/go ]; do sleep 0.05; done; exit 3' |
		sed '/^.service good/,/^$/s/^exec = .*/exec = \/bin\/sleep 1000/; /^.service app/,/^$/s/^type = .*/restart-limit = 1/' >"$R/test/in"
	boot <"$R/test/in"
	check "the gate holds" retry is_state good starting
	touch "$R/test/go"
	check "what it needs goes down meanwhile: the machine reboots" ends 129
	check "it says why" said 'trial: the health gate failed.*good'
	;;
late)
	TIME=2s
	gated 'sleep 1000' >"$R/test/in"
	start <"$R/test/in"
	check "a gate that is late reboots" ends 129
	check "it says so" said 'good is not up in time'
	;;
argument)
	echo quiet >"$R/cmdline"
	ARGUMENT=cairn.trial=0
	gated 'exit 3' >"$R/test/in"
	start <"$R/test/in"
	check "a trial that stage 1 tells of is one" ends 129
	;;
untried)
	echo quiet >"$R/cmdline"
	gated 'exit 3' >"$R/test/in"
	boot <"$R/test/in"
	check "without a trial the gate is a service like others" retry is_state good failed
	check "and the machine stays" is_state other up
	"$CAIRN" poweroff
	check "power off" ends 130
	;;
critical)
	gated 'sleep 1000' | sed 's/^start-timeout = 1h/critical = yes/; s/sleep 1000"$/exit 1"/' >"$R/test/in"
	grep -q '^critical' "$R/test/in" || exit 1
	start <"$R/test/in"
	check "a critical service that fails reboots" ends 129
	check "no rescue program was started" [ ! -e "$R/test/rescued" ]
	;;
unreadable)
	echo '[service x' >"$R/test/in"
	start <"$R/test/in"
	check "a set that cannot be read reboots" ends 129
	check "no rescue program was started" sh -c '! grep -q "rescue: starting" "$0"' "$TMP/console"
	;;
watchdog | off)
	rm "$R/cmdline"
	# A watchdog that hears: a pipe. What it hears stands in the file.
	mkfifo "$R/dev/watchdog0"
	listen() { # who opens the pipe to write finds a reader, even before this one runs
		exec 8<>"$R/dev/watchdog0"
		cat "$R/dev/watchdog0" >"$TMP/heard" 8<&- &
		listener=$!
	}
	all_heard() { wait $listener; } # it ends when nobody writes any more
	listen
	printf '[init]\nwatchdog = 300ms\n[service a]\nexec = /bin/sleep 1000\n' >"$R/test/in"
	boot <"$R/test/in" 8<&-
	heard() { [ "$(stat -c %s "$TMP/heard")" -ge "$1" ]; }
	check "it hears from PID 1" retry heard 5
	exec 8<&-
	check "nothing else but that" [ "$(tr -d '\0' <"$TMP/heard" | wc -c)" = 0 ]
	if [ "$1" = off ]; then
		"$CAIRN" poweroff
		check "power off" ends 130
		all_heard
		check "it is told to stop at the end" [ "$(tail -c 1 "$TMP/heard")" = V ]
	else
		printf '[service a]\nexec = /bin/sleep 1000\n' >"$R/set2"
		cp "$CAIRN" "$R/cairn-client"
		load() { # in the machine, whose paths PID 1 reads
			CAIRN_INIT_SOCKET=/run/cairn/init.sock nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" \
				/cairn-client service load "$1" >/dev/null
		}
		load /set2
		all_heard
		check "a set without one stops it" [ "$(tail -c 1 "$TMP/heard")" = V ]
		listen
		load /test/in
		check "and on again" retry heard 5
		exec 8<&-
		"$CAIRN" reboot
		check "reboot" ends 129
		all_heard
		check "it watches over the reset" [ "$(tail -c 1 "$TMP/heard" | tr -d '\0' | wc -c)" = 0 ]
	fi
	;;
esac
[ $failed = 0 ] || { sed 's/^/# console: /' "$TMP/console"; exit 1; }
