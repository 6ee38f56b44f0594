#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The type of the boot loader changes by reconfigurations, and back by roll-back: each switch writes what the loader of the
# generation reads, and leaves what other loaders read as it was, whole.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
esp=$R/boot/efi/EFI
mkdir -p "$esp/BOOT"
echo "another program" >"$esp/BOOT/BOOTX64.EFI"
run() {
	command=$1
	shift
	"$CAIRN" system "$command" --target-root "$R" "$@" >"$TMP/out" 2>"$TMP/err"
}
become() { run reconfigure --root "$R" --modules "$TMP/world" "$TMP/$1.lua"; }
warned() { grep -qx "warning: the boot loader of generation [0-9]* is '$1', but '$2' started this machine: .*" "$TMP/err"; }
# The loader that the machine was started by, the current generation, and what that loader starts next.
told() { run status --json && python3 -c 'import json, sys
s = json.load(open(sys.argv[1]))
print(s["boot_loader"], s["current"], s["default"])' "$TMP/out"; }

grub() { sed -n "s/^set default='gen-\([0-9]*\)'/\1/p" "$R/boot/grub/grub.cfg" | head -n 1; }
# The newer one of its two files.
menu() { set -- $(sed -n 's/^slot \([0-9]*\) .*/\1/p' "$esp/cairn/menu" 2>/dev/null) 0
	two=$(sed -n 's/^slot \([0-9]*\) .*/\1/p' "$esp/cairn/menu.2" 2>/dev/null)
	[ "${two:-0}" -gt "$1" ] && echo "$esp/cairn/menu.2" || echo "$esp/cairn/menu"; }
efi() { sed -n 's/^default //p' "$(menu)"; }
extlinux() { sed -n 's/^DEFAULT gen-//p' "$R/boot/extlinux/extlinux.conf"; }
state() { echo "$(grub) $(efi 2>/dev/null) $(extlinux 2>/dev/null)"; }
# What a text names is there.
whole() (
	cd "$esp/cairn" && set -- $(sed -n 's/^\(kernel\|initrd\) //p' "$(menu)") && ls "$@" >/dev/null &&
		{ [ ! -e "$R/boot/extlinux" ] || { cd "$R/boot/extlinux" && set -- $(sed -n 's/^\t\(LINUX\|INITRD\) //p' extlinux.conf) && ls "$@" >/dev/null; }; }
)
ours() { grep -qa 'cairn-menu 1' "$esp/BOOT/BOOTX64.EFI"; }
before() { is "another program is kept" "$(cat "$esp/BOOT/BOOTX64.EFI.saved")" "another program"; }
trial() { sed -n 's/^cairn_try=//p' "$1/grubenv"; }

cp "$SRC/examples/minimal.lua" "$TMP/grub.lua"
sed -e 's|type = "grub", timeout = 1, serial = true|type = "efi"|' \
	-e 's|{ mount_point = "/tmp"|{ device = "LABEL=ESP", mount_point = "/boot/efi", type = "vfat" },\n\t\t&|' "$TMP/grub.lua" >"$TMP/efi.lua"
sed 's|type = "efi"|type = "extlinux"|' "$TMP/efi.lua" >"$TMP/extlinux.lua"

check "a machine with GRUB" become grub
# A machine goes back to older generations, and their programs read boot/menu of newer ones: they refuse a key that they do not know,
# and then nothing can be switched or deleted any more. What is new belongs into another file of boot/, not into this list.
known='\[menu\] loader directory timeout hidden serial serial-unit serial-speed terminal-inputs terminal-outputs default
	\[entry\] title device chain kernel initrd parameters'
old_can_read() { [ -s "$1/boot/menu" ] && ! sed 's/ = .*//; /^$/d' "$1/boot/menu" | grep -vx "$(printf '%s\n' $known)"; }
fields='terminal_inputs = { "console" }, terminal_outputs = { "serial" }, default = "y", entries = {
	{ title = "x", device = "LABEL=x", chain = "/c" }, { title = "y", kernel = "/k", initrd = "/i", parameters = "p" } },'
for kind in grub efi extlinux; do
	sed 's/type = "grub", timeout = 1,/type = "grub",/; s/bootloader = {/& timeout = -1,/' "$TMP/$kind.lua" >"$TMP/wait.lua"
	[ $kind != grub ] || TEXT=$fields awk '{ at = index($0, "bootloader = {") }
		at { at += 13; $0 = substr($0, 1, at) ENVIRON["TEXT"] substr($0, at + 1) } 1' "$TMP/wait.lua" >"$TMP/all.lua"
	[ $kind != grub ] || mv "$TMP/all.lua" "$TMP/wait.lua"
	"$CAIRN" system build --physical --root "$R" --modules "$TMP/world" --quiet "$TMP/wait.lua" >"$TMP/out" 2>"$TMP/err"
	check "one of $kind that waits" grep -qx 'timeout = 86400' "$(cat "$TMP/out")/boot/menu"
	check "older programs can read it" old_can_read "$(cat "$TMP/out")"
	"$CAIRN" system diff --root "$R" --modules "$TMP/world" "$TMP/$kind.lua" "$TMP/wait.lua" >"$TMP/diff" 2>"$TMP/err"
	check "a difference of $kind says it as the configuration does" grep -q 'menu timeout .*-> -1$' "$TMP/diff"
done
ln -s "$(readlink "$R/var/guix/profiles/system-1-link")" "$R/run/booted-system"
is "its menu" "$(state)" "1  "
is "status" "$(told)" "grub 1 1"
check "to the program on the EFI system partition" become efi
check "the plan says so" grep -q 'grub -> efi' "$TMP/out"
check "and where that one's menu is" grep -q 'menu partition .*LABEL=ESP' "$TMP/out"
check "a warning says what else is to be done" warned efi grub
is "its menu has both generations; that of GRUB is as it was" "$(state) $(grep -c ^entry "$(menu)")" "1 2  2"
check "the program is there" ours
before
is "the trial is written where that program counts" "$(trial "$esp/cairn")" 2
check "its files are there" whole
check "to extlinux" become extlinux
is "the other menus are as they were" "$(state)" "1 2 3"
check "all that they name is there" whole
is "status says what runs, and what its loader starts" "$(told)" "grub 3 1"

check "back to generation 2" run roll-back
is "the menu of its loader is new" "$(state) $(grep -c ^entry "$(menu)")" "1 2 3 3"
check "what its loader has is whole" run verify
kernel=$(ls "$esp"/cairn/*-kernel)
cp "$kernel" "$TMP/kernel" && echo x >>"$kernel"
no_more() { ! run verify && grep -qF "$kernel: is not what the generations say" "$TMP/out"; }
check "and no more when a kernel is changed" no_more
cp "$TMP/kernel" "$kernel"
mv "$R/run/booted-system" "$TMP/booted-system"
run status
check "how full its partition is" grep -q "^boot files  *$R/boot/efi, .* used, .* free" "$TMP/out"
mv "$TMP/booted-system" "$R/run/booted-system"
check "back to generation 1" run roll-back
check "without a warning: that loader started the machine" [ "$(grep -c ^warning "$TMP/err")" = 0 ]
check "the plan says so" grep -q 'efi -> grub' "$TMP/out"
is "only GRUB's menu is new" "$(state) $(grep -c "^menuentry.*--id 'gen-" "$R/boot/grub/grub.cfg")" "1 2 3 3"
check "the program stays: firmware starts it until another one has its name" ours
before
check "all that is named is there" whole
check "forward to 2" run switch-generation 2
is "the menu of its loader is the default's" "$(efi)" 2
before
ln -sfn "$(readlink "$R/var/guix/profiles/system-2-link")" "$R/run/booted-system"
is "once it was started by that loader" "$(told)" "efi 2 2"
check "back to 1 from there" run roll-back
check "a warning says that more is to be done" warned grub efi
check "to one that waits" become wait
check "its loader does so" grep -qx 'TIMEOUT 0' "$R/boot/extlinux/extlinux.conf"
finish
