#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Timed services: interval, calendar, failures, by hand, and runs missed while the machine was off.
. "$SRC/tests/ns/init.inc"
make_root
mkdir -p "$R/var/lib/cairn/services"
# Stamps of earlier boots.
printf '1000000000\n' >"$R/var/lib/cairn/services/missed.stamp" # September 2001
printf 'garbage\n' >"$R/var/lib/cairn/services/odd.stamp"

timers() {
	cat <<'E'
[service often]
exec = /bin/sh -c "echo x >>/test/often"
every = 50ms
first-run = 0

[service second]
type = oneshot
exec = /bin/sh -c "echo x >>/test/second"
calendar = *:*:*

[service missed]
exec = /bin/sh -c "echo x >>/test/missed"
calendar = yearly
catch-up = yes

[service odd]
exec = /bin/sh -c "echo x >>/test/odd"
calendar = yearly
catch-up = yes

[service no-catch-up]
exec = /bin/sh -c "echo x >>/test/no-catch-up"
calendar = yearly

[service by-hand]
exec = /bin/sh -c "echo x >>/test/by-hand; test -e /test/good"
every = 1d

[service long]
exec = /bin/sleep 1000
every = 1d
first-run = 0
run-timeout = 200ms

[service unlucky]
exec = /does/not/exist
every = 1d
first-run = 0
E
}
timers >"$TMP/timers"; boot <"$TMP/timers"

runs() { [ -e "$R/test/$1" ] && [ "$(wc -l <"$R/test/$1")" "$2" "$3" ]; }
check "an interval comes again and again" retry runs often -ge 4
check "a calendar too" retry runs second -ge 2
check "a missed run is made up for" retry runs missed -eq 1
stamped() { [ "$(cat "$R/var/lib/cairn/services/$1.stamp")" -ge "$(($(date +%s) - 300))" ]; }
check "its time is kept for the next boot" retry stamped missed
check "a stamp that is none counts as never" retry stamped odd
check "all are up" [ "$(state missed) $(state by-hand) $(state no-catch-up)" = "up up up" ]
check "and say when they run next" sh -c '"$CAIRN" service status no-catch-up | grep -q "next run  *....-01-01 00:00:00"'
check "it is up, and tells" retry sh -c '"$CAIRN" service status long | grep -q "because *ran longer than its run-timeout"'
check "one that cannot be executed as well" retry sh -c '"$CAIRN" service status unlucky | grep -q "because *exec /does/not/exist: No such file"'
check "it waits for its next time" is_state unlucky up

ctl trigger by-hand; bad=$?
check "by hand, with its result" [ $bad != 0 ]
check "which says why" grep -q 'exit code 1' "$TMP/ctl.err"
touch "$R/test/good"
check "good this time" ctl trigger by-hand
check "it ran both times" runs by-hand -eq 2
next=$(field missed status)
check "PID 1 executes itself again" ctl re-exec
check "plans are kept" [ "$(field missed status)" = "$next" ]
rm "$R/test/often"
check "and carried out" retry runs often -ge 2
check "why the last run failed is still told" sh -c '"$CAIRN" service status long | grep -q "run-timeout"'
ctl stop often
times=$(wc -l <"$R/test/often")
check "a stopped one refuses" sh -c '! "$CAIRN" service trigger often 2>/dev/null'
check "and does not run" runs often -eq "$times"
kill -9 $INIT # the power goes
wait $INIT 2>/dev/null

# The next boot: nothing was missed since.
timers >"$TMP/timers"; boot <"$TMP/timers"
ctl trigger second
check "the machine is there again" is_state missed up
check "what ran is not made up for again" runs missed -eq 1
check "what is not to catch up never ran" [ ! -e "$R/test/no-catch-up" ]
check "nor did one that was new" [ ! -e "$R/test/odd" ]
"$CAIRN" poweroff
wait $INIT
finish
