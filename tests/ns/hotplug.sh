#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Messages of devices: those of others than the kernel are told and change nothing.
if [ -z "$INSIDE" ]; then
	unshare -Urn true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
	INSIDE=1 exec unshare -Urn sh "$0"
fi
. "$SRC/tests/tap.inc"
show=$TMP/err
echo 'block * 666 root' >"$TMP/rules"
mkdir "$TMP/dev"
touch "$TMP/dev/sda"
chmod 600 "$TMP/dev/sda"
"$CAIRN" system hotplug --dev="$TMP/dev" --ready "$TMP/rules" 3>"$TMP/ready" 2>"$TMP/err" &
pid=$!
trap 'kill $pid 2>/dev/null' EXIT
check "all that is there was looked at" retry [ -s "$TMP/ready" ]
python3 - <<'P'
import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
s.bind((0, 0))
s.sendto(b"add@/x\0ACTION=add\0SUBSYSTEM=block\0MAJOR=8\0MINOR=0\0DEVNAME=sda\0", (0, 1))
P
check "a message of somebody else is told" retry grep -q "not the kernel's pid=[1-9]" "$TMP/err"
check "and changes nothing" [ "$(stat -c %a "$TMP/dev/sda")" = 600 ]
check "the listener goes on" kill -0 $pid
kill $pid
"$CAIRN" system hotplug --dev="$TMP/none" "$TMP/rules" 2>"$TMP/err"
check "a directory that is not there" [ $? != 0 ]
echo 'block * 666 nobody-there' >"$TMP/rules"
"$CAIRN" system hotplug --dev="$TMP/dev" "$TMP/rules" 2>"$TMP/err"
check "a group that is not there" grep -q "rules:1: .*nobody-there" "$TMP/err"
finish
