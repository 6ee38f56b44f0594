#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Services that come after the load: instances of templates, transient ones; and what the administrator
# says in spite of the set: enable, disable, mask. Over loads, over PID 1 itself, over boots.
. "$SRC/tests/ns/init.inc"
make_root
mkdir -p "$R/var/lib"
cp "$CAIRN" "$R/cairn-client"
# In the machine, where its files are.
in_machine() { CAIRN_INIT_SOCKET=/run/cairn/init.sock nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" "$@" 2>>"$TMP/ctl.err"; }
svc() { in_machine /cairn-client service "$@"; }

cat >"$TMP/set" <<'E'
[service steady]
exec = /bin/sleep 1000

[service off]
exec = /bin/sleep 1001
enabled = no

[service on]
exec = /bin/sleep 1002

[service worker@]
exec = /bin/sh -c "echo %i >>/test/worker; exec sleep 1003"
requires = helper@%i
instances = one

[service helper@]
exec = /bin/sleep 1004

[service lazy@]
exec = /bin/sleep 1005
enabled = no
E
boot <"$TMP/set"
steady=$(pid steady)

check "an instance of the set" retry is_state worker@one up
check "what it requires" is_state helper@one up
check "another by its name" svc start worker@two
check "is up" is_state worker@two up
check "with its own" is_state helper@two up
check "it knows its name" retry grep -qx two "$R/test/worker"
check "a template that is not enabled, by hand" svc start lazy@x
check "is up, too" is_state lazy@x up
check "no instance without template" sh -c '! "$CAIRN" service start nothing@x 2>"$TMP/e"'
check "and it is named" grep -q "no service 'nothing@x'" "$TMP/e"

# Transient
sleeper=$(svc run sleep 1006)
check "a transient service" is_state "$sleeper" up
svc run --wait -- sh -c 'exit 7'; bad=$?
check "its exit status" [ $bad = 7 ]
svc run --wait sh -c 'kill -9 $$'; bad=$?
check "its signal" [ $bad = 137 ]
check "its output" [ "$(echo "in \\\"put" | svc run --pipe -p environment=A=b sh -c 'cat; echo "$A"; echo "two  words $0" >&2' 'x"y\z' 2>&1)" = 'in \"put
b' ]
check "variables of this command, and others" [ "$(A="two  words
lines" svc run --pipe -E A -E B=b -- sh -c 'echo "$A/$B"')" = 'two  words
lines/b' ]
svc run -E NOT_THERE_AT_ALL true; bad=$?
check "one that is not there" [ $bad = 2 ]
check "and errors" grep -qx 'two  words x"y\\z' "$TMP/ctl.err"
svc run --wait /does/not/exist; bad=$?
check "no program" [ $bad != 0 ]
svc run --wait -p user=nobody-here true; bad=$?
check "one that cannot run" [ $bad != 0 ]
check "says why" grep -q 'did not run: user nobody-here: not found' "$TMP/ctl.err"
svc run -p exce=x true
check "a property that is none" grep -q "unknown key 'exce'" "$TMP/ctl.err"
svc run --name steady true
check "a name that is taken" grep -q "service 'steady' is there already" "$TMP/ctl.err"
svc run -p requires=nowhere true
check "a requirement that is not" grep -q "names 'nowhere'" "$TMP/ctl.err"
svc run --name evil -p "description=x
[service steady2]" true; bad=$?
check "no second section" [ $bad != 0 ]
check "a timed one" svc run --name ticks -p every=20ms -- sh -c 'echo x >>/test/ticks'
ticked() { [ "$(wc -l <"$R/test/ticks")" -ge 3 ]; }
check "which runs" retry ticked

# Over PID 1 itself, and over loads
worker=$(pid worker@two)
check "PID 1 executes itself again" ctl re-exec
check "what was added is there" [ "$(pid worker@two) $(state $sleeper) $(state ticks)" = "$worker up up" ]
sed 's/1002/2002/; s/1005/2005/' "$R/set" >"$R/set2"
printf '\n[service ticks]\nexec = /bin/sleep 1007\n' >>"$R/set2"
check "a load" svc load /set2
check "keeps it" [ "$(pid worker@two) $(state $sleeper)" = "$worker up" ]
check "and the rest" [ "$(pid steady)" = "$steady" ]
check "unless the set has one of its name" grep -qz 1007 "$R/proc/$(pid ticks)/cmdline"
check "a template that changed restarts its instances" grep -qz 2005 "$R/proc/$(pid lazy@x)/cmdline"
sed '/^\[service worker@\]/,/^$/d; /^\[service helper@\]/,/^$/d' "$R/set2" >"$R/set3"
check "a set without the template" svc load /set3
check "goes all the same" [ -z "$(state worker@two)" ]
check "with a word" grep -q 'what was added goes name=worker@two' "$TMP/console"
check "the others stay" [ "$(state "$sleeper") $(state lazy@x)" = "up up" ]
svc run -p requires=off --name needs-off sleep 1008
sed '/^\[service off\]/,/^$/d' "$R/set3" >"$R/set4"
check "a set without what a transient one requires" svc load /set4
check "goes, too" [ -z "$(state needs-off)" ]
check "and what is in it stays" [ "$(pid steady)" = "$steady" ]
check "back again" svc load /set2

# Overrides
svc mask steady
check "masked is stopped" retry is_state steady down
check "and shown" sh -c '"$CAIRN" service list | grep -q "^steady *masked"'
check "and cannot be started" sh -c '! "$CAIRN" service start steady 2>"$TMP/e"'
check "for that reason" grep -q 'steady: it is masked' "$TMP/e"
check "enable" svc enable off
check "is for the next boot" is_state off down
check "disable" svc disable --now on
check "now" is_state on down
svc enable nobody; bad=$?
check "a service that is not there" [ $bad != 0 ]
check "an instance" svc enable lazy@boot
check "a load changes none of it" svc load /set
check "masked" is_state steady down
check "disabled" is_state on down
check "what is new and enabled comes" is_state lazy@boot up

kill -9 $INIT # the power goes
wait $INIT 2>/dev/null
boot <"$TMP/set"
check "enabled at the next boot" retry is_state off up
check "an instance, too" is_state lazy@boot up
check "disabled" is_state on down
check "masked" is_state steady down
check "by hand or for others" svc start on
check "the set again" svc unmask steady on off lazy@boot
check "steady can be started again" svc start steady
check "nothing is left" [ ! -s "$R/var/lib/cairn/services/overrides" ]
"$CAIRN" poweroff
wait $INIT
finish
