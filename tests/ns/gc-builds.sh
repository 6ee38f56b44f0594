#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds beside collections that never stop: each ends well, and what its link holds is there.
# GC_BUILDS: how many (default 12); GC_SEED: their names.
# timeout: 120
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
root=$TMP/root
builds=${GC_BUILDS:-12}
seed=${GC_SEED:-1}
mkdir -p "$TMP/bb/bin"
cp "$busybox" "$TMP/bb/bin/busybox"
cd "$TMP" || exit 1
. "$SRC/tests/tap.inc"
cat >chain.lua <<'END'
local bb = source("bb", { name = "bb" })
local last = bb
for i = 1, 3 do
	last = derivation { name = NAME .. i, builder = bb .. "/bin/busybox", args = { "sh", "-c",
		[[$b mkdir $out; $b sleep 0.02; $b cat $in1/data >$out/data; echo $in1 >>$out/data; :]] },
		env = { b = bb .. "/bin/busybox", in1 = last } }
end
return last
END

collect() { # until the file says so; how many there were
	i=0
	while [ ! -e "$TMP/enough" ]; do
		"$CAIRN" store gc --root "$root" >>"$TMP/gc.out" 2>"$TMP/gc.err" || exit 1
		i=$((i + 1))
	done
	echo "$i" >"$TMP/collections"
}
"$CAIRN" store verify --root "$root" || exit 1
collect &
collector=$!
i=0
bad=0
kept=
while [ "$i" -lt "$builds" ] && [ "$bad" = 0 ]; do
	i=$((i + 1))
	{ echo "local NAME = \"n$((seed * 31 + i % 5))-\""; cat chain.lua; } >"one$((i % 3)).lua"
	if ! "$CAIRN" build --root "$root" --physical -r "$TMP/link$((i % 3))" -f "one$((i % 3)).lua" >out 2>err; then
		echo "# build $i failed"
		bad=1
	elif [ ! -e "$(cat out)/data" ] || { [ "$kept" ] && [ ! -e "$kept/data" ]; }; then
		echo "# build $i: $(cat out), or $kept from before, is gone" | tee err
		bad=1
	fi
	kept=$(cat out)
done
touch "$TMP/enough"
result "builds end well" "$bad" err
wait "$collector"
result "and so do collections" $? gc.err
ok "$builds builds beside $(cat collections 2>/dev/null) collections, which deleted $(wc -l <gc.out) items"
"$CAIRN" store verify --root "$root" >out 2>err
result "the store is sound" $? err
finish
