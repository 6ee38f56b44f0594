#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# From configurations to generations of a scratch machine and back: plan, menu, links, /etc.
set -u
. "$SRC/tests/tap.inc"
run() { "$CAIRN" system "$@" >"$TMP/out" 2>"$TMP/err"; }
has() { grep -qF -- "$1" "$TMP/out"; }
hasnt() { ! grep -qF -- "$1" "$TMP/out"; }

. "$SRC/tests/cmd/world.inc"
build_args="--root $R --modules $TMP/world"
change_args="$build_args --target-root $R"

cp "$SRC/examples/minimal.lua" "$TMP/one.lua"
sed 's/host_name = "cairn"/host_name = "stone"/
	s/packages = {}/packages = { require "packages.hello" }/
	s|services.base {}|services.base { services.simple { name = "hello", exec = { require "packages.hello" .. "/bin/hello" } } }|' \
	"$TMP/one.lua" >"$TMP/two.lua"

check "build prints the store path and nothing else" run build $build_args "$TMP/one.lua"
check "one line, of the store" grep -qx '/gnu/store/[a-z0-9]*-system' "$TMP/out"
one=$(cat "$TMP/out")
check "a second build gives the same path" run build $build_args "$TMP/one.lua"
check "the same" [ "$(cat "$TMP/out")" = "$one" ]
check "and builds nothing" [ ! -s "$TMP/err" ]
check "the physical path is there" run build --physical $build_args "$TMP/one.lua"
check "it is a directory" [ -d "$(cat "$TMP/out")" ]

run reconfigure $build_args "$TMP/one.lua"
check "a private root is no machine" grep -q 'not a Cairn system' "$TMP/err"

check "a dry run prints a plan" run reconfigure --dry-run $change_args "$TMP/one.lua"
check "and makes nothing" [ ! -e "$R/var/guix/profiles/system" ]
items() { ls "$R/gnu/store" | wc -l; }
field() { python3 -c '
import json, sys
x = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    x = x[int(key)] if isinstance(x, list) else x[key]
print(json.dumps(x, sort_keys=True))' "$TMP/out" "$1"; }
check "reconfigure" run reconfigure $change_args "$TMP/one.lua"
check "profile link" [ "$(readlink "$R/var/guix/profiles/system")" = system-1-link ]
check "generation link" [ "$(readlink "$R/var/guix/profiles/system-1-link")" = "$one" ]
check "/etc/hostname is a link" [ "$(readlink "$R/etc/hostname")" = /etc/static/hostname ]
check "accounts" grep -q '^root:x:0:0:' "$R/etc/passwd"
check "shadow is private" [ "$(stat -c %a "$R/etc/shadow")" = 600 ]
check "menu names generation 1" grep -q "default='gen-1'" "$R/boot/grub/grub.cfg"
check "the command line names the system" grep -q "cairn.system=$one" "$R/boot/grub/grub.cfg"

before=$(items)
check "plan" run plan --json $change_args "$TMP/two.lua"
check "builds nothing" [ "$(items)" = "$before" ]
planned=$(field plan.facts)$(field plan.packages.0.name)$(field plan.etc)$(field plan.users)$(field plan.groups)$(field plan.services)$(field plan.reboot)
check "says how much there is to build" [ "$(field plan.build)" -gt 0 ]
check "diff to a configuration" run diff --json $change_args "$TMP/two.lua"
is "says the same" "$(field plan.facts)$(field plan.packages.0.name)$(field plan.etc)$(field plan.users)$(field plan.groups)$(field plan.services)$(field plan.reboot)" "$planned"
check "boot --dry-run" run boot --dry-run $change_args "$TMP/two.lua"
check "plan: at the next boot" has '(at the next boot)'
check "test" run test $change_args "$TMP/two.lua"
active_etc() { readlink "$R/etc/static"; }
is "what is tested is active" "$(active_etc)" "$(tail -n 1 "$TMP/out")/etc"
check "it is no generation" [ ! -L "$R/var/guix/profiles/system-2-link" ]
check "and nothing starts it" [ "$(grep -c "^menuentry" "$R/boot/grub/grub.cfg") $(readlink "$R/var/guix/profiles/system")" = "1 system-1-link" ]
run status --target-root "$R"
check "as status says" grep -q '^active  *[^ ]*-system, which is no generation, until the next boot' "$TMP/out"
check "back from it" run switch-generation --target-root "$R" 1
is "that is gone" "$(active_etc)" "$one/etc"
check "build says what is missing" run build --dry-run --json $build_args "$TMP/one.lua"
is "nothing is" "$(field missing)" "[]"
check "reconfigure with changes" run reconfigure $change_args "$TMP/two.lua"
check "plan: host name" has 'cairn -> stone'
check "plan: package" has '+ hello 2.0'
check "plan: service" has 'start hello'
check "plan: nothing else starts" [ "$(grep -c ' start \| restart \| stop ' "$TMP/out")" = 1 ]
check "plan: no reboot" has 'not needed'
check "menu lists both" [ "$(grep -c ^menuentry "$R/boot/grub/grub.cfg")" = 2 ]
check "menu starts generation 2" grep -q "default='gen-2'" "$R/boot/grub/grub.cfg"
check "GRUB can read the menu" grub-script-check "$R/boot/grub/grub.cfg"
check "the initramfs is the same: only packages and services changed" \
	[ "$(readlink "$R$one/initrd")" = "$(readlink "$R$(readlink "$R/var/guix/profiles/system-2-link")/initrd")" ]

# ---- What boots, what would boot, what came up well
env() { sed -n "s/^$1=//p" "$R/boot/grub/grubenv"; }
boots() { mkdir -p "$R/run" && ln -sfn "$(readlink "$R/var/guix/profiles/system-$1-link")" "$R/run/booted-system"; }
# What GRUB leaves when it has counted a boot.
counted() { (cd "$R/boot/grub" && grub-editenv grubenv set cairn_try="$1" cairn_left="$2"); }
json() { run status --json --target-root "$R" && python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$TMP/out" "$1"; }

check "nothing came up well so far" [ -z "$(env cairn_good)" ]
check "a generation that is new is on trial" [ "$(env cairn_try) $(env cairn_left)" = "2 3" ]
check "status of a machine that does not run" run status --target-root "$R"
check "it says what is known" grep -qx 'last good    none yet' "$TMP/out"
boots 1
check "the gate of generation 1" run mark-good --target-root "$R"
check "says so" has 'generation 1 is good'
check "the boot loader knows" [ "$(env cairn_good)" = 1 ]
check "the trial of 2 goes on" [ "$(env cairn_try) $(env cairn_left)" = "2 3" ]
check "again is nothing new" run mark-good --target-root "$R"
check "and said as such" has 'as before'
check "and does not hold" timeout 60 "$CAIRN" system mark-good --hold 80000 --target-root "$R"
check "status" run status --target-root "$R"
check "status: booted" grep -qx 'booted       generation 1' "$TMP/out"
check "status: on trial" grep -qx 'on trial     generation 2, 3 of 3 tries left' "$TMP/out"
check "status: next boot" grep -qx 'next boot    generation 2' "$TMP/out"
counted 2 0
check "status of a machine that fell back" run status --target-root "$R"
check "status: the next boot starts the good one" grep -qx 'next boot    generation 1' "$TMP/out"
check "status: it says what happened" grep -qx 'fell back    generation 2 did not come up in 3 tries' "$TMP/out"
check "status: a reboot would change nothing" grep -qx 'reboot       not needed' "$TMP/out"
check "status as JSON" [ "$(json fell_back) $(json booted) $(json current) $(json default) $(json next) $(json good) $(json trial) $(json tries_left) $(json reboot)" = "True 1 2 2 1 1 2 0 []" ]
run delete-generations --target-root "$R" 1
status=$?
check "SYS-08 what the machine falls back to cannot be deleted" [ $status = 3 ]
boots 2
before=$(date +%s%N)
check "it is picked in the menu and comes up" run mark-good --hold 1 --target-root "$R"
check "when it held" [ $(($(date +%s%N) - before)) -ge 1000000000 ]
check "its trial is over" [ "$(env cairn_good) $(env cairn_try)$(env cairn_left)" = "2 " ]
run delete-generations --dry-run --target-root "$R"
check "now 1 could go" has 'would delete generation 1'
rm "$R/run/booted-system"

check "diff of generations" run diff --json --target-root "$R" 1 2
is "is what was planned" "$(field plan.facts)$(field plan.packages.0.name)$(field plan.etc)$(field plan.users)$(field plan.groups)$(field plan.services)$(field plan.reboot)" "$planned"
check "closures, and packages, have sizes" [ "$(field plan.packages.0.size)" -gt 0 -a "$(field plan.closure_after)" -gt "$(field plan.closure_before)" -a "$(field plan.unknown_after)" = 0 ]
mv "$R/var/guix/db" "$TMP/db"
echo none >"$R/var/guix/db" # in the way of another one
check "diff without a database" run diff --json --target-root "$R"
is "differs alike" "$(field plan.services)" "$(printf %s "$planned" | sed 's/.*\(\[{"action".*\]\)\[\]$/\1/')"
is "but does not know sizes" "$(field plan.closure_after)" null
rm "$R/var/guix/db"
mv "$TMP/db" "$R/var/guix/db"
run reconfigure --fail-if-unchanged $change_args "$TMP/two.lua"
status=$?
is "nothing to do is a status of its own" $status 6
run reconfigure --json --fail-if-unchanged $change_args "$TMP/two.lua"
is "with what there is as JSON" "$? $(field result)$(field to)$(field plan.etc)" '6 "unchanged"2[]'
check "the same again is no new generation" run reconfigure --json $change_args "$TMP/two.lua"
is "what came of it as JSON" "$(field result)$(field to)$(field services)" '"switched"2[]'
check "still two" [ ! -e "$R/var/guix/profiles/system-3-link" ] && [ -L "$R/var/guix/profiles/system-2-link" ]

# ---- What is active is not what the profile names: what runs is compared with the one, the next boot with the other
is_one() { [ "$(active_etc) $(readlink "$R/var/guix/profiles/system")" = "$one/etc system-3-link" ]; }
check "for the next boot" run boot $change_args "$TMP/one.lua"
check "what is already to come is planned" run plan $change_args "$TMP/one.lua"
check "as what it will be" has 'generation 3 -> 3'
check "from what is active" has "active     $(readlink "$R/var/guix/profiles/system-2-link"), which is not the current one"
check "plan: host name" has 'stone -> cairn'
check "plan: /etc" has '~ hostname'
check "plan: service" has 'stop hello'
check "plan: what starts at the next boot does already" hasnt 'menu'
check "for the next boot nothing is to be done" run plan --boot --json $change_args "$TMP/one.lua"
is "at all" "$(field plan.etc)$(field plan.facts)" "[][]"
run reconfigure --fail-if-unchanged $change_args "$TMP/one.lua"
is "there is something to do" $? 0
check "which is done" is_one
run reconfigure --fail-if-unchanged $change_args "$TMP/one.lua"
is "then there is nothing" $? 6
check "until another one is tested" run test $change_args "$TMP/two.lua"
check "from that" run switch-generation --dry-run --target-root "$R" 3
check "plan: host name" has 'stone -> cairn'
run switch-generation --boot --fail-if-unchanged --target-root "$R" 3
is "for the next boot there is nothing to do" $? 6
run switch-generation --fail-if-unchanged --target-root "$R" 3
is "for what runs there is" $? 0
check "which is done" is_one
run switch-generation --target-root "$R" 2
run delete-generations --target-root "$R" 3

sed 's|{ name = "root", password = "" },|{ name = "root", password = "" }, { name = "ann" },|' "$TMP/two.lua" >"$TMP/ann.lua"
sed 's|{ name = "ann" }|{ name = "ann", groups = { "wheel" } }|' "$TMP/ann.lua" >"$TMP/wheel.lua"
check "a user more" run reconfigure $change_args "$TMP/ann.lua"
check "plan: user" has 'users      + ann'
check "plan: group" has 'groups     + ann'
check "his groups" run reconfigure --dry-run $change_args "$TMP/wheel.lua"
check "plan: what a user is" has 'users      ~ ann'
check "back" run switch-generation --target-root "$R" 2
check "plan: he goes" has 'users      - ann'
check "no trace of him" run delete-generations --target-root "$R" 3
sed 's|name = "ann"|&, password_file = "/etc/cairn/ann"|' "$TMP/ann.lua" >"$TMP/file.lua"
run reconfigure $change_args "$TMP/file.lua"
check "a file for a password that is not there" grep -q 'password of ann: .*/etc/cairn/ann: No such file' "$TMP/err"
check "is refused" [ ! -e "$R/var/guix/profiles/system-3-link" ]

sed 's/host_name/host_nmae/' "$TMP/two.lua" >"$TMP/bad.lua"
# Who could read the lock could hold it.
chmod 644 "$R/var/guix/profiles/system.lock"
run pin --target-root "$R" 1 && run unpin --target-root "$R" 1
is "nobody else can lock" "$(stat -c %a "$R/var/guix/profiles/system.lock")" 600
before=$(find "$R/var/guix/profiles" "$R/etc" "$R/boot" ! -name system.lock -printf '%p %l %T@\n' | sort)
run reconfigure $change_args "$TMP/bad.lua"
status=$?
check "an error ends with 1" [ $status = 1 ]
check "it names file and line" grep -q 'bad.lua:[0-9]*: ' "$TMP/err"
check "and the near miss" grep -q "did you mean 'host_name'" "$TMP/err"
after=$(find "$R/var/guix/profiles" "$R/etc" "$R/boot" ! -name system.lock -printf '%p %l %T@\n' | sort)
check "it changes nothing" [ "$before" = "$after" ]

# What goes back needs only what is stored: no evaluator, no database.
mv "$R/var/guix/db" "$TMP/db"
check "roll-back without a database" run roll-back --target-root "$R"
check "what is not the good one is on trial" [ "$(env cairn_good) $(env cairn_try) $(env cairn_left)" = "2 1 3" ]
mv "$TMP/db" "$R/var/guix/db"
check "plan of the way back" has 'stop hello'
check "generation 1 is current" [ "$(readlink "$R/var/guix/profiles/system")" = system-1-link ]
check "menu starts generation 1 again" grep -q "default='gen-1'" "$R/boot/grub/grub.cfg"
check "menu still lists both" [ "$(grep -c ^menuentry "$R/boot/grub/grub.cfg")" = 2 ]
run roll-back --target-root "$R"
status=$?
check "there is nothing before the first" [ $status = 1 ]
check "switch-generation" run switch-generation --target-root "$R" +1
check "the good one is not" [ "$(env cairn_try)" = 1 ]
check "generation 2 is current" [ "$(readlink "$R/var/guix/profiles/system")" = system-2-link ]
run switch-generation --target-root "$R" 7
status=$?
check "a missing generation is an error" [ $status = 1 ]
run switch-generation --target-root "$R" -2
status=$?
check "and one too far back" [ $status = 1 ]
check "is named" grep -q 'no generation 2 before the current one (2)' "$TMP/err"

check "list-generations" run list-generations --target-root "$R"
check "says which is current" grep -q '^generation 2 .* current' "$TMP/out"
check "describe as JSON" run describe --json --target-root "$R"
check "with the host name" has '"host_name":"stone"'

# ---- Items of the current generation disappear: the way out of it is open, the way into it is not
part() { echo "$R$(readlink "$R$(readlink "$R/var/guix/profiles/system-2-link")/$1")"; }
for piece in services etc; do
	item=$(part $piece)
	mv "$item" "$TMP/gone"
	check "away from a generation without $piece" run switch-generation --target-root "$R" --boot 1
	run switch-generation --target-root "$R" --boot 2
	status=$?
	check "not into it: status $status" [ $status != 0 ]
	check "what is missing is named" grep -q "is not a complete system: $piece" "$TMP/err"
	check "generation 1 stays" [ "$(readlink "$R/var/guix/profiles/system")" = system-1-link ]
	check "and so does its menu" grep -q "default='gen-1'" "$R/boot/grub/grub.cfg"
	mv "$TMP/gone" "$item"
	check "into it when it is back" run switch-generation --target-root "$R" --boot 2
done
set=$(part services)/set
chmod u+w "$set" && cp -p "$set" "$TMP/set" && echo nonsense >>"$set"
check "away from a set that nobody can read" run switch-generation --boot --target-root "$R" 1
check "what it is is not known" has 'not known'
run switch-generation --boot --target-root "$R" 2
status=$?
check "nobody goes there" [ $status = 1 ]
cp -p "$TMP/set" "$set" && chmod u-w "$set"
check "until it is mended" run switch-generation --boot --target-root "$R" 2

run delete-generations --target-root "$R" 2
status=$?
check "SYS-08 the current generation cannot be deleted" [ $status = 3 ]
check "delete-generations" run delete-generations --target-root "$R" 1
check "its link is gone" [ ! -L "$R/var/guix/profiles/system-1-link" ]
check "and its menu entry" [ "$(grep -c ^menuentry "$R/boot/grub/grub.cfg")" = 1 ]

# ---- What stays, what goes, what is damaged
for name in one ann two; do run boot --quiet $change_args "$TMP/$name.lua"; done
check "three more: 3 to 5" [ "$(readlink "$R/var/guix/profiles/system") $(env cairn_good)" = "system-5-link 2" ]
ends() { # STATUS COMMAND...
	want=$1
	shift
	run "$@"
	status=$?
	[ $status = "$want" ]
}
touch -h -d '3 days ago' "$R/var/guix/profiles/system-3-link"
mkdir -p "$R/run" && ln -sfn "$(readlink "$R/var/guix/profiles/system-3-link")" "$R/run/booted-system"
made=$(stat -c %Y "$R/var/guix/profiles/system-3-link")
touch -h -d @1 "$R/var/guix/profiles/system-3-link"
check "what came with an image" run list-generations --target-root "$R"
check "has no date" grep -q '^generation 3  (with the image)  booted' "$TMP/out"
run describe --json --target-root "$R" 3
is "nor as JSON" "$(field date)" null
touch -h -d "@$made" "$R/var/guix/profiles/system-3-link"
old_label=$(printf '%s' "it's \"old\" \\ {;} \$x")
check "BOOT-08 a label of one's own" run label --target-root "$R" 3 "$old_label"
check "GRUB can read the menu" grub-script-check "$R/boot/grub/grub.cfg"
eval "set -- $(sed -n "s/^menuentry \(.*\) --id 'gen-3' {$/\1/p" "$R/boot/grub/grub.cfg")"
check "it is what the menu says" [ "${1#*: }" = "$old_label" ]
run list-generations --json --target-root "$R" 2d
is "and the list, by age" "$(field 0.generation)$(field 0.label)" "3$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$old_label")"
check "BOOT-08 one that would be two lines" ends 1 label --target-root "$R" 3 "$(printf 'a\nmenuentry b {')"
check "and one of 201 bytes are refused" ends 1 label --target-root "$R" 3 "$(printf %201d 1)"
check "they change nothing" run describe --json --target-root "$R" 3
is "the label is the one before" "$(field label)" "$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$old_label")"
check "SYS-08 the booted one cannot be deleted by number" ends 3 delete-generations --target-root "$R" 3
check "one that is not there is an error" ends 1 delete-generations --target-root "$R" 4,9
check "is named" grep -q 'there is no generation 9' "$TMP/err"
check "before any goes" [ -L "$R/var/guix/profiles/system-4-link" ]
check "a range has those that are there" ends 0 delete-generations --target-root "$R" 6..9
check "SYS-08 nor in a range" ends 3 delete-generations --target-root "$R" 2..4
check "SYS-08 by age it stays" ends 0 delete-generations --json --target-root "$R" 2d
is "which is said" "$(field deleted) $(field kept.0.generation) $(field kept.0.why)" '[] 3 "the one that runs"'
check "SYS-08 a collection of all that is old leaves what is needed" ends 0 gc --dry-run --json --root "$TMP/machine" --target-root "$R" --keep 0
is "the booted, the good, the current and the one before it" "$(field deleted)" "[]"
rm "$R/run/booted-system"
active=$(readlink "$R/run/current-system")
ln -sfn "$(readlink "$R/var/guix/profiles/system-3-link")" "$R/run/current-system"
check "SYS-08 the active one cannot be deleted" ends 3 delete-generations --target-root "$R" 3
check "which is said" grep -q 'generation 3 is the active one' "$TMP/err"
check "SYS-08 nor collected" ends 0 gc --dry-run --json --target-root "$R" --keep 0
is "it stays" "$(field deleted)" "[]"
ln -sfn "$active" "$R/run/current-system"
check "now the old one could go" ends 0 delete-generations --dry-run --target-root "$R" 2d
check "as is said" has 'would delete generation 3'
made=$(stat -c %Y "$R/var/guix/profiles/system-3-link")
touch -h -d @1 "$R/var/guix/profiles/system-3-link"
check "one that came with an image has no age" ends 0 delete-generations --dry-run --json --target-root "$R" 2d
is "so it stays" "$(field deleted)" "[]"
check "in a collection, too" ends 0 gc --dry-run --json --target-root "$R" --keep 0 --keep-days 2
is "by age" "$(field deleted)" "[]"
check "but not by number" ends 0 gc --dry-run --json --target-root "$R" --keep 0
is "which lets it go" "$(field deleted.0.generation)" 3
touch -h -d "@$made" "$R/var/guix/profiles/system-3-link"
check "pinned" ends 0 pin --target-root "$R" 3
check "it stays" ends 3 delete-generations --target-root "$R" 3
is "status says so" "$(json pinned)" "[3]"
check "for a collection, too" ends 0 gc --dry-run --json --target-root "$R" --keep 0
is "nothing else may go" "$(field deleted)" "[]"
cp "$R/var/guix/profiles/system.notes" "$TMP/notes"
echo nonsense >>"$R/var/guix/profiles/system.notes"
check "notes that cannot be read" ends 1 gc --target-root "$R" --keep 0
check "delete nothing" [ -L "$R/var/guix/profiles/system-3-link" ]
check "and hinder no switch" ends 0 boot --quiet $change_args "$TMP/two.lua"
cp "$TMP/notes" "$R/var/guix/profiles/system.notes"
check "no longer pinned" ends 0 unpin --json --target-root "$R" 3
is "is said" "$(field pinned)" false
check "young ones stay" ends 0 gc --dry-run --json --target-root "$R" --keep 0 --keep-days 9
is "so nothing goes" "$(field deleted)" "[]"
if gcc -shared -fPIC -O1 -o "$TMP/clock.so" "$SRC/tests/cmd/clock.c" && gcc -shared -fPIC -O1 -o "$TMP/faults.so" "$SRC/tests/cmd/faults.c" &&
	grep -q ld-linux "$CAIRN" && LD_PRELOAD="$TMP/clock.so" "$CAIRN" --version >/dev/null 2>&1; then
	# A clock of the year 2077, which makes all of them old.
	late() { LD_PRELOAD=$TMP/clock.so CLOCK_SHIFT=$((3400000000 - $(date +%s))) "$@"; }
	machine() { find "$R/var/guix/profiles" "$R/boot" ! -name system.lock ! -name .mark -printf '%p %l\n' | sort; }
	before=$(machine)
	check "SYS-08 a collection by age when the clock cannot be right" late ends 3 gc --target-root "$R" --keep 0 --keep-days 2
	check "says so" grep -q 'the clock stands at 34000000[0-9]* .*: nothing is deleted \[set the clock\]' "$TMP/err"
	check "nor is it planned" late ends 3 gc --dry-run --target-root "$R" --keep-days 2
	check "SYS-08 a collection by number" late ends 3 gc --target-root "$R" --keep 0
	check "SYS-08 generations by age" late ends 3 delete-generations --target-root "$R" 2d
	is "SYS-08 nothing is deleted" "$(machine)" "$before"
	cp -a "$R" "$TMP/kept"
	failing() { # NUMBER STATUS: what is written to the database fails that time
		rm -rf "$R" && cp -a "$TMP/kept" "$R" && head -c 8 /dev/zero >"$TMP/count"
		LD_PRELOAD=$TMP/faults.so FAULT=EIO FAULT_AT=$1 FAULT_BELOW=$R/var/guix/db FAULT_COUNT=$TMP/count ends "$2" gc --target-root "$R" --keep 0
	}
	check "a collection" failing 0 0
	check "SYS-08 one whose disk fails at the end ends in part" failing "$(od -An -tu8 "$TMP/count" | tr -d ' ')" 4
	check "says what went" grep -q "^deleted generation 3	" "$TMP/out"
	check "which is true" [ ! -L "$R/var/guix/profiles/system-3-link" ]
	check "and what did not" grep -q "1 generation is deleted, but: .*Input/output error" "$TMP/err"
	rm -rf "$R" && mv "$TMP/kept" "$R"
fi
# What goes has a file of its own, one that goes with its second name, and one whose other name stays.
head -c 300000 /dev/urandom >"$TMP/own"
head -c 200000 /dev/urandom >"$TMP/both"
head -c 500000 /dev/urandom >"$TMP/stays"
garbage() { # NAME FILE...
	mkdir -p "$TMP/garbage/$1"
	name=$1
	shift
	(cd "$TMP" && cp "$@" "garbage/$name/") || return 1
	(cd "$TMP/garbage" && "$CAIRN" build --root "$R" --modules "$TMP/world" -e "source(\"$name\", { name = \"$name\" })") >"$TMP/out" 2>"$TMP/err"
}
check "an item with a file of its own" garbage first own both
check "another with one that it shares with the first" garbage second both stays
check "and one that stays" garbage third stays
ln -s "$(cat "$TMP/out")" "$R/var/guix/gcroots/third"
check "equal files are one" "$CAIRN" store optimise --root "$R"
check "what a collection would delete" ends 0 gc --dry-run --json --target-root "$R" --keep-days 2
would=$(field items) bytes=$(field bytes)
is "is the old one" "$(field deleted.0.generation)" 3
check "collection" ends 0 gc --json --target-root "$R" --keep-days 2
is "has collected just that" "$(field deleted.0.generation) $(field items)" "3 $would"
check "something, that is" [ "$would" -gt 1 ]
freed=$(field bytes)
check "it frees what was said, $freed of $bytes bytes, within a hundredth" [ $((freed > bytes ? freed - bytes : bytes - freed)) -le $((freed / 100)) ]
check "both files that nobody has any more are among it" [ "$freed" -ge 500000 ]
check "neither in the menu" [ "$(grep -c "gen-3" "$R/boot/grub/grub.cfg")" = 0 ]
check "nor in the store" [ ! -e "$R$one" ]
check "nor in the notes" sh -c '! grep -q "generation 3" "$0/var/guix/profiles/system.notes"' "$R"
check "SYS-04 a generation that is whole" ends 0 verify --target-root "$R"
set=$(part services)/set
chmod u+w "$set" && cp -p "$set" "$TMP/set" && echo "# x" >>"$set"
check "SYS-04 one that is not" ends 65 verify --json --target-root "$R"
item=${set#"$R"}
is "what it is" "$(field faults.0.path)$(field faults.0.why)" "\"${item%/set}\"\"was modified\""
cp -p "$TMP/set" "$set" && chmod u-w "$set"
kernel=$(ls "$R"/boot/cairn/*/*-kernel)
mv "$kernel" "$TMP/kernel"
check "SYS-04 a kernel that the boot loader misses" ends 65 verify --target-root "$R"
check "is named" grep -qF "$kernel: " "$TMP/out"
mv "$TMP/kernel" "$kernel"
check "whole again" ends 0 verify --json --target-root "$R" 2
is "all of it was looked at" "$(field faults)" "[]"
for old in 4 5; do run switch-generation --boot --target-root "$R" 2 && run delete-generations --target-root "$R" $old; done

# ---- Entries that are no generation: what was written is what GRUB, whose quoting is the shell's, reads
title=$(printf '%s' "it's \"\$x\" \\ {;}")
text=$title awk '{ sub("timeout = 1", "terminal_inputs = { \"serial_1\" }, terminal_outputs = { \"console\", \"serial\" }, default = [[" ENVIRON["text"] "]], entries = { { title = [[" ENVIRON["text"] \
	"]], device = \"LABEL=a b\", chain = \"/EFI/x y.efi\" } }") } 1' "$TMP/two.lua" >"$TMP/three.lua"
check "reconfigure with an entry" run reconfigure $change_args "$TMP/three.lua"
cfg=$R/boot/grub/grub.cfg
check "GRUB can read that menu" grub-script-check "$cfg"
is "with its terminals" "$(grep -c '^if serial --unit=[01] ' "$cfg") $(grep -c 'terminal_input --append serial_com1$' "$cfg")$(grep -c 'terminal_output --append serial_com0$' "$cfg")" "2 11"
eval "set -- $(sed -n "s/^menuentry \(.*--id 'extra-0'\) {$/\1/p" "$cfg")"
is "title" "$1" "$title"
eval "set -- $(sed -n 's/^	search .* --label --set=root //p' "$cfg")"
is "device" "$1" "a b"
eval "set -- $(sed -n 's/^	chainloader //p' "$cfg")"
is "file" "$1" "/EFI/x y.efi"
check "it is the default" [ "$(sed -n 's/^set default=//p' "$cfg" | tail -n 1)" = "'extra-0'" ]
check "the generation is known all the same" sh -c '"$CAIRN" system status --json --target-root "$0" | grep -q "\"default\":3,"' "$R"

# ---- The profile's directory cannot be read to its end; a generation that the profile names is not there
listing() { # CALL: that one of those that list the directory fails
	strace -o "$TMP/trace" -P "$R/var/guix/profiles" -e trace=getdents64 -e inject=getdents64:error=EIO:when="$1" \
		"$CAIRN" system list-generations --target-root "$R" >"$TMP/out" 2>"$TMP/err"
	echo $?
}
for call in 1 2; do
	is "a list that ends too early is none ($call)" "$(listing $call) $(wc -c <"$TMP/out")" "3 0"
	check "it is said ($call)" grep -q "profiles: Input/output error" "$TMP/err"
done
now=$(readlink "$R/var/guix/profiles/system")
mv "$R/var/guix/profiles/$now" "$TMP/lost-link"
run switch-generation --dry-run --target-root "$R" 2
check "without the generation that the profile names: no crash" [ $? -lt 128 ]
mv "$TMP/lost-link" "$R/var/guix/profiles/$now"

# ---- Without a boot loader: boots are counted where stage 1 has made the environment block
R=$TMP/direct
change_args="--root $TMP/machine --modules $TMP/world --target-root $R"
mkdir -p "$R/run" && ln -s "$TMP/machine/gnu" "$R/gnu"
for name in one two; do
	sed 's/type = "grub", timeout = 1, serial = true/type = "none"/' "$TMP/$name.lua" >"$TMP/direct-$name.lua"
done
check "a machine without a boot loader" run reconfigure $change_args "$TMP/direct-one.lua"
check "has no menu" [ ! -e "$R/boot/grub/grub.cfg" ]
boots 1
check "its gate" timeout 60 "$CAIRN" system mark-good --hold 80000 --target-root "$R"
check "has nothing to tell" [ ! -e "$R/boot/grub/grubenv" ]
check "its status" run status --target-root "$R"
check "says so" grep -qx 'boot loader  none: boots are not counted' "$TMP/out"
mkdir -p "$R/boot/grub" && grub-editenv "$R/boot/grub/grubenv" create && counted 1 2
check "the gate when boots are counted" run mark-good --target-root "$R"
check "tells" [ "$(env cairn_good) $(env cairn_try)" = "1 " ]
check "a switch" run reconfigure $change_args "$TMP/direct-two.lua"
check "begins a trial" [ "$(env cairn_try) $(env cairn_left)" = "2 3" ]
counted 2 0
check "its status" run status --target-root "$R"
check "says what the profile names" grep -qx 'default      generation 2' "$TMP/out"
check "and what starts" grep -qx 'next boot    generation 1' "$TMP/out"
check "as JSON" [ "$(json boot_loader) $(json fell_back) $(json default) $(json next) $(json good) $(json trial) $(json tries_left)" = "none True 2 1 1 2 0" ]

finish
