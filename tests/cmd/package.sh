#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Profiles of users: install, remove, upgrade, roll back, manifests.
set -u
. "$SRC/tests/tap.inc"
unset XDG_STATE_HOME
. "$SRC/tests/cmd/world.inc"
export HOME="$TMP/home" CAIRN_MODULES="$W"
mkdir "$HOME"
cd "$TMP" || exit 1
quiet=yes
p() { verb=$1 && shift && "$CAIRN" package "$verb" --root "$R" "$@"; }
has() { grep -qF -- "$1" "$TMP/last"; } # what the check before printed
status() { want=$1 && shift && "$@"; [ $? = "$want" ]; }
user=$(id -un)
dir=$R/var/guix/profiles/per-user/$user
gen() { readlink "$dir/cairn-profile"; }

# ---- Packages for these tests: outputs, and files that collide.
recipe() {
	cat >"$W/packages/$1.lua" <<LUA
local busybox = require "packages.busybox"
local drv = derivation {
	name = "$1-$2", builder = busybox .. "/bin/busybox", outputs = { "out", "doc" },
	args = { "sh", "-ec", [[b=]] .. busybox .. [[/bin/busybox; \$b mkdir -p \$out/bin \$out/share \$doc/share
		printf '%s\n' '#!'"\$b sh" 'echo $3 $2' >\$out/bin/$3; \$b chmod +x \$out/bin/$3
		echo same >\$out/share/licence; echo doc >\$doc/share/$1.txt]] },
}
return setmetatable({ name = "$1", version = "$2", drv = drv, synopsis = "$4", recipe = { inputs = { busybox }, description = "${5-}" } },
	{ __tostring = function() return tostring(drv) end })
LUA
}
recipe stone 1.0 stone "A stone that says its name"
recipe pebble 3.1 pebble "A small one" "Next to cobblestones"
recipe rival 1.5 stone "Has a program of the same name" "Another stone"
echo 'return { curl = "packages.curl", hello = "packages.hello", stone = "packages.stone", pebble = "packages.pebble",
	rival = "packages.rival", busybox = "packages.busybox" }' >"$W/packages/index.lua"

check "an empty profile" p list
check "has nothing" [ ! -s "$TMP/last" ]
check "and there is nothing to go back to" status 66 p roll-back
check "a dry run" p install -n stone
check "says what" has "install stone 1.0"
check "and makes nothing" [ ! -e "$dir/cairn-profile" ]
check "install" p install stone pebble:doc
check "the links are those of a profile" [ "$(gen)" = cairn-profile-1-link ]
item=$(readlink "$dir/cairn-profile-1-link")
check "to a logical path" [ -e "$R$item/manifest" ]
check "programs of the packages" [ "$(readlink "$R$item/bin/stone")" = "$(p list | sed -n 's/^stone\t1.0\tout\t//p')/bin/stone" ]
check "an output" [ -L "$R$item/share/pebble.txt" ]
check "no other output" [ ! -e "$R$item/bin/pebble" ]
check "the program runs" "$CAIRN" exec --root "$R" "$item/bin/stone"
check "as the package says" has "stone 1.0"
check "no link at home to a private root" [ ! -e "$HOME/.cairn-profile" ]
check "a second package, with an equal file" p install pebble
check "generation 2" [ "$(gen)" = cairn-profile-2-link ]
check "the same again changes nothing" p install pebble
check "says so" has "nothing changes"
check "indeed" [ "$(gen)" = cairn-profile-2-link ]
check "list" p list
check "of all outputs" [ "$(cut -f 1-3 "$TMP/out")" = "$(printf 'stone\t1.0\tout\npebble\t3.1\tdoc\npebble\t3.1\tout')" ]
check "list as JSON" sh -c '"$0" package list --root "$1" --json | python3 -c "
import json, sys
rows = json.load(sys.stdin)
assert [(r[\"name\"], r[\"output\"]) for r in rows] == [(\"stone\", \"out\"), (\"pebble\", \"doc\"), (\"pebble\", \"out\")], rows"' "$CAIRN" "$R"

check "a collision is an error" status 100 p install rival
cp "$TMP/out" "$TMP/err"
check "that names the file, and both" grep -q 'bin/stone is in two packages: .*-stone-1.0/bin/stone and .*-rival-1.5/bin/stone' "$TMP/err"
check "and changes nothing" [ "$(gen)" = cairn-profile-2-link ]
check "a name that is not known" status 65 p install pebbel
check "has a suggestion, and no place of a file of Cairn" has "package install: there is no package 'pebbel'; did you mean 'pebble'?"
check "an output that there is not" status 65 p install stone:lib
check "is named" has "no output 'lib'"
check "what is not there cannot be removed" status 66 p remove curl

check "upgrade of what is new already" p upgrade
check "changes nothing" has "nothing changes"
recipe stone 2.0 stone "A stone that says its name"
check "upgrade says what" p upgrade -n
check "from and to" has "upgrade stone 1.0 -> 2.0"
check "upgrade of another" p upgrade pebble
check "leaves it" has "nothing changes"
check "upgrade" p upgrade stone
check "the new one runs" "$CAIRN" exec --root "$R" "$R$(readlink "$dir/cairn-profile-3-link")/bin/stone"
check "as it should" has "stone 2.0"
check "roll back" p roll-back
check "says it" has "switched from generation 3 to 2"
check "it did" [ "$(gen)" = cairn-profile-2-link ]
check "forward" p switch-generation +1
check "again" [ "$(gen)" = cairn-profile-3-link ]
check "back by a number" p switch-generation -1
check "there" [ "$(gen)" = cairn-profile-2-link ]
check "to a number" p switch-generation 1
check "there" [ "$(gen)" = cairn-profile-1-link ]
check "to nowhere" status 66 p switch-generation 9
p switch-generation 3 >"$TMP/out"

check "export" p export-manifest
cp "$TMP/out" manifest.lua
check "remove" p remove stone pebble:doc
check "the rest" [ "$(p list | cut -f 1,3)" = "$(printf 'pebble\tout')" ]
check "apply brings it back" p apply manifest.lua
check "the same item, of another number" [ "$(readlink "$dir/$(gen)")" = "$(readlink "$dir/cairn-profile-3-link")" ]
echo 'return { "hello", require "packages.curl" }' >other.lua
check "apply removes what is not there" p apply other.lua
check "all" [ "$(p list | cut -f 1 | tr '\n' ' ')" = "hello curl " ]
check "a file can be installed" p install -f manifest.lua
check "in addition" [ "$(p list | wc -l)" = 5 ]

check "search" p search small
check "finds by synopsis" has "name: pebble"
check "search by name" p search '^st.ne$'
check "one" [ "$(grep -c ^name: "$TMP/out")" = 1 ]
check "search ranks" p search STONE
check "names, then words, then parts of them" [ "$(sed -n 's/^name: //p' "$TMP/out" | tr '\n' ' ')" = "stone rival pebble " ]
check "all words must fit" p search small cobble
check "in whatever text" [ "$(sed -n 's/^name: //p' "$TMP/out")" = pebble ]
check "nothing is found" p search granite
check "and says so" has "no package fits"
check "in JSON it is an empty list" p search --json granite
check "which is all" [ "$(cat "$TMP/out")" = "[]" ]
check "no expression" status 2 p search '('
check "show" p show stone
check "the version of now" grep -qx "version: 2.0" "$TMP/last"

check "generations" p list-generations
check "the current one" grep -q '^generation 7 .* current$' "$TMP/last"
check "delete a range, and a number" p delete-generations 1..2,4
check "gone" [ ! -e "$dir/cairn-profile-1-link" ] && [ ! -L "$dir/cairn-profile-4-link" ]
check "the current one is kept" status 69 p delete-generations 3..7
check "and then all are" [ -L "$dir/cairn-profile-3-link" ]
check "a pattern that means nothing" status 2 p delete-generations 3 nothing
check "deletes nothing" [ -L "$dir/cairn-profile-3-link" ]
check "and is wrong where there is nothing" status 2 p delete-generations -p none nothing
check "one that is not there" status 66 p delete-generations 3,99
check "is named" has 'there is no generation 99'
check "and the others stay" [ -L "$dir/cairn-profile-3-link" ]
check "nothing is older than a day" p delete-generations 1d
check "so nothing went" [ ! -s "$TMP/last" ]
# The disk fails while the second of two goes: what went before is told all the same.
if gcc -shared -fPIC -O1 -o faults.so "$SRC/tests/cmd/faults.c" && grep -q ld-linux "$CAIRN" && LD_PRELOAD="$TMP/faults.so" "$CAIRN" --version >/dev/null 2>&1; then
	if gcc -shared -fPIC -O1 -o clock.so "$SRC/tests/cmd/clock.c"; then # the year 2077, for which all are old
		late() { LD_PRELOAD="$TMP/clock.so" CLOCK_SHIFT=$((3400000000 - $(date +%s))) p delete-generations 1d; }
		check "by age when the clock cannot be right" status 65 late
		check "nothing went" [ -L "$dir/cairn-profile-3-link" -a -L "$dir/cairn-profile-5-link" ]
	fi
	cp -a "$dir" kept
	failing() { # NUMBER OPTION…: what is written to the profile's directory fails that time
		rm -rf "$dir" && cp -a kept "$dir" && head -c 8 /dev/zero >count
		at=$1 && shift
		LD_PRELOAD="$TMP/faults.so" FAULT=EIO FAULT_AT="$at" FAULT_BELOW="${dir%/*}" FAULT_COUNT="$TMP/count" \
			"$CAIRN" package delete-generations --root "$R" "$@" 3 5 >out.txt 2>err.txt
	}
	check "both go" failing 0
	last=$(od -An -tu8 count | tr -d ' ')
	check "the second fails" status 1 failing "$last"
	is "the first is told" "$(cut -f 1 out.txt)" "deleted generation 3"
	check "as JSON, too" status 1 failing "$last" --json
	is "in a whole object" "$(python3 -c 'import json; x = json.load(open("out.txt")); print(x["dry_run"], [g["generation"] for g in x["deleted"]])')" "False [3]"
	check "a pattern that means nothing prints nothing" [ "$(p delete-generations --json nothing 2>/dev/null)" = "" ]
	rm -rf "$dir" && mv kept "$dir"
fi
check "collections know the rest" "$CAIRN" store gc --root "$R"
check "the profile is whole" [ -e "$R$(readlink "$dir/$(gen)")/manifest" ]
check "and what it needs" "$CAIRN" exec --root "$R" "$(readlink "$dir/$(gen)")/bin/pebble"
check "a version that nobody has went" [ -z "$(ls "$R/gnu/store" | grep -e '-stone-1.0$')" ]

# ---- A shell with packages
sh_() { "$CAIRN" shell --root "$R" "$@"; }
check "a command with packages" sh_ stone pebble -- sh -c 'stone; pebble; echo "$VAR"'
check "has their programs" [ "$(head -n 2 "$TMP/out" | tr '\n' ' ')" = "stone 2.0 pebble 3.1 " ]
check "its words are its own" sh_ stone -- echo --pure -x
check "and no options" has "--pure -x"
check "the status is the command's" status 7 sh_ stone -- sh -c 'exit 7'
check "what there is not" status 127 sh_ stone -- no-such-command
check "a manifest" sh_ -m manifest.lua -- stone
check "what it names" has "stone 2.0"
check "inputs of a package" sh_ -D stone -- sh -c 'echo "$CAIRN_ENVIRONMENT"'
check "without itself" sh -c 'grep -q -- -busybox-1.0 "$0/last" && ! grep -q -- -stone- "$0/last"' "$TMP"
check "a pure one" env VAR=seen "$CAIRN" shell --root "$R" --pure stone busybox -- sh -c 'echo "[$VAR]"'
check "has no variables" has "[]"
check "nor programs of the machine" status 127 sh_ --pure stone -- cp --version
check "and says so" has "no package of the environment has a program 'cp' [name one that has it]"
check "not behind the command either" status 127 sh_ --pure -D stone -- busybox sh -c 'no-such || cc'
sed 's/inputs = { busybox }/inputs = {}/; s/pebble/bare/g' "$W/packages/pebble.lua" >"$W/packages/bare.lua"
sed -i 's/return {/return { bare = "packages.bare",/' "$W/packages/index.lua"
check "nor where no input has programs" status 127 sh_ --pure -D bare -- cp --version
check "whose inputs are none of them" has "no package of the environment has a program 'cp' [-D gives a package's inputs, not the compiler of its build]"
check "a shell is a package's" status 127 env -u SHELL "$CAIRN" shell --root "$R" --pure stone
check "or named" has "such as busybox"
check "a path is a path" sh_ --pure stone -- /bin/true
mkdir -p "$TMP/work"
(cd "$TMP/work" && sh_ -C stone busybox -- sh -c 'stone; pwd; ls / /gnu/store; echo made >made; echo x >/gnu/store/x; echo "pid $$"
	[ -e /usr ] || echo alone' >"$TMP/out" 2>&1)
cp "$TMP/out" "$TMP/container"
check "a container runs it" grep -q '^stone 2.0$' "$TMP/container"
check "in this directory" [ "$(cat "$TMP/work/made")" = made ]
check "the store cannot be written" grep -qi 'read-only' "$TMP/container"
check "nothing else of the machine is there" grep -qx alone "$TMP/container"
check "nor another item" [ "$(grep -c -- '-pebble-' "$TMP/container")" = 0 ]
check "it is alone, but for an init" grep -qx 'pid 2' "$TMP/container"
cd "$TMP/work" || exit 1
# shellcheck disable=SC2016
check "a signal ends a command there" status 130 sh_ -C busybox -- sh -c 'kill -INT $$; echo survived'
check "who is left is waited for" sh_ -C busybox -- sh -c 'busybox sh -c "busybox true & echo \$!" >orphan; read pid <orphan
	i=0; while [ -e /proc/$pid ]; do i=$((i + 1)); [ $i -lt 200 ] || exit 9; busybox sleep 0.05; done'
cd "$TMP" || exit 1

# ---- Lua by the line
repl() { "$CAIRN" repl --root "$R" "$@"; }
cat >lines <<'END'
1 + 2
x = { 4, b = "c" }
x
local function twice(n)
	print("called")
	return 2 * n
end
twice(21)
find_package "stone"
:build find_package "hello"
:list
END
check "a session" sh -c '"$0" repl --root "$1" <lines >session 2>said' "$CAIRN" "$R"
hello=$("$CAIRN" build --root "$R" hello)
check "prints values, and keeps variables" [ "$(head -n 6 session | tr '\n' ' ')" = '3 {   4,   b = "c", } 42 ' ]
check "packages" grep -q '^<package stone 2.0 /gnu/store/.*-stone-2.0>$' session
check "builds" [ "$(grep -cx "$hello" session)" = 1 ]
check "says once what is printed" [ "$(grep -c called said)" = 1 ]
printf '%s\n' 'require "system"' 'require "services"' 'system = require "system"' 'system.group' 'schema.string {}' '"\1x"' 'string' >lines
check "what modules give" sh -c '"$0" repl --root "$1" <lines >values' "$CAIRN" "$R"
check "constructors" grep -qF -- '  group = <constructor of group: a group>,' values
check "with their fields, one by one" grep -qF -- '  gid -- integer, optional: given once, never changed' values
check "and defaults" grep -qF -- '  system -- boolean, default false: numbers below 1000' values
check "services, which nobody has loaded yet" grep -qF -- '  getty = <constructor of getty: login on a terminal>,' values
check "types" grep -qF -- '<type string>' values
check "what would not come out of the box" grep -qF -- '"\1x"' values
check "libraries" grep -qF -- '  rep = function,' values
printf '%s\n' 'io' 'y = = 1' 'source "/etc/passwd"' 'read_file "../x"' ':nope' '1' >lines
check "what is wrong makes the status" status 1 sh -c '"$0" repl --root "$1" <lines >session 2>&1' "$CAIRN" "$R"
check "it stays in the box" [ "$(grep -c "'io' is not defined\|outside of the" session)" = 3 ]
check "and goes on" grep -qx 1 session
check "a file" sh -c '"$0" repl --root "$1" other.lua' "$CAIRN" "$R"
check "what it returns" has '"hello",'

# ---- Another profile, anywhere
cat >rude.lua <<'END'
local stone = require "packages.stone"
return { setmetatable({ name = "stone", version = "1\n[package q]", drv = stone.drv }, getmetatable(stone)) }
END
check "a version that would be lines" status 65 p install -p mine -f rude.lua
check "is named" has 'is not a version'
sed 's/"1.*q]"/"1"/; s/name = "stone"/name = "a\\nb"/' rude.lua >rude2.lua
check "nor is a name" status 65 p install -p mine -f rude2.lua
check "also named" has 'is not a name'
check "a profile of a path" p install -p mine stone
check "is a link beside it" [ "$(readlink mine)" = mine-1-link ]
check "that collections know" "$CAIRN" store roots --root "$R"
check "by its path" has "$TMP/mine-1-link"
mv mine-1-link away
check "a profile whose generation is gone" status 65 p install -p mine pebble
check "is not an empty one" has "leads to generation 1, which is not there"
mv away mine-1-link
echo text >file
check "what is no profile is left alone" status 65 p install -p file stone
python3 - "$dir/cairn-profile.lock" "$TMP/ready" <<'PY' &
import fcntl, os, signal, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
os.ftruncate(fd, 0)
os.write(fd, b"process 4711, package install, since long ago\n")
open(sys.argv[2], "w").close()
signal.pause()
PY
holder=$!
retry [ -e "$TMP/ready" ]
check "two at a time" status 69 p remove hello
check "the other is named" has "process 4711"
check "who only reads does not wait" p list
kill $holder
wait $holder 2>/dev/null

finish
