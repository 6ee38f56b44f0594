#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Other machines over OpenSSH: reconfigure --target-host, and deploy. The machines are directories; what PID 1 does for a switch
# that is to be confirmed is acted by a script (system-live has the real one), which can lose the connection, too.
# timeout: 240
set -u
unset CAIRN_ROOT XDG_STATE_HOME
. "$SRC/tests/ns/ssh.inc"
. "$SRC/tests/tap.inc"
cd "$TMP" || exit 1
quiet=yes
export HOME="$TMP/home" CAIRN_MODULES="$TMP/world"
mkdir -p "$HOME" here
has() { grep -qF -- "$1" "$TMP/last"; } # what the check before printed
status() { want=$1 && shift && "$@"; [ $? = "$want" ]; }
"$SRC/tests/cmd/mock-world" "$TMP/world" || exit 1
"$CAIRN" archive --generate-key --root "$TMP/here" >out 2>&1 || no "a key"

# A machine's program, which stands for its own.
program() {
	m=$1
	cat >"$m.sh" <<END
#!/bin/sh
m=$TMP/$m
[ "\$1 \$2" = "daemon --stdio" ] && exec $CAIRN "\$@"
echo "\$SSH_CONNECTION \$*" >>\$m.log
case "\$2 \$*" in
confirm*)
	[ ! -e \$m.dead ] || kill -9 \$PPID
	[ ! -s \$m.busy ] || { sed -i 1d \$m.busy; echo '{"result":"busy"}'; exit 3; }
	[ -e \$m.waits ] || exec $CAIRN "\$@"
	for goal; do :; done
	grep -qxF "\$goal" \$m.waits || exit 3
	echo "{\"result\":\"confirmed\",\"generation\":\$(head -n 1 \$m.waits),\"before\":1}"
	exec rm \$m.waits ;;
*--confirm=*)
	for arg; do shift; case \$arg in --confirm=*) ;; *) set -- "\$@" "\$arg" ;; esac; done
	$CAIRN "\$@" >\$m.json || exit
	sed 's/.*"to":\([0-9]*\),"system":"\([^"]*\)".*/\1\n\2/' \$m.json >\$m.waits
	[ ! -e \$m.cut ] || kill -9 \$PPID
	sed 's/"result":"switched"/"result":"tried-out"/' \$m.json ;;
*) exec $CAIRN "\$@" ;;
esac
END
	chmod +x "$m.sh"
}
program one && program two && program three
mkdir -p one/var/guix/profiles
check "trust" sh -c '"$0" archive --authorize --root "$1/one" <"$1/here/etc/guix/signing-key.pub"' "$CAIRN" "$TMP"
current() { readlink "$TMP/$1/var/guix/profiles/$(readlink "$TMP/$1/var/guix/profiles/system")"; }
connections() { cut -d' ' -f2 "$TMP/$1.log" | sort -u | wc -l; }
there() {
	m=$1 && shift
	"$CAIRN" system reconfigure --root "$TMP/here" --target-host "127.0.0.1:$port" --target-program "$TMP/$m.sh" \
		--target-host-root "$TMP/$m" "$@"
}

# ---- reconfigure
cp "$SRC/examples/minimal.lua" a.lua
sed 's/host_name = "cairn"/host_name = "stone"/' a.lua >b.lua
check "a host that ssh would take for an option" status 1 "$CAIRN" system reconfigure --root here --target-host=-oX a.lua
check "a dry run" there one -n --json a.lua
cp out json
check "as JSON" sh -c 'tail -n 1 "$0" | grep -q "^{.*\"result\":\"planned\""' "$TMP/json"
check "what has no meaning there" status 1 there one --skip-checks a.lua
check "copies nothing" [ ! -e "$TMP/one/gnu/store" ]
check "without confirmation" there one --no-confirm a.lua
check "the machine has it" [ "$(current one)" = "$(tail -n 1 "$TMP/out")" ]
check "plan, switch" [ "$(wc -l <one.log)" = 2 ]
check "all that it needs is there" "$CAIRN" store verify --root "$TMP/one"
rm one.log
check "another, to be confirmed unless said otherwise" there one b.lua
cp out out.seen
check "the plan is shown, and the end told" sh -c 'grep -q "cairn -> stone" "$0" && grep -q "confirmed over a new connection" "$0"' "$TMP/out.seen"
check "it was" [ ! -e one.waits ]
check "plan, switch, confirm: each of its own connection" [ "$(wc -l <one.log) $(connections one)" = "3 3" ]
check "for two minutes" grep -q -e '--confirm=120 ' one.log
check "the same again" status 6 there one --fail-if-unchanged b.lua
check "is not waited for" has "is what it has"
touch one.cut
check "a connection that the switch cuts" there one a.lua
check "is no failure when a new one confirms" grep -q 'switched to generation [1-9].*confirmed over a new connection' "$TMP/last"
printf '%s\n' once twice >one.busy
check "one that is cut while the switch is still under way there" there one b.lua
check "is confirmed when that is done" [ "$(wc -c <one.busy) $(ls one.waits 2>/dev/null)" = "0 " ]
check "back" there one a.lua
rm one.cut
# ssh that does not come through to the machine for a switch to be confirmed
cat >lossy <<'END'
#!/bin/sh
case "$*" in *--confirm=*) exit 255 ;; esac
exec "$@"
END
chmod +x lossy
echo other >one.waits
asked=$(grep -c ' system confirm ' one.log)
before=$(current one)
CAIRN_SSH="$TMP/lossy $CAIRN_SSH" check "a switch that never began" status 2 there one --confirm 10min b.lua
check "is none" has "could not be confirmed (status 3)"
check "and another's trial stays one" [ -e one.waits ]
check "which is asked about once" [ "$(($(grep -c ' system confirm ' one.log) - asked))" = 1 ]
rm one.waits
CAIRN_SSH="$TMP/lossy $CAIRN_SSH" check "nor where nothing is tried out" status 2 there one b.lua
check "says so" has "could not be confirmed (status 1)"
check "it runs what it ran" [ "$(current one)" = "$before" ]
CAIRN_SSH="$TMP/lossy $CAIRN_SSH" check "what it has already is well" there one a.lua
touch one.dead
check "a machine that cannot be reached afterwards" status 5 there one --confirm 1s b.lua
check "goes back by itself" has "it goes back to what it ran before by itself"
rm -f one.dead one.waits
check "nobody there" status 2 "$CAIRN" system reconfigure --root here --target-host 127.0.0.1:1 a.lua

# ---- deploy
cp -a one two # that they have much already saves time
cp -a one three
cat >machines.lua <<END
local system = require "system"
local base = require "a"
local function machine(name, os)
	return system.machine {
		name = name, host = "127.0.0.1", port = $port, system = os, confirm = "2s",
		program = "$TMP/" .. name .. ".sh", root = "$TMP/" .. name,
	}
end
return { machine("one", base), machine("two", base), machine("three", base:with { host_name = "third" }) }
END
d() { "$CAIRN" deploy --root "$TMP/here" "$@"; }
check "say what would be" d -n machines.lua
check "of each machine" [ "$(grep -c '^one: /gnu/store\|^two: /gnu/store\|^three: /gnu/store' "$TMP/out")" = 3 ]
touch two.dead
check "one of three cannot be reached afterwards" status 4 d machines.lua
cp out out.seen
check "it is named" grep -q '^two: failed: two cannot be reached after the switch' out.seen
rm -f two.dead two.waits
check "the others are done" grep -qx 'three: generation [0-9]* -> [0-9]*, confirmed' out.seen
check "and nothing waits" [ ! -e three.waits ]
check "all of them, as JSON" d --json machines.lua
check "each has its row" python3 -c '
import json, sys
rows = {r["name"]: r for r in json.load(sys.stdin)}
assert sorted(rows) == ["one", "three", "two"] and all(r["ok"] and r["error"] is None for r in rows.values()), rows
' <"$TMP/out"
sed 's/base:with { host_name = "third" }/base:with { host_name = "drei" }/' machines.lua >more.lua
before=$(current three)
check "one machine alone" d --only three more.lua
check "a line for it" [ "$(grep -c '^three: generation [0-9]* -> [0-9]*, confirmed$' out) $(grep -c '^one:\|^two:' out)" = "1 0" ]
touch three.cut
check "back, with a connection that is cut" d --roll-back --only three machines.lua
rm three.cut
check "it is what it was" [ "$(current three)" = "$before" ]
sed 's/"2s"/"500ms"/' machines.lua >short.lua
check "half a second" d --only three short.lua
check "is a second, and not for good" grep -q -e '--confirm=1 ' three.log
check "what a command would be run on" d -n -x --only one machines.lua -- uname -r
check "is said" grep -qx 'one: run uname -r' "$TMP/last"
check "as JSON" sh -c '"$0" deploy --root "$1" -n --json --roll-back machines.lua | python3 -c "
import json, sys
rows = json.load(sys.stdin)
assert len(rows) == 3 and rows[0][\"action\"] == \"roll-back\", rows"' "$CAIRN" "$TMP/here"
check "a command that prints much" d -x --only one machines.lua -- sh -c 'seq 300000; echo the end'
check "keeps its end" sh -c 'tail -n 2 "$0" | grep -q "the end" && grep -q "bytes before this are left out" "$0"' "$TMP/last"
check "a command on each" d -x machines.lua -- echo 'a  b' '$HOME'
check "its words are kept" [ "$(grep -cF '| a  b $HOME' "$TMP/out")" = 3 ]
check "a command that fails on each" status 4 d -x machines.lua -- false
check "a machine that is not in the file" status 1 d --only four machines.lua
sed 's/host = "127.0.0.1"/host = "a; rm b"/' machines.lua >bad.lua
check "a host that a shell would read" status 1 d bad.lua
check "is told with its field" grep -q 'machine › host: .* is not the name or address of a host' "$TMP/last"
sed "s|confirm = \"2s\"|host_key = \"$(cut -d' ' -f1,2 "$sshdir/id.pub")\"|" machines.lua >key.lua
check "the key of another machine" status 4 d --only one -x key.lua -- true
check "is not taken" has "failed"
sed "s|confirm = \"2s\"|host_key = \"$(cut -d' ' -f1,2 "$sshdir/host.pub")\", identity = \"$sshdir/id\"|" machines.lua >key.lua
CAIRN_SSH="ssh -F none" check "the key of the machine is" d --only one -x key.lua -- true
ssh_stop
finish
