#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Unattended upgrades keep, or go back from, what they tried out themselves, and nothing else.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
cat >"$TMP/system.lua" <<'LUA'
local services, system = require "services", require "system"
return system.operating_system {
	host_name = "up", file_systems = { { device = "LABEL=x", mount_point = "/" } },
	services = { services.upgrade { trial = "15min", services = { "base" } } },
}
LUA
system=$("$CAIRN" system build --root "$R" --modules "$W" --physical "$TMP/system.lua" 2>"$TMP/err") || { cat "$TMP/err"; exit 1; }
script=$(sed -n '/^\[service upgrade\]/,/^\[/s/^exec = //p' "$R$(readlink "$system/services")/set")
# The machine: the file "waits" has the generation that does, "back" the one that PID 1 goes back to; "reconfigure" does what that says.
cat >"$TMP/cairn" <<'END'
#!/bin/sh
export PATH=/usr/bin:/bin
cd "${0%/*}" || exit 1
echo "$*" >>log
case "$1 $2" in
"system status") echo "{\"booted\":1,\"unconfirmed\":$(cat waits 2>/dev/null || echo null),\"revert_to\":$(cat back 2>/dev/null || echo null)}" ;;
"system reconfigure") . ./reconfigure ;;
"system confirm" | "system revert") [ "$(cat waits)" = "$3" ] && rm waits ;;
"service wait") [ ! -e ill ] ;;
esac
END
chmod +x "$TMP/cairn"
sed -e "s|cairn=/gnu/[^ ]*|cairn=$TMP/cairn|" -e "s|/gnu/store/|$R&|g" "$R$script" >"$TMP/script"
cd "$TMP" || exit 1
upgrade() {
	rm -f log
	busybox sh "$TMP/script" >out 2>err
	[ $? = "$1" ]
}
did() { sed -n 's/^system \(confirm\|revert\)/\1/p' log | tr '\n' ' '; }
# STATUS WAITS [RESULT]: how reconfigure ends, which generation waits then, and what it says of generation 2
reconfigure() {
	[ -z "${3:-}" ] || echo "{\"result\":\"$3\",\"from\":1,\"to\":2,\"system\":\"/gnu/store/x\",\"plan\":{\"to\":99}}" >said
	printf '%s\n' "${2:+echo $2 >waits}" "${3:+cat said}" "exit $1" >reconfigure
}

reconfigure 0 2 tried-out
check "one that is well" upgrade 0
is "is kept" "$(did)" "confirm 2 "
is "having been tried out" "$(grep -c '^system reconfigure --json --confirm 15min /etc/cairn/system.lua$' log)" 1
check "and its plan told" grep -qx 'system diff 2' log
: >ill
check "one that is not well" upgrade 1
is "is gone back from" "$(did)" "revert 2 "
rm ill
reconfigure 4 2 partial
check "one that came up in part" upgrade 1
is "too" "$(did)" "revert 2 "
reconfigure 2 ''
check "one that cannot be built" upgrade 1
is "is none to go back from" "$(did)" ""
reconfigure 0 7
echo 7 >waits
echo 1 >back
check "somebody tries out another one" upgrade 3
check "which is told" grep -q 'generation 7 waits to be confirmed' err
is "nothing is done" "$(did)$(grep -c reconfigure log)" 0
rm waits back
# A note that was left alone: what changes the machine is what drops it.
reconfigure 0 2 tried-out
echo 7 >waits
check "a trial that nothing ends" upgrade 0
is "keeps nobody from the next one" "$(did)" "confirm 2 "
reconfigure 3 7
check "somebody begins to, meanwhile" upgrade 1
is "that is left alone" "$(did)$(cat waits)" 7
rm waits
reconfigure 0 7 switched
check "or when there was nothing to try out" upgrade 0
is "as is that" "$(did)$(cat waits)" 7
finish
