#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Start order, stop order, dependencies, conflicts, conditions, shutdown in reverse.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/note" <<'X'
#!/bin/sh
# note NAME: write NAME+ when started, NAME- when told to stop
trap 'echo "$1-" >>/test/order; exit 0' TERM
echo "$1+" >>/test/order
while :; do sleep 1000 & wait $!; done
X
cat >"$R/test/ready" <<'X'
#!/bin/sh
# ready NAME: as note, but ready only when /test/go-NAME exists
trap 'echo "$1-" >>/test/order; exit 0' TERM
echo "$1+" >>/test/order
while [ ! -e /test/go-$1 ]; do sleep 0.02; done
echo "$1!" >>/test/order
echo >&5
exec 5>&-
while :; do sleep 1000 & wait $!; done
X
chmod +x "$R/test/note" "$R/test/ready"

boot <<'X'
[service a]
exec = /test/note a
requires = b
enabled = no

[service b]
type = notify
notify = fd:5
exec = /test/ready b
requires = c
enabled = no

[service c]
type = notify
notify = fd:5
exec = /test/ready c
enabled = no
stop-timeout = 5s

[service w]
exec = /test/note w
wants = broken
enabled = no

[service broken]
exec = /does/not/exist
restart = never
enabled = no

[service needs-broken]
exec = /test/note needs-broken
requires = broken
enabled = no

[service x]
exec = /test/note x
conflicts = y
enabled = no

[service y]
exec = /test/note y
enabled = no

[service skipped]
exec = /test/note skipped
condition = exists:/nowhere
enabled = no

[service up-down]
type = oneshot
exec = /bin/sh -c "echo up >>/test/order"
stop-exec = /bin/sh -c "echo down >>/test/order"
enabled = no
X

order() { [ "$(tr '\n' ' ' <"$R/test/order")" = "$1 " ]; }
fresh() { rm -f "$R/test/order"; : >"$R/test/order"; }

fresh
touch "$R/test/go-c"
ctl start --no-wait a
check "the middle one starts and waits" retry grep -q 'b+' "$R/test/order"
check "the last one waits for readiness, not for exec" is_state a waiting
touch "$R/test/go-b"
check "start waits for the result" ctl start a
check "order is that of the dependencies" retry order "c+ c! b+ b! a+"

fresh
check "stop of the lowest" ctl stop c
check "stops dependents first" retry order "a- b- c-"
check "they stay down in spite of restart = always" is_state a down

ctl start a; ctl start b; fresh
ctl stop a
check "b was asked for by hand and stays" is_state b up
ctl stop b
check "c was only pulled in and goes" retry is_state c down

fresh
check "a soft dependency may fail" ctl start w
check "it is told why" retry is_state broken failed
check "exec errors name stage and reason" grep -q 'exec /does/not/exist: No such file' "$TMP/console"
check "a hard one may not" sh -c '! "$CAIRN" service start needs-broken 2>"$TMP/e"'
check "and the message names it" grep -q 'requires broken' "$TMP/e"

ctl start x
check "x is up" is_state x up
ctl start y
check "starting y stops x" retry is_state x down
check "y is up" is_state y up

check "a failed condition counts as up" ctl start skipped
check "without a process" [ "$(pid skipped)" = 0 ]

fresh
ctl start up-down
check "a oneshot stays up" is_state up-down up
ctl stop up-down
check "its down command ran" retry order "up down"

fresh
ctl start a; ctl start w
check "all listen" retry grep -q 'a+' "$R/test/order"
"$CAIRN" poweroff
wait $INIT
check "shutdown is the reverse order" sh -c 'grep -n . "$0" | tr "\n" " " | grep -q "a-.*b-.*c-"' "$R/test/order"
finish
