#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1, static against the host's musl and optimised at the link, as packages are: nothing needed at run time, within its size budget, and
# linked from lib/ and init/ alone.
set -u
command -v musl-gcc >/dev/null || { echo "skip: no musl-gcc (Debian: musl-tools)"; exit 77; }
cd "$SRC" || exit 1
make O="$TMP/o" CC=musl-gcc STATIC=1 LTO=1 M="init lib" CONFIG_PROBE=n LDFLAGS="-Wl,-Map=$TMP/map" \
	"$TMP/o/init/cairn-init" >"$TMP/log" 2>&1 || { cat "$TMP/log"; exit 1; }
make O="$TMP/o" M=lib check-static || exit 1

# Archives that members were taken from.
sed -n '/^Archive member included/,/^$/{;}; s/^\([^ ]*\.a\)(.*/\1/p' "$TMP/map" | sort -u >"$TMP/archives"
cat "$TMP/archives"
[ -s "$TMP/archives" ] || exit 1
others=$(sed 's,.*/,,' "$TMP/archives" | grep -vxE 'libinit\.a|liblib\.a|libc\.a|libgcc(_eh)?\.a')
[ -z "$others" ] || { echo "PID 1 links $others"; exit 1; }

# The whole program answers, so that it is not just small.
"$TMP/o/init/cairn-init" --version || exit 1
