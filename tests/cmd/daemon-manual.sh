#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The manual page of the daemon: well-formed, and with the options that the program has, no more and no fewer.
set -u
command -v mandoc >/dev/null || { echo "skip: no mandoc"; exit 77; }
page=$SRC/doc/cairn-daemon.8
mandoc -T lint -W warning "$page" || exit 1

# "-M, --max-jobs N" and the like, as both print them.
"$CAIRN" daemon --help >"$TMP/help" || exit 1
sed -n 's/^  *\(-[a-zA-Z], \)\{0,1\}\(--[^ ]*\( [^ ][^ ]*\)\{0,1\}\).*/\1\2/p' "$TMP/help" | sort >"$TMP/program"
mandoc -T ascii -O width=200 "$page" | sed 's/.'"$(printf '\b')"'//g' |
	sed -n 's/^     \(-[a-zA-Z], \)\{0,1\}\(--[^ ]*\( [^ ][^ ]*\)\{0,1\}\)$/\1\2/p' | sort >"$TMP/page"
[ "$(wc -l <"$TMP/program")" -gt 20 ] || { echo "not the options:"; cat "$TMP/program"; exit 1; }
diff "$TMP/program" "$TMP/page" >"$TMP/diff" && exit 0
echo "< in --help alone, > in the manual page alone:"
cat "$TMP/diff"
exit 1
