#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Live load of another set: what did not change keeps its process, errors change nothing.
. "$SRC/tests/ns/init.inc"
make_root

cat >"$R/test/late.sh" <<'X'
#!/bin/sh
trap 'echo late-stopped >>/test/order; exit 0' TERM
while :; do sleep 1000 & wait $!; done
X
chmod +x "$R/test/late.sh"

boot <<'X'
[service same]
exec = /bin/sleep 1001

[service changed]
exec = /bin/sleep 1002

[service needs-changed]
exec = /bin/sleep 1003
requires = changed

[service wants-changed]
exec = /bin/sleep 1004
wants = changed

[service removed]
exec = /bin/sleep 1005
requires = same

[service later]
exec = /bin/sleep 1006
on-change = later

[service once]
type = oneshot
exec = /bin/sh -c "echo once >>/test/once"

[service broken]
exec = /does/not/exist
restart = never

[service by-hand]
exec = /bin/sleep 1007
X
started() { # all of them
	[ "$(ctl list --json | grep -o '"state":"up"' | wc -l)" = 8 ] && is_state broken failed
}
retry started
ctl stop by-hand

sed -e 's/1002/2002/' -e 's/1006/2006/' -e 's,/does/not/exist,/bin/sleep 1008,' -e 's/1007/2007/' \
	-e '/^\[service removed\]/,/^$/d' "$R/set" >"$R/set2"
# Comments and blank lines are no change.
sed -i -e 's/^\[service same\]/# a comment\n\n[service same]\n\n# inside/' "$R/set2"
cat >>"$R/set2" <<'X'
[service new]
exec = /bin/sleep 1009
requires = same

[service new-off]
exec = /bin/sleep 1010
enabled = no
X
# In the machine the path of the set is another one than here.
load() { nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" /cairn-client service load "$@"; }
cp "$CAIRN" "$R/cairn-client"
inside_load() { CAIRN_INIT_SOCKET=/run/cairn/init.sock load "$@" 2>>"$TMP/ctl.err"; }

pids() { for s in same wants-changed later changed needs-changed; do pid $s; done | tr '\n' ' '; }
before=$(pids)
plan=$(inside_load --dry-run --all /set2 | tr '\n' ';')
check "the plan" [ "$plan" = "start broken;later by-hand;restart changed;later later;restart needs-changed;start new;later new-off;keep once;stop removed;keep same;keep wants-changed;" ]
check "a dry run changes nothing" [ "$(pids)" = "$before" ]
check "and what was to go is there" is_state removed up

printf '[service same]\nexec = /bin/true\nrestrat = never\n' >"$R/bad"
inside_load /bad; bad=$?
check "SUP-13 an error is refused" [ $bad = 65 ]
check "and named by line" grep -q '/bad:3: .*restrat.*restart' "$TMP/ctl.err"
printf '[service a]\nexec = /bin/true\nrequires = b\n[service b]\nexec = /bin/true\nafter = c\n[service c]\nexec = /bin/true\nafter = a\n' >"$R/cycle"
inside_load /cycle
check "SUP-13 a cycle is named in full" grep -q 'a -> b -> c -> a' "$TMP/ctl.err"
printf '[service a]\nexec = /bin/true\nrequires = a\n' >"$R/itself"
inside_load /itself
check "SUP-13 one that needs itself" grep -q '/itself:1: .*the service itself' "$TMP/ctl.err"
seq 10000 | sed 's/.*/[service s&]\ntype = group/' >"$R/many"
inside_load /many; bad=$?
check "SUP-13 ten thousand are too many" [ $bad != 0 ]
check "SUP-13 and the first too many is named" grep -q '/many:2049: more than 1024 services' "$TMP/ctl.err"
printf '[service a]\nexec = /bin/true\nrequires = nowhere\n' >"$R/gap"
inside_load /gap
check "SUP-13 a name that is not there, by line" grep -q "/gap:1: .*names 'nowhere'" "$TMP/ctl.err"
inside_load /nowhere
mkfifo "$R/pipe"
CAIRN_INIT_SOCKET=/run/cairn/init.sock timeout 10 nsenter -t "$(pgrep -P "$INIT")" -p chroot "$R" /cairn-client \
	service load /pipe 2>>"$TMP/ctl.err"; bad=$?
check "SUP-13 a pipe without a writer is refused" [ $bad = 65 ]
check "as what it is" grep -q '/pipe is not a file' "$TMP/ctl.err"
check "a missing file" grep -q '/nowhere' "$TMP/ctl.err"
check "SUP-13 nothing changed" [ "$(pids)" = "$before" ]

same=$(pid same) wants=$(pid wants-changed) later=$(pid later) changed=$(pid changed)
inside_load /set2 >"$TMP/loaded" || cat "$TMP/ctl.err"
check "same definition, same process" [ "$(pid same)" = "$same" ]
check "wants alone does not restart" [ "$(pid wants-changed)" = "$wants" ]
check "later keeps its process" [ "$(pid later)" = "$later" ]
check "and is marked" [ "$(field later stale)" = true ]
check "changed runs the new definition" grep -qz 2002 "$R/proc/$(pid changed)/cmdline"
check "who requires it came back" is_state needs-changed up
check "removed is gone" [ -z "$(state removed)" ]
check "new is up" is_state new up
check "new but not enabled is down" is_state new-off down
check "what failed is tried again" is_state broken up
check "what was stopped by hand stays so" is_state by-hand down
check "a oneshot did not run again" [ "$(wc -l <"$R/test/once")" = 1 ]
ctl restart later
check "the next start takes the new definition" grep -qz 2006 "$R/proc/$(pid later)/cmdline"
check "and is no longer marked" [ "$(field later stale)" = false ]

(cat "$R/set2"; printf '[service fails]\nexec = /does/not/exist\nrestart = never\n[service dies]\ntype = oneshot\nexec = /bin/false\n') >"$R/set3"
inside_load /set3 >"$TMP/loaded"; bad=$?
check "a load whose services fail is done, and not a success" [ $bad != 0 ]
check "what changed is printed" grep -qx 'start fails' "$TMP/loaded"
check "who failed is named" grep -q 'fails is failed: exec /does/not/exist.*; dies is failed: exit code 1' "$TMP/ctl.err"
check "what failed before is no failure of this load" inside_load /set3

fds() { ls "$R/proc/1/fd" | wc -l; }
before=$(fds)
i=0
while [ $i -lt 6 ]; do
	inside_load /set >/dev/null
	inside_load /set2 >/dev/null
	i=$((i + 1))
done
check "loads leak no descriptor" [ "$(fds)" -le $((before + 2)) ]
check "and same is still the same" [ "$(pid same)" = "$same" ]
"$CAIRN" poweroff
wait $INIT
finish
