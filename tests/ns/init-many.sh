#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Many services: more log pipes than the logger's socket takes at once.
. "$SRC/tests/ns/init.inc"
make_root

N=600
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
"$CAIRN" poweroff
wait $INIT
finish
