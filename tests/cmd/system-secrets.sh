#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Secrets: never in the store, one value for each generation, gone with it.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
C=$R/etc/cairn
mkdir -p "$C/secrets" "$R/etc/cairn/files"
chmod 700 "$C/secrets"
run() {
	"$CAIRN" system "$@" --root "$R" --target-root "$R" >"$TMP/out" 2>"$TMP/err"
	status=$?
	cat "$TMP/out" "$TMP/err" >>"$TMP/said"
	return $status
}
# reconfigure FIELDS: of the system
reconfigure() {
	cat >"$C/system.lua" <<X
local services = require "services"
local system = require "system"
return system.operating_system {
	host_name = "cairn", bootloader = { type = "none" },
	file_systems = { { device = "LABEL=cairn-root", mount_point = "/" } },
	users = { { name = "root", password = "" }, { name = "web", system = true } },
	services = { services.simple { name = "web", exec = { require "packages.busybox" .. "/bin/busybox", "httpd" } } },
	$1
}
X
	run reconfigure --modules "$TMP/world" "$C/system.lua"
}
refused() { # NAME, FIELDS, what it says
	reconfigure "$2" && status=0 || status=$?
	[ $status != 0 ] && grep -qF -- "$3" "$TMP/err" && [ "$(readlink "$R/var/guix/profiles/system")" = "$generation" ]
	result "$1" $?
}
psk() { cat "$R/run/secrets/psk"; }
kept() { ls "$R/var/lib/cairn/secrets" | wc -l; }
generation=
one=correct-horse-$$-battery two=staple-$$-staple

refused "a value that is nowhere" 'secrets = { { name = "psk" } }' 'secret psk: '"$R"'/etc/cairn/secrets/psk: No such file'
echo "$one" >"$C/secrets/psk"
chmod 644 "$C/secrets/psk"
refused "one that others can read" 'secrets = { { name = "psk" } }' 'others may use'
chmod 600 "$C/secrets/psk"
refused "a source in the store" 'secrets = { { name = "psk", source = "/gnu/store/x" } }' "secrets[1] ('psk') › source"
refused "a mode that lets everybody in" 'secrets = { { name = "psk", mode = "0444" } }' "secrets[1] ('psk') › mode"
refused "an owner that is none" 'secrets = { { name = "psk", user = "ghost" } }' "there is no user 'ghost'"
refused "a group that is none" 'secrets = { { name = "psk", group = "ghosts" } }' "there is no group 'ghosts'"
phantom() { echo "privileged_programs = { { program = require \"packages.busybox\" .. \"/bin/su\", $1 = \"phantom\" } }"; }
refused "the user of a privileged program" "$(phantom user)" "there is no user 'phantom'"
check "its place is named" grep -qF 'system.lua:3: operating_system › privileged_programs[1] › user' "$TMP/err"
refused "its group" "$(phantom group)" "there is no group 'phantom'"
refused "a service that is none" 'secrets = { { name = "psk", services = { "wbe" } } }' "there is no service 'wbe'"

# Not by a text, nor by a file that is read or taken over.
refused "the value in /etc" "motd = \"try $one\\n\", secrets = { { name = \"psk\" } }" 'has the value of the secret psk'
check "before anything is built" sh -c '! grep -q ^built "$0"' "$TMP/err"
echo "$one" >"$C/files/data"
refused "a file that has it, too" 'packages = { source("files") }, secrets = { { name = "psk" } }' 'has the value of the secret psk'
check "the item is named" grep -q '/gnu/store/[a-z0-9]*-files has the value' "$TMP/err"
rm -r "$R"/gnu/store/*-files "$C/files" # it is in no closure, and goes with the next collection
refused "the value in a program" "services = { services.simple { name = \"a\", exec = { require \"packages.busybox\" .. \"/bin/busybox\", \"--key=$one\" } } }, secrets = { { name = \"psk\" } }" \
	'has the value of the secret psk'
refused "the file of the value" 'motd = read_file("secrets/psk")' 'is not for the store'
refused "its directory" 'packages = { source("secrets") }' 'is not for the store'
refused "the directory around it" 'packages = { source(".", { name = "all" }) }' 'is not for the store'

# build alone: by the values of this machine.
builds() { # FIELDS
	cat >"$C/build.lua" <<X
local system = require "system"
return system.operating_system {
	host_name = "cairn", bootloader = { type = "none" },
	file_systems = { { device = "LABEL=cairn-root", mount_point = "/" } }, $1
}
X
	"$CAIRN" system build --root "$R" --modules "$TMP/world" "$C/build.lua" >"$TMP/out" 2>"$TMP/err"
}
own="secrets = { { name = \"psk\", source = \"$C/secrets/psk\" } }"
before=$(ls "$R/gnu/store")
builds "motd = \"try $one\", $own"
[ $? = 1 ] && grep -q 'has the value of the secret psk' "$TMP/err"
result "the value in what is only built" $?
is "is refused before anything is in the store" "$(ls "$R/gnu/store")" "$before"
mkdir "$C/more" && echo "$one" >"$C/more/data"
builds "packages = { source(\"more\") }, $own"
[ $? = 1 ] && grep -q '/gnu/store/[a-z0-9]*-more has the value' "$TMP/err" && [ ! -s "$TMP/out" ]
result "a file of it that has the value" $?
rm -r "$R"/gnu/store/*-more "$C/more" # as above
check "one that has not is built" builds "$own"
is "without a word" "$(grep warning "$TMP/err")" ""
check "where the value is elsewhere" builds 'secrets = { { name = "psk", source = "/nowhere/psk" } }'
check "it says that it cannot look" grep -q '^warning: values of secrets are not looked for .*/nowhere/psk' "$TMP/err"

check "a secret" reconfigure 'secrets = { { name = "psk", user = "web", mode = "0440", services = { "web" } } }'
generation=$(readlink "$R/var/guix/profiles/system")
planned() { grep -qE -- "$1" "$TMP/out"; }
check "the plan says whose it is, and how" planned '^  secrets    \+ psk web:root 0440 version 1 from /etc/cairn/secrets/psk$'
is "is where services find it" "$(psk)" "$one"
is "for whom it is" "$(stat -c %a "$R/run/secrets/psk")" 440
[ "$(id -u)" != 0 ] || is "his" "$(stat -c %u "$R/run/secrets/psk")" "$(sed -n 's/^web:x:\([0-9]*\):.*/\1/p' "$R/etc/passwd")"
is "nobody else can list them" "$(stat -c %a "$R/run/secrets" "$R/var/lib/cairn/secrets" "$R"/var/lib/cairn/secrets/* "$R"/var/lib/cairn/secrets/*/* | tr '\n' ' ')" \
	"711 700 700 600 "

# The value changes under the generation, which keeps its own; then with it.
echo "$two" >"$C/secrets/psk"
check "the same once more" run reconfigure --modules "$TMP/world" "$C/system.lua"
is "has the value that it had" "$(psk)" "$one"
check "another version" reconfigure 'secrets = { { name = "psk", user = "web", mode = "0440", version = 2, services = { "web" } } }'
is "has the new one" "$(psk)" "$two"
check "the plan says so" planned '^  secrets    ~ psk .* version 1 from .* -> web:root 0440 version 2 from '
check "its service starts again" grep -q 'restart *web' "$TMP/out"
is "both are kept" "$(kept)" 2
rm "$C/secrets/psk"
check "back" run roll-back
is "configuration and value are those of then" "$(psk)" "$one"
check "and forward" run switch-generation 2
is "with the later value" "$(psk)" "$two"
ln -sfn "$(readlink "$R/var/guix/profiles/system-2-link")" "$R/run/booted-system"
check "the first is not needed any more" run delete-generations 1
is "its value is gone with it" "$(cat "$R"/var/lib/cairn/secrets/*/psk)" "$two"
busybox='program = require "packages.busybox" .. "/bin/busybox"'
check "none, and privileged programs" reconfigure "privileged_programs = { { $busybox, name = \"su\" }, { $busybox, name = \"ping\", capabilities = { \"net_raw\" } } }"
check "the plan says that it goes" planned '^  secrets    - psk '
check "and who gets rights" planned '^  privileged \+ ping root:root capabilities 0x2000$'
check "of which kind" planned '^             \+ su root:root setuid$'
check "others, as data" run plan --json --modules "$TMP/world" "$C/system.lua"
is "nothing changes" "$(python3 -c 'import json, sys; p = json.load(open(sys.argv[1]))["plan"]; print(p["secrets"], p["privileged"])' "$TMP/out")" "[] []"
check "other rights, and one less" reconfigure "privileged_programs = { { $busybox, name = \"su\", setgid = true, group = \"web\" } }"
check "the plan says what changes" planned '~ su root:root setuid -> root:web setgid$'
check "and what goes" planned '^  privileged - ping '
check "so does diff" run diff --modules "$TMP/world"
check "of two generations" planned '~ su root:root setuid -> root:web setgid$'
check "none" reconfigure ''
is "leaves none to be read" "$(ls -A "$R/run/secrets")" ""

# Nowhere: neither in what everybody can read, nor in what was said.
find "$R" -type f -perm -004 -print0 | xargs -0 grep -lE "$one|$two" >"$TMP/found"
is "nothing that others can read has a value" "$(cat "$TMP/found")" ""
find "$R/gnu/store" -print0 | xargs -0 grep -lsE "$two" >"$TMP/found"
is "no item has the one that was never put there" "$(cat "$TMP/found")" ""
check "nor was one said" sh -c '! grep -E "$0" "$1"' "$one|$two" "$TMP/said"
finish
