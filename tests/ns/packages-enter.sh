#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Entering the seed where user namespaces are refused: the message says what to look at.
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }

enter=$SRC/packages/build/enter.sh
mkdir "$TMP/top" "$TMP/store"
export NIX_BUILD_TOP="$TMP/top" NIX_STORE="$TMP/store" out="$TMP/store/out" seed=/nonexistent script=true

# A limit of 0 in a namespace of our own stands for a machine that forbids them.
# shellcheck disable=SC2016
unshare -U -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh \
	"$busybox" sh "$enter" "$busybox" >"$TMP/log" 2>&1
status=$?
echo 1..3
r=0
n=1
if [ $status = 1 ]; then echo "ok 1 - fails"; else echo "not ok 1 - exit code $status"; r=1; fi
for word in user.max_user_namespaces kernel.unprivileged_userns_clone; do
	n=$((n + 1))
	if grep -q "$word" "$TMP/log"; then
		echo "ok $n - names $word"
	else
		echo "not ok $n - names $word"
		sed 's/^/# /' "$TMP/log"
		r=1
	fi
done
exit $r
