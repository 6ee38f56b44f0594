#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# As many services as a set may have: more log pipes than the logger's socket takes at once; what clients ask, in a time and with a
# memory that are bounded; and a set of more, which is refused.
# timeout: 300
. "$SRC/tests/ns/init.inc"
make_root

N=1023
{
	i=0
	while [ $i -lt $N ]; do
		printf '[service s%d]\nexec = /bin/sleep 1000\n' $i
		i=$((i + 1))
	done
	printf '[service zz]\nexec = /bin/sh -c "while [ ! -e /test/go ]; do sleep 0.1; done; echo late; exec sleep 1000"\n'
} >"$R/test/in"
boot <"$R/test/in"
check "all are up" retry is_state zz up
log_pid() { pgrep -P "$(pgrep -P "$INIT")" -f -- --logger; }
old=$(log_pid)
sleep_over_a_second() { [ "$(field s0 since_ms)" -gt 1100 ]; } # a logger that dies sooner is replaced later
retry sleep_over_a_second
kill -9 "$old"
other() { new=$(log_pid) && [ "$new" != "$old" ]; }
check "the logger is replaced" retry other
touch "$R/test/go"
check "and gets the last of $N pipes, too" retry grep -q late "$R/var/log/cairn/zz.log"

# Bounds are many times what is needed on a machine that is not busy; what grows with the square of the number is far beyond them.
bounded() { # SECONDS COMMAND…
	timeout "$@" >"$TMP/out" 2>&1
}
check "CTL-07 all are listed" bounded 20 "$CAIRN" service list
is "each of them" "$(grep -c ' up ' "$TMP/out")" $((N + 1))
check "their status" bounded 30 "$CAIRN" service status
check "as JSON" bounded 60 "$CAIRN" service status --json
check "how they are connected" bounded 30 "$CAIRN" service tree
check "one is stopped" bounded 20 "$CAIRN" service stop s77
check "and started" bounded 20 "$CAIRN" service start s77
cp "$CAIRN" "$R/cairn-client"
load() { CAIRN_INIT_SOCKET=/run/cairn/init.sock nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" /cairn-client service load "$1" >"$TMP/out" 2>&1; }
first=$(pid s0)
sed '/^.service s1[0-9][0-9].$/{n;s/1000/1001/}' "$R/set" >"$R/set2"
begin=$(date +%s)
check "a hundred change" load /set2
took=$(($(date +%s) - begin))
check "in bounded time ($took s)" [ $took -le 120 ]
is "these" "$(grep -c '^restart' "$TMP/out")" 100
check "the others stay" [ "$(pid s0)" = "$first" ]
seq 10000 | sed 's/.*/[service s&]\ntype = group/' >"$R/set3"
load /set3; bad=$?
check "ten thousand are refused" [ $bad = 65 ]
check "and it is said how many there may be" grep -q 'more than 1024 services' "$TMP/out"
rss=$(awk '/^VmRSS/ { print $2 }' "$R/proc/1/status")
echo "# PID 1 has $rss KiB"
check "the memory of PID 1 is bounded" [ "$rss" -le 8192 ]
begin=$(date +%s)
"$CAIRN" poweroff
wait $INIT
took=$(($(date +%s) - begin))
check "all end in bounded time ($took s)" [ $took -le 60 ]
finish
