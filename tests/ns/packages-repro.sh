#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Building a package again gives the same bytes. Here a sample of small ones; PACKAGES=all takes
# every package (tests/soak/packages.soak), PACKAGES="a b" those.
set -u
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }

case ${PACKAGES-} in
'') packages="zlib libcap lua ca-certificates" ;;
all) packages=$("$CAIRN" build --list | grep -v '^seed-') ;;
*) packages=$PACKAGES ;;
esac
n=0
failed=0
for name in $packages; do
	n=$((n + 1))
	if "$CAIRN" build "$name" >"$TMP/log" 2>&1 && "$CAIRN" build --check "$name" >"$TMP/log" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		tail -n 20 "$TMP/log" | sed 's/^/# /'
		failed=1
	fi
done
echo "1..$n"
exit $failed
