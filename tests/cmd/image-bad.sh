#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# "cairn system image" with what cannot be: one clear error each, the exit status as documented, before
# anything is built, and nothing left behind.
set -u
fails=0 n=0
cd "$TMP" || exit 1
config() { # FILE DEVICE TYPE
	cat >"$1" <<X
local system = require "system"

return system.operating_system {
	host_name = "test",
	file_systems = { { device = "$2", mount_point = "/", type = "$3" } },
}
X
}
config label.lua LABEL=a-name-of-17-byte ext4
config type.lua LABEL=x xfs
config good.lua LABEL=x ext4
echo 'return 7' >number.lua
mkdir dir

# refuse NAME STATUS TEXT ARGUMENT...
refuse() {
	n=$((n + 1))
	name=$1 status=$2 text=$3
	shift 3
	"$CAIRN" system image --root "$TMP/root" "$@" >out 2>err
	got=$?
	if [ $got = "$status" ] && grep -qF -e "$text" err && [ ! -s out ] && [ "$(grep -c . err)" -le 2 ] &&
		[ ! -e image.raw ] && [ -z "$(ls -A dir)" ] && [ ! -e root/gnu ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: status $got instead of $status"
		sed 's/^/# /' err
		fails=1
	fi
}
refuse 'no configuration' 2 CONFIG
refuse 'an unknown type' 2 "'iso'" -t iso good.lua
refuse 'a size that is none' 2 "'1x' is not a size" --free 1x good.lua
refuse 'a missing configuration' 1 'none.lua: No such file' none.lua
refuse 'a configuration of something else' 65 'not an operating_system' number.lua
refuse 'a label too long for ext4' 65 'label.lua:3:' label.lua
refuse 'a root file system of another type' 65 'type.lua:3:' type.lua
refuse 'an output that is a directory' 1 'no regular file' -o dir good.lua
refuse 'an output in no directory' 1 'No such file' -o none/image.raw good.lua
echo "1..$n"
exit $fails
