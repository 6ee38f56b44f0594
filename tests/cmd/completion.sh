#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Completion knows what the table of commands knows, and bash, fish and zsh can use it.
set -u
"$CAIRN" --dump-cli >"$TMP/cli" || exit 1
hidden=$("$CAIRN" complete -- "" | grep -cxE 'builder|complete')
[ "$hidden" = 0 ] || { echo "hidden commands are offered"; exit 1; }

# What the help of its group lists is offered, and nothing else.
awk -F '\t' '$1 == "command" && $2 ~ / / && $2 !~ /^cairn (builder|complete)/ { print $2 }' "$TMP/cli" >"$TMP/commands"
[ "$(wc -l <"$TMP/commands")" -gt 50 ] || { echo "no commands found"; exit 1; }
while read -r _ words; do
	group=${words% *}
	[ "$group" != "$words" ] || group=
	"$CAIRN" $group --help | grep -q "^  ${words##* } " && listed=0 || listed=1
	"$CAIRN" complete -- $group "" | grep -qx -- "${words##* }" && offered=0 || offered=1
	[ $listed = $offered ] || { echo "listed and offered differ: $words"; exit 1; }
done <"$TMP/commands"
awk -F '\t' '$1 == "option" && $2 == "cairn service wait" { print "--" $3 } END { print "--help" }' "$TMP/cli" | sort >"$TMP/want"
"$CAIRN" complete -- service wait - | sort >"$TMP/got"
[ "$(wc -l <"$TMP/want")" -gt 2 ] && diff "$TMP/want" "$TMP/got" || { echo "options differ"; exit 1; }
[ -z "$("$CAIRN" complete -- service wait --timeout "")" ] || { echo "a value is completed"; exit 1; }
[ -z "$("$CAIRN" complete -- nosuch "")" ] || { echo "below no command something is offered"; exit 1; }

for shell in bash fish zsh; do
	"$CAIRN" completion $shell | grep -q 'cairn' || { echo "no script for $shell"; exit 1; }
done
"$CAIRN" completion tcsh 2>"$TMP/err"
[ $? = 2 ] && grep -q 'bash, fish and zsh' "$TMP/err" || { echo "a shell that is not known"; exit 1; }
for shell in bash fish zsh; do
	command -v $shell >/dev/null || { echo "skip: no $shell (Debian: $shell)"; exit 77; }
	"$CAIRN" completion $shell >"$TMP/script.$shell"
done
PATH=${CAIRN%/*}:$PATH
export HOME="$TMP"
fish --no-config --no-execute "$TMP/script.fish" || { echo "fish does not parse its script"; exit 1; }
got=$(fish --no-config -c 'source $argv[1]; complete -C "cairn service tim"' "$TMP/script.fish" | cut -f 1)
[ "$got" = timeline ] || { echo "fish completes 'tim' to '$got'"; exit 1; }
zsh -f -n "$TMP/script.zsh" || { echo "zsh does not parse its script"; exit 1; }
# In place of its editor: what would be offered is printed.
got=$(zsh -f -c 'compdef() { [ "$1 $2" = "_cairn cairn" ] || print "compdef $*"; }; compadd() { print -l ${(P)2} }; _files() { print files }
	. "$1"; words=(cairn service tim); CURRENT=3; _cairn' zsh "$TMP/script.zsh")
[ "$got" = timeline ] || { echo "zsh completes 'tim' to '$got'"; exit 1; }
cp "$TMP/script.bash" "$TMP/script"
got=$(bash -c '. "$1"; COMP_WORDS=(cairn service tim); COMP_CWORD=2; _cairn "$2"; echo "${COMPREPLY[*]}"' bash "$TMP/script" "$CAIRN")
[ "$got" = timeline ] || { echo "bash completes 'tim' to '$got'"; exit 1; }
