#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What has lost something is not switched to, by no way, and what there is stays as it is; without a database, and without anybody to
# ask, a machine still goes back.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
R=$TMP/machine W=$TMP/world
mkdir -p "$R"
"$(dirname "$0")/mock-world" "$W" || exit 1
sed 's/packages = {}/packages = { require "packages.hello" }/' "$SRC/examples/minimal.lua" >"$TMP/one.lua"
sed 's/host_name = "cairn"/host_name = "stone"/' "$SRC/examples/minimal.lua" >"$TMP/two.lua"
run() { verb=$1 && shift && "$CAIRN" system "$verb" --target-root "$R" "$@" >"$TMP/out" 2>"$TMP/err"; }
configure() { verb=$1 && shift && run "$verb" --root "$R" --modules "$W" "$@"; }

check "a machine" configure reconfigure "$TMP/one.lua"
check "with two generations" configure reconfigure "$TMP/two.lua"
one=$(readlink "$R/var/guix/profiles/system-1-link")
db=$R/var/guix/db/db.sqlite
# All that a switch would change.
state() { (cd "$R" && { ls -l var/guix/profiles etc | sed 's/  */ /g' | cut -d ' ' -f 6- | grep -v 'system\.lock$'; sha256sum boot/grub/* etc/passwd; find boot -type f; readlink etc/static; }) 2>/dev/null; }
before=$(state)
check "there is something that would be seen" [ -n "$before" ]

# refuses NAME PATH COMMAND…: with 65, the path, what to do, and nothing else
refuses() {
	title=$1 path=$2
	shift 2
	"$@"
	is "$title: status" $? 65
	check "$title: which" grep -qF "$path" "$TMP/err"
	check "$title: what to do" grep -q 'cairn store verify --repair .*switch-generation' "$TMP/err"
	is "$title: nothing is changed" "$(state)" "$before"
}
# damaged WHAT PATH: by each way to generation 1, and by a new configuration that has it, too
damaged() {
	refuses "SYS-04 roll-back, $1" "$2" run roll-back
	check "generation 1 is what is named" grep -q "nothing was switched: generation 1, $one, is damaged" "$TMP/err"
	refuses "SYS-04 switch-generation, $1" "$2" run switch-generation 1
	refuses "SYS-04 at the next boot, $1" "$2" run switch-generation --boot 1
	refuses "SYS-04 to an item, $1" "$2" run switch-generation --root "$R" "$one"
	refuses "SYS-04 reconfigure, $1" "$2" configure reconfigure "$TMP/one.lua"
	refuses "SYS-04 reconfigure for the next boot, $1" "$2" configure boot "$TMP/one.lua"
}
item() { ls -d "$R"/gnu/store/*-$1; }
logical() { echo "${1#"$R"}"; }
# Another takes the place of FILE, until it is put back.
aside() {
	dir=$(dirname "$1")
	chmod u+w "$dir"
	mv "$1" "$TMP/aside"
}
back() {
	rm -rf "$1"
	mv "$TMP/aside" "$1"
	chmod u-w "$dir"
}

busybox=$(item busybox-1.0)
mv "$busybox" "$TMP/aside"
damaged "a missing item" "$(logical "$busybox") is missing"
mv "$TMP/aside" "$busybox"

part=$(item cairn-1.0)/bin/cairn-init
aside "$part"
: >"$part" && chmod 555 "$part"
damaged "an empty init" "$part is empty"
tr '\0-\377' '\0' <"$TMP/aside" >"$TMP/zero"
rm -f "$part" && cp "$TMP/zero" "$part" && chmod 555 "$part"
damaged "an init of zeros" "$part is not a program"
back "$part"

part=$(item linux-1.0)/bzImage
aside "$part"
: >"$part"
damaged "an empty kernel" "$part is empty"
back "$part"

part=$R$(readlink "$R$one/services")/set
[ -f "$part" ] || part=$R$one/services/set
aside "$part"
: >"$part"
refuses "SYS-04 roll-back, an empty service set" "services" run roll-back
back "$part"

# That it cannot be looked at is no damage, and said as it is.
part=$(item linux-1.0)/bzImage
chmod 000 "$part"
plain="setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all"
[ "$(id -u)" = 0 ] || plain=
$plain "$CAIRN" system roll-back --target-root "$R" >"$TMP/out" 2>"$TMP/err"
is "SYS-04 a kernel of somebody else: status" $? 3
check "it is not called damaged" [ "$(grep -c damaged "$TMP/err")" = 0 ]
check "but what it is" grep -q "nothing was switched: generation 1, $one: $part: Permission denied" "$TMP/err"
is "nothing is changed" "$(state)" "$before"
chmod 444 "$part"

# What no boot needs may be lost, if that is said.
hello=$(item hello-2.0)
mv "$hello" "$TMP/aside"
refuses "SYS-04 roll-back, a package" "$(logical "$hello") is missing" run roll-back
check "it is said how" grep -q -- '--skip-checks goes on' "$TMP/err"
check "SYS-04 roll-back --skip-checks" run roll-back --skip-checks
is "with a warning" "$(grep '^warning: ' "$TMP/err")" "warning: $(logical "$hello") is missing"
is "it went" "$(readlink "$R/var/guix/profiles/system")" system-1-link
check "and forward" run switch-generation 2
check "SYS-04 the same to an item" run switch-generation --skip-checks --root "$R" --dry-run "$one"
check "SYS-04 and to a configuration" configure reconfigure --skip-checks "$TMP/one.lua"
check "and back to the second" run switch-generation 2
run confirm --skip-checks 2
is "SYS-04 confirm has the option, too" $? 0
mv "$TMP/aside" "$hello"
"$CAIRN" system delete-generations --target-root "$R" 3 >"$TMP/out" 2>&1
before=$(state)
for part in kernel initrd etc services init; do
	file=$R$(readlink "$R$one/$part")
	mv "$file" "$TMP/aside"
	refuses "SYS-04 roll-back --skip-checks without $part" "$part" run roll-back --skip-checks
	check "there is no way" [ "$(grep -c -- '--skip-checks goes on' "$TMP/err")" = 0 ]
	mv "$TMP/aside" "$file"
done

# A file that is an item by itself has the size that the database says.
part=
for f in "$R"/gnu/store/*; do
	if [ -f "$f" ] && [ ! -L "$f" ] && "$CAIRN" store query --root "$R" --requisites "$one" 2>/dev/null | grep -qxF "$(logical "$f")"; then
		part=$f
		break
	fi
done
if [ -n "$part" ]; then
	cp -p "$part" "$TMP/file"
	chmod u+w "$part" && echo "more than there was" >>"$part"
	refuses "SYS-04 roll-back, a file that was added to" "$(logical "$part") is not as large as it was" run roll-back
	cp -p "$TMP/file" "$part"
fi
check "SYS-04 there is such a file" [ -n "$part" ]

# Rows: of the generation, of what it refers to.
sql() { python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2], sys.argv[3:]); c.commit()' "$db" "$@"; }
keep() { rm -rf "$TMP/db" && cp -a "$R/var/guix/db" "$TMP/db"; }
restore() { rm -rf "$R/var/guix/db" && cp -a "$TMP/db" "$R/var/guix/db"; }
keep
sql "delete from ValidPaths where path = ?" "$(logical "$busybox")"
refuses "SYS-04 roll-back, a row is gone" "no longer knows something that $one refers to" run roll-back
check "SYS-04 with --skip-checks" run roll-back --skip-checks
check "all the same" grep -q "^warning: .*no longer knows something" "$TMP/err"
run switch-generation --skip-checks 2
before=$(state)
restore
sql "delete from ValidPaths where path = ?" "$one"
refuses "SYS-04 roll-back, the row of the generation is gone" "does not know $one" run roll-back
restore

# Rows without a size say nothing of it.
for size in null 0; do
	sql "update ValidPaths set narSize = $size"
	check "SYS-04 roll-back, sizes are $size" run roll-back
	check "SYS-04 and forward, sizes are $size" run switch-generation 2
	restore
done

# Whole again, and nobody to ask.
check "SYS-04 what is whole is switched to" run roll-back
check "without a warning" [ "$(grep -c warning "$TMP/err")" = 0 ]
check "and back" run switch-generation 2
check "and no build daemon there" [ ! -e "$R/var/guix/daemon-socket/socket" ]

# No database: the way back stays open, with a warning, but not to what is visibly damaged.
keep
for why in none rubbish empty; do
	rm -f "$db"*
	[ $why = none ] || : >"$db"
	[ $why != rubbish ] || head -c 20000 /dev/zero | tr '\0' x >"$db"
	check "SYS-04 roll-back, database: $why" run roll-back
	check "SYS-04 it is said, database: $why" grep -q "^warning: .*what $one refers to cannot be looked for" "$TMP/err"
	check "SYS-04 forward again, database: $why" run switch-generation 2
done
part=$(item cairn-1.0)/bin/cairn-init
before=$(state)
aside "$part"
: >"$part" && chmod 555 "$part"
refuses "SYS-04 roll-back without a database, an empty init" "$part is empty" run roll-back
back "$part"
restore
# A container has no kernel: that it is empty is no damage.
R=$TMP/contained
mkdir "$R"
for name in one two; do
	sed 's/^return system.operating_system {/return require "system.contained"(system.operating_system {/; $ s/}/})/' "$TMP/$name.lua" >"$TMP/contained-$name.lua"
	check "a contained system, $name" configure reconfigure "$TMP/contained-$name.lua"
done
check "its kernel is empty" [ ! -s "$R$(readlink "$R/var/guix/profiles/system-1-link")/kernel" ]
check "SYS-04 it goes back" run roll-back
check "and forward" run switch-generation 2
one=$(readlink "$R/var/guix/profiles/system-1-link") before=$(state)
part=$R$(readlink "$R$one/initrd")
aside "$part"
: >"$part"
refuses "SYS-04 its initramfs must not be" "$part is empty" run roll-back
back "$part"
R=$TMP/machine one=$(readlink "$TMP/machine/var/guix/profiles/system-1-link")
check "a new generation after all that" configure reconfigure "$TMP/one.lua"
check "which is whole" run verify
finish
