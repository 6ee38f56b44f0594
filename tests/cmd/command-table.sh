#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Every command that a module exports is in the table of `cairn`, and the tables are sorted.
set -u
"$CAIRN" --dump-cli >"$TMP/cli" || exit 1
[ -s "$TMP/cli" ] || { echo "the table is empty"; exit 1; }

# Commands of one group, in table order, must be in byte order.
bad=$(awk -F '\t' '
	$1 == "command" {
		n = split($2, w, " "); group = ""
		for (i = 1; i < n; i++) group = group w[i] " "
		if ((group in last) && last[group] >= w[n]) print group w[n]
		last[group] = w[n]
	}' "$TMP/cli")
[ -z "$bad" ] || { echo "not in order: $bad"; exit 1; }

# An exported descriptor that nothing refers to is left out of the link.
for m in store init services bootloader system image; do
	nm --defined-only "$OBJ/$m/lib$m.a" 2>/dev/null
done | awk '$2 ~ /[DRd]/ && $3 ~ /_cmd_/ && $2 != "d" && $2 != "r" { print $3 }' | sort -u >"$TMP/exported"
[ -s "$TMP/exported" ] || { echo "no exported commands found in the archives"; exit 1; }
nm --defined-only "$CAIRN" | awk '{ print $3 }' | sort -u >"$TMP/linked"
lost=$(comm -23 "$TMP/exported" "$TMP/linked")
[ -z "$lost" ] || { echo "exported but not in the table:" $lost; exit 1; }

# Every command has a summary, every option a help text.
bad=$(awk -F '\t' '($1 == "command" && $4 == "") || ($1 == "option" && $6 == "")' "$TMP/cli")
[ -z "$bad" ] || { echo "without text: $bad"; exit 1; }

# Summaries stand in lists: all begin alike.
bad=$(awk -F '\t' '$1 == "command" && $2 ~ / / && $4 !~ /^[a-z]/ { print $2 ": " $4 }' "$TMP/cli")
[ -z "$bad" ] || { echo "a summary that begins with no small letter: $bad"; exit 1; }

# The statuses of all errors are in the help.
"$CAIRN" --help >"$TMP/help" || exit 1
sed -n 's/^[[:space:]]*X([A-Z_]*, [0-9]*, "\(.*\)", \([0-9]*\)).*/\2 \1/p' "$SRC/lib/err.h" >"$TMP/errors"
[ -s "$TMP/errors" ] || { echo "no errors found in lib/err.h"; exit 1; }
while read -r status text; do
	[ "$status" = 1 ] || grep -qE "^ +$status  (.*, )?$text(,|\$)" "$TMP/help" || { echo "not in the help: $status $text"; exit 1; }
done <"$TMP/errors"

# Help of each command works and fits a terminal (but for the texts of options, which have a column of their own), and an unknown
# option is a usage error everywhere.
awk -F '\t' '$1 == "command" { print $2 }' "$TMP/cli" | while read -r _ words; do
	"$CAIRN" $words --help >"$TMP/help" 2>&1 || { echo "no help: $words"; exit 1; }
	long=$(awk '/^(Options|Commands):$/ { exit } length > 90' "$TMP/help")
	[ -z "$long" ] || { echo "help of $words is too wide: $long"; exit 1; }
	usage=2
	! grep -qx 'Exit status:' "$TMP/help" || [ -z "$words" ] || usage=1 # statuses of its own
	"$CAIRN" $words --no-such-option </dev/null >"$TMP/help" 2>&1
	[ $? = $usage ] || { echo "not a usage error: $words --no-such-option"; exit 1; }
done

# "help COMMAND" is "COMMAND --help", of groups and of what is in them.
for of in "" system "system build" "store gc"; do
	# shellcheck disable=SC2086 # words
	"$CAIRN" help $of >"$TMP/one" && "$CAIRN" $of --help >"$TMP/other" && cmp "$TMP/one" "$TMP/other" || exit 1
done
"$CAIRN" help nonsense 2>/dev/null && { echo "there is help for nonsense"; exit 1; }
exit 0
