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
dd if=/dev/zero of="$R/boot/grub/grubenv" bs=1024 count=1 conv=notrunc 2>/dev/null
rm "$R/boot/grub/grubenv"
check "without a block the default starts" starts 2 -

finish
