#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Cairn describes itself: the modules a machine evaluates from give the same derivations as the
# checkout they were made of, and only what compiles goes into the source of the cairn package.
set -u
. "$SRC/tests/tap.inc"
same() { [ -n "$2" ] && [ "$2" = "$3" ] && ok "$1" || { no "$1"; echo "# $2 | $3"; }; }
differ() { [ -n "$2" ] && [ -n "$3" ] && [ "$2" != "$3" ] && ok "$1" || { no "$1"; echo "# $2 | $3"; }; }

export HOME="$TMP" XDG_CACHE_HOME="$TMP/cache"
NAMES="cairn busybox linux e2fsprogs"
# The .drv files of packages, of the modules and of a configuration, as evaluated from directory $1.
paths() {
	"$CAIRN" build --root "$TMP/drvs" --modules "$1" -d $NAMES -e "$MODULES" -e 'cairn_source()'
}
MODULES='cairn_modules(require("packages.seed").busybox)'

# Two copies, so that nobody who edits the tree now gets in between; one of them gets what an editor
# and a build leave lying about.
here=$TMP/here
tree=$TMP/tree
mkdir "$here"
(cd "$SRC" && tar -cf - --exclude=./build --exclude=./.git .) | tar -xf - -C "$here"
cp -R "$here" "$tree"
checkout=$(paths "$here") || { echo "# cannot evaluate the checkout"; exit 1; }
touch "$tree/lib/.str.c.swp" "$tree/lib/str.c~" "$tree/lib/str.o" "$tree/packages/.zlib.lua.swp" \
	"$tree/packages/zlib.lua.orig" "$tree/core"
mkdir "$tree/packages/__pycache__" "$tree/system/lua/empty"
same "stray files stay out" "$(paths "$tree")" "$checkout"

touch -d 2001-02-03 "$tree"/packages/*.lua "$tree"/lib/*.c
chmod 600 "$tree"/packages/*.lua "$tree"/lib/*.c
same "times and modes do not count" "$(paths "$tree")" "$checkout"

drv() { "$CAIRN" build --root "$TMP/drvs" --modules "$1" -d "$2"; }
cairn=$(drv "$here" cairn)
modules=$("$CAIRN" build --root "$TMP/drvs" --modules "$here" -d -e "$MODULES")
for f in services/init.lua packages/grub.lua system/operating_system.lua; do
	[ -e "$tree/$f" ] && echo "-- changed" >>"$tree/$f"
done
same "editing recipes and services does not rebuild cairn" "$(drv "$tree" cairn)" "$cairn"
differ "but changes the modules" \
	"$("$CAIRN" build --root "$TMP/drvs" --modules "$tree" -d -e "$MODULES")" "$modules"
echo '/* changed */' >>"$tree/lib/str.c"
differ "editing the source rebuilds cairn" "$(drv "$tree" cairn)" "$cairn"

# The item a machine has at /run/current-system/modules.
item=$("$CAIRN" build --root "$TMP/made" --modules "$here" --physical -e "$MODULES") ||
	{ echo "# cannot build the modules"; exit 1; }
same "a machine's modules give the same derivations" "$(paths "$item")" "$checkout"
mkdir "$TMP/etc"
cp "$here/examples/minimal.lua" "$TMP/etc/system.lua"
system() { "$CAIRN" system build --root "$TMP/drvs" --modules "$1" -d "$2"; }
same "and a configuration the same system" "$(system "$item" "$TMP/etc/system.lua")" \
	"$(system "$here" "$here/examples/minimal.lua")"
[ -x "$item/seed/busybox/bin/busybox" ] && ok "the seed is at hand" || no "the seed is at hand"
[ -f "$item/source/Makefile" ] && ok "the source is at hand" || no "the source is at hand"

# With nothing but that item: the seed is taken from it, not from the network.
CAIRN_MIRROR_DEBIAN=http://127.0.0.1:9/ "$CAIRN" build --root "$TMP/empty" --modules "$item" \
	-e 'require("packages.seed").busybox' >"$TMP/out" 2>"$TMP/err" &&
	ok "the seed needs no network" || { no "the seed needs no network"; sed 's/^/# /' "$TMP/err"; }

src=$("$CAIRN" build --root "$TMP/drvs" --modules "$here" --physical -e 'cairn_source()')
cmp "$src/doc/cairn-daemon.8" "$SRC/doc/cairn-daemon.8" && [ "$(ls "$src/doc")" = cairn-daemon.8 ] &&
	ok "of the documents the manual page is there" || no "of the documents the manual page is there"

# What compiles is complete: the same tree without anything else configures and lists its objects.
make -s -C "$src" O="$TMP/obj" -n all >"$TMP/plan" 2>"$TMP/err" && grep -q 'cairn.o' "$TMP/plan" &&
	ok "the source can be built" || { no "the source can be built"; sed 's/^/# /' "$TMP/err"; }
finish
