#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Boot counting as GRUB does it. Its language is close enough to the shell's for the menu of a scratch machine to
# be run here: `set` assigns, menuentry notes its block, load_env and save_env are grub-editenv's. What is shown is which
# generation each boot starts, and with which word on the kernel's command line. tests/vm/fallback.test has GRUB itself.
set -u
. "$SRC/tests/tap.inc"
: >"$TMP/err"
missing= # generation whose kernel cannot be read
. "$SRC/tests/cmd/world.inc"
mkdir "$R/run"
cairn() { "$CAIRN" system "$@" --target-root "$R" >"$TMP/out" 2>"$TMP/err"; }
reconfigure() { # HOST NAME
	sed "s/host_name = \"cairn\"/host_name = \"$1\"/" "$SRC/examples/minimal.lua" >"$TMP/$1.lua"
	cairn reconfigure --root "$R" --modules "$TMP/world" "$TMP/$1.lua"
}
env() { sed -n "s/^cairn_$1=//p" "$R/boot/grub/grubenv"; }
boots() { ln -sfn "$(readlink "$R/var/guix/profiles/system-$1-link")" "$R/run/booted-system"; }

# The menu in the shell's words. What it has between single quotes (kernel paths, titles) has no word of GRUB's language.
translate() {
	sed -e 's/^\(.*[[:space:]]\)*set \([a-z_]*=\)/\1\2/' -e 's/^\(\t*\)set \([a-z_]*=\)/\1\2/' -e 's/then set /then /' \
		-e "s/^menuentry \(.*\) --id 'gen-\([0-9]*\)' {$/ids+=(gen-\2); entry_\2() {/" "$R/boot/grub/grub.cfg"
}

# boot [ENTRY]: prints what starts: "GENERATION WORD"
boot() (
	set +u # to GRUB, too, a variable without a value is an empty one
	prefix=$R/boot/grub ids=() started=
	serial() { false; }
	terminal_input() { :; }
	terminal_output() { :; }
	load_env() {
		local v
		shift 2
		for v in "$@"; do
			eval "$v=\$(env \${v#cairn_})"
		done
	}
	save_env() {
		local file=$2 v
		shift 2
		for v in "$@"; do
			grub-editenv "$file" set "$v=${!v}"
		done
	}
	linux() { word=${*: -1}; [ "$missing" = "$id" ] || started=$id; }
	initrd() { :; }
	unset "${!cairn_@}"
	fallback=
	eval "$(translate)"
	start() {
		id=$1
		"entry_${id#gen-}"
	}
	case ${1:-$default} in
	gen-*) start "${1:-$default}" ;;
	*) start "${ids[$default]}" ;;
	esac
	[ -n "$started" ] || [ -z "$fallback" ] || start "${ids[$fallback]}"
	case $word in
	cairn.trial=*) ;;
	*) word=- ;;
	esac
	echo "${started:-nothing} $word"
)
starts() { # GENERATION WORD [ENTRY]
	got=$(boot ${3:+"$3"} 2>"$TMP/err")
	[ "$got" = "gen-$1 $2" ] || { echo "starts $got" >>"$TMP/err" && false; }
}

reconfigure one
check "the menu is GRUB's language" grub-script-check "$R/boot/grub/grub.cfg"
for i in 1 2 3 4 5; do
	check "boot $i without anything to go back to: no word" starts 1 -
done
boots 1
cairn mark-good
check "the first generation is good" [ "$(env good) $(env try)$(env left)" = "1 " ]
for i in 1 2 3 4 5; do
	check "power cut $i does not count" starts 1 -
done

reconfigure two
check "first try" starts 2 cairn.trial=2
check "second try" starts 2 cairn.trial=1
check "third try" starts 2 cairn.trial=0
check "the good one" starts 1 -
check "stays" starts 1 -
check "the failed one can be tried by hand" starts 2 cairn.trial=0 gen-2
boots 1
cairn mark-good
check "a gate that opens does not hide what happened" [ "$(env good) $(env try) $(env left)" = "1 2 0" ]
cairn switch-generation 2
check "asked for again, it gets new tries" starts 2 cairn.trial=2
boots 2
cairn mark-good
check "and comes up" starts 2 -

reconfigure three
check "two tries are lost to power cuts" starts 3 cairn.trial=2
check "two tries are lost to power cuts" starts 3 cairn.trial=1
reconfigure three
check "the same configuration once more gives no new ones" [ "$(env try) $(env left)" = "3 1" ]
boots 3
cairn mark-good
check "the third is enough" starts 3 -
cairn roll-back
check "the way back is a trial, too" starts 2 cairn.trial=2
check "an old generation picked by hand is none" starts 1 - gen-1
check "that does not disturb the trial" starts 2 cairn.trial=1
missing=gen-2
check "a kernel that cannot be read: the good one, at once" starts 3 -
missing=gen-1
check "the same for one picked by hand" starts 3 - gen-1
missing=
check "the failed load was a try" starts 3 -

# The block does not say what it should: lost, or of a switch that was cut off.
grub-editenv "$R/boot/grub/grubenv" unset cairn_try unset cairn_left
check "a default that is not the good one is on trial, written or not" starts 2 cairn.trial=2
check "and counted" [ "$(env try) $(env left)" = "2 2" ]
grub-editenv "$R/boot/grub/grubenv" set cairn_left=junk
check "nonsense is no try" starts 2 cairn.trial=0
check "and ends" starts 3 -
grub-editenv "$R/boot/grub/grubenv" set cairn_good=77
check "a good one that is not there is none" starts 2 -
rm "$R/boot/grub/grubenv"
check "without a block the default starts" starts 2 -

# A block that is none: it counts as nothing, whatever is done, and is made anew by what writes it.
empty() { : >"$R/boot/grub/grubenv"; }
zeros() { head -c 1024 /dev/zero >"$R/boot/grub/grubenv"; }
garbage() { yes garbage | head -c 1024 >"$R/boot/grub/grubenv"; }
try() { check "$damage: $*" cairn "$@"; }
for damage in empty zeros garbage; do
	$damage
	try status
	check "$damage: is told, with what mends it" grep -q "grubenv.*mark-good.*makes it anew" "$TMP/err"
	try status --json
	try list-generations
	try gc --dry-run --root "$R"
	try delete-generations --dry-run
	check "$damage: and nothing of this changed it" sh -c '! grub-editenv "$0" list >/dev/null 2>&1' "$R/boot/grub/grubenv"
	try switch-generation 3
	check "$damage: made anew" [ "$(env good) $(env try) $(env left)" = " 3 3" ]
	$damage
	try roll-back
	$damage
	try switch-generation 2
	$damage
	boots 2
	try mark-good
	check "$damage: the gate makes it, too" [ "$(env good)$(env try)" = 2 ]
	try status
	check "$damage: nothing is told any more" [ ! -s "$TMP/err" ]
done
garbage
check "a generation goes" cairn delete-generations 1

finish
