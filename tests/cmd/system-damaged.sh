#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Generations of which something is lost: the others can be switched to, and whoever loses by it is told.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
run() { "$CAIRN" system "$@" >"$TMP/out" 2>"$TMP/err"; }
P=$R/var/guix/profiles
item() { readlink "$P/system-$1-link"; }
current() { readlink "$P/system"; }
menu() { sed -n "s/^menuentry .* --id 'gen-\([0-9]*\)' {$/\1/p" "$R/boot/grub/grub.cfg" | tr '\n' ' '; }
starts() { sed -n "s/^set default='gen-\([0-9]*\)'$/\1/p" "$R/boot/grub/grub.cfg"; }
env() { sed -n "s/^cairn_$1=//p" "$R/boot/grub/grubenv"; }
boots() { ln -sfn "$(item "$1")" "$R/run/booted-system"; }
status() { run status --json --target-root "$R" && python3 -c '
import json, sys
x = json.load(open(sys.argv[1]))
print(*(x[k] for k in sys.argv[2:]))' "$TMP/out" "$@"; }
says() { grep -qF -- "$1" "$TMP/err"; }
silent() { ! grep -q warning "$TMP/err"; }
lose() { chmod u+w "${1%/*}" && mv "$1" "$TMP/lost"; }
mend() { mv "$TMP/lost" "$1"; }
mkdir "$R/run"
for name in one two three four; do
	sed "s/host_name = \"cairn\"/host_name = \"$name\"/" "$SRC/examples/minimal.lua" >"$TMP/$name.lua"
done
reconfigure() { run reconfigure --quiet --root "$R" --modules "$W" --target-root "$R" "$TMP/$1.lua"; }
for name in one two three; do check "reconfigure $name" reconfigure $name; done

# ---- An old one, that nobody needs
own=/gnu/store/0000000000000000000000000000000a-initrd
mkdir "$R$own" && (cat "$R$(readlink "$R$(item 1)/initrd")" && echo x) >"$R$own/initrd"
chmod u+w "$R$(item 1)/boot/entry" && sed -i "s|^initrd .*|initrd $own/initrd|" "$R$(item 1)/boot/entry"
check "a generation with an initramfs of its own" run switch-generation --target-root "$R" 3
is "all are in the menu" "$(menu)" "3 2 1 "
check "nobody warns" silent
lose "$R$own/initrd"
check "without that: to another one" run switch-generation --target-root "$R" 2
check "which one is out of the menu, and why" says "warning: generation 1 cannot be booted: $R$own/initrd: No such file"
check "what can be done" says "cairn system delete-generations 1"
is "the menu has the others" "$(menu)$(starts)" "3 2 2"
check "forward" run switch-generation --target-root "$R" 3
check "roll-back" run roll-back --target-root "$R"
check "reconfigure" reconfigure four
check "label" run label --target-root "$R" 2 second
is "are all done" "$(current) $(menu)$(starts)" "system-4-link 4 3 2 4"
run switch-generation --target-root "$R" 1
status=$?
is "into it nobody gets" "$status $(current)" "1 system-4-link"
check "as it cannot be booted" says "generation 1 cannot be booted"
check "a dry run warns, too" run switch-generation --dry-run --target-root "$R" 3
check "of the same" says "warning: generation 1 cannot be booted"
mend "$R$own/initrd"
check "mended" run switch-generation --target-root "$R" 2
is "it is in the menu again" "$(menu)" "4 3 2 1 "
check "and nobody warns" silent
mv "$R$own/initrd" "$TMP/lost" && mkdir "$R$own/initrd"
check "a directory is no initramfs" run switch-generation --target-root "$R" 3
is "it is out again" "$(menu)" "4 3 2 "
check "deleting another one" run delete-generations --target-root "$R" 4
check "warns" says "warning: generation 1 cannot be booted"
check "deleting it" run delete-generations --target-root "$R" 1
check "does not" silent

# ---- The current one, while a switch away from it was cut off after its note
note() { printf '[switch]\nfrom = %s\nto = %s\nfresh = no\npath = %s\n' "$1" "$2" "$(item "$2")" >"$P/system.switch"; }
lose "$R$(item 3)/boot/entry"
note 3 2
check "what writes no menu" run pin --target-root "$R" 2
check "ends that" says "an interrupted switch was undone: generation 3 is the current one"
is "nothing is changed" "$(current) $(starts)" "system-3-link 3"
for command in "switch-generation 2" roll-back; do
	note 3 2
	check "the way out is open: $command" run $command --target-root "$R"
	is "it leads to another one" "$(starts) $(current) $(ls "$P" | grep -c switch)" "2 system-2-link 0"
	mend "$R$(item 3)/boot/entry"
	run switch-generation --target-root "$R" 3
	lose "$R$(item 3)/boot/entry"
done
mend "$R$(item 3)/boot/entry"

# ---- At the boot after a cut, where the menu may be on a file system that is mounted after activation
ln -sfn "$(item 3)" "$R/run/current-system"
note 3 2
mv "$R/boot/grub" "$TMP/grub" && : >"$R/boot/grub"
check "without the menu's place the boot goes on" run activate --directories --target-root "$R"
check "with a word" says "while ending the interrupted switch to generation 2"
rm "$R/boot/grub" && mv "$TMP/grub" "$R/boot/grub"
check "and what is done when all is mounted" run activate --directories --target-root "$R"
is "ends the switch" "$(starts) $(current) $(ls "$P" | grep -c switch)" "3 system-3-link 0"

# ---- The one to fall back to
boots 2
check "2 is good" run mark-good --target-root "$R"
lose "$R$(item 2)/boot/entry"
check "a switch while that is damaged" reconfigure four
is "it is not in the menu" "$(menu)" "4 3 "
check "which is said" says "warning: generation 2 cannot be booted"
check "with what follows from it" says "the machine does not fall back"
grub-editenv "$R/boot/grub/grubenv" set cairn_try=4 cairn_left=0
is "nor does status say so" "$(status default next good falls_back fell_back)" "4 4 2 False False"
run status --target-root "$R"
check "but that it cannot" grep -qx 'last good    generation 2, which is not in the menu' "$TMP/out"
mend "$R$(item 2)/boot/entry"
check "mended, with the next menu" run label --target-root "$R" 2 second
grub-editenv "$R/boot/grub/grubenv" set cairn_try=4 cairn_left=0
is "it falls back again" "$(menu)$(status default next good falls_back fell_back)" "4 3 2 4 2 2 True True"
finish
