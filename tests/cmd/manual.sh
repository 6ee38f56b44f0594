#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The manual pages are well-formed. Those that the program makes have every command and option; that of the daemon, which
# a person wrote, has the options that the program has, no more and no fewer.
set -u
command -v mandoc >/dev/null || { echo "skip: no mandoc"; exit 77; }
"$CAIRN" manual --directory "$TMP/man" || { echo "pages cannot be made"; exit 1; }
mandoc -T lint -W warning "$TMP/man"/*.1 | grep -v 'missing date' && exit 1
# Of the commands that the help of their group lists.
"$CAIRN" --dump-cli >"$TMP/all"
awk -F '\t' '$1 == "command" && $2 != "cairn" { print $2 }' "$TMP/all" | while read -r path; do
	! ${CAIRN%cairn}${path% *} --help | grep -q "^  ${path##* } " || awk -F '\t' -v of="$path" '$2 == of' "$TMP/all"
done >"$TMP/cli"
for page in "$TMP/man"/*.1; do
	name=$(basename "$page" .1)
	mandoc -T ascii -O width=400 "$page" | sed 's/.'"$(printf '\b')"'//g' >"$TMP/text"
	[ "$name" = cairn ] && continue
	sed -n '/^\(EXAMPLES\| *Examples:\)/,/^ \{0,3\}[^ ]/p' "$TMP/text" >>"$TMP/pages"
	awk -F '\t' -v of="cairn ${name#cairn-}" '$2 == of || index($2, of " ") == 1 {
		print $1 == "command" ? $2 : "--" $3 ($5 == "" ? "" : " " $5) }' "$TMP/cli" | sort -u | while read -r want; do
		! grep -qF -- "$want" "$TMP/text" || continue
		case $want in --*) want=${want%% *} ;; esac
		grep -qF -- "$want" "$TMP/text" || echo "$name: no '$want'"
	done >>"$TMP/missing"
done
# Each of them, but for groups, has an example of itself.
sed -n 's/^     *\(.*[|&] \)*\(cairn [a-z].*\)/\2/p' "$TMP/pages" >"$TMP/lines"
awk -F '\t' '$1 == "command" { print $2 }' "$TMP/cli" | while read -r path; do
	grep -q "^command	$path " "$TMP/all" || grep -q "^$path\( [^A-Z[]\|$\)" "$TMP/lines" || echo "$path: no example"
done >>"$TMP/missing"
[ "$(ls "$TMP/man" | wc -l)" -gt 15 ] || { echo "not all commands have a page"; exit 1; }
[ ! -s "$TMP/missing" ] || { cat "$TMP/missing"; exit 1; }

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
