#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# README lists every document, and no document names one, or a test, that is not there.
set -u
cd "$SRC" || exit 1
bad=
for file in doc/*.md doc/*.[0-9]; do
	grep -qw -- "${file#doc/}" README || bad="$bad $file"
done
[ -z "$bad" ] || { echo "not in README:$bad"; exit 1; }

grep -oE '\bdoc/[a-z0-9-]+\.(md|[0-9])\b' README */README doc/*.md doc/*.[0-9] | while IFS=: read -r where file; do
	[ -f "$file" ] || echo "$where names $file"
done >"$TMP/bad"
[ ! -s "$TMP/bad" ] || { cat "$TMP/bad"; exit 1; }

# What doc/security.md says to be shown is shown by somebody.
ids=$(grep -oE '\b[A-Z]+-[0-9]{2}\b' doc/security.md | sort -u)
[ "$(echo "$ids" | wc -l)" -gt 20 ] || { echo "no promises found"; exit 1; }
for id in $ids; do
	other=$(echo "$id" | tr 'A-Z-' 'a-z_')
	grep -rqE "$id|$other" tests/unit tests/cmd/*.sh tests/ns || echo "no test is called $id"
done >"$TMP/bad"
[ ! -s "$TMP/bad" ] || { cat "$TMP/bad"; exit 1; }
