#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Scripts of `cairn system vm`: what they give to QEMU, for paths with odd characters, too; what is refused. A stand-in for
# QEMU prints its arguments. (That such a machine starts is shown in one.)
set -u
. "$SRC/tests/cmd/image.inc"
command -v busybox >/dev/null || {
	echo "skip: busybox is not installed"
	exit 77
}
. "$SRC/tests/cmd/world.inc"
for m in 9p 9pnet_virtio; do
	echo "module $m" >"$W/packages/world/linux/lib/modules/1.0/kernel/$m.ko"
	echo "kernel/$m.ko:" >>"$W/packages/world/linux/lib/modules/1.0/modules.dep"
done
# The disk is a stand-in, too: the arguments it was made with.
cat >"$W/image/raw.lua" <<'L'
return function(disk, args)
	local p = disk.partitions
	return { image = derivation { name = "disk.raw", builder = require "packages.busybox" .. "/bin/busybox",
		args = { "sh", "-c", "echo " .. table.concat({ #p, p[1].content, p[1].free, tostring(args.no_bootloader),
			tostring(args.without_store), disk.operating_system.bootloader.type }, " ") .. " >$out" } } }
end
L
mkdir "$TMP/bin"
cat >"$TMP/bin/qemu-system-x86_64" <<'Q'
#!/bin/sh
for a; do printf '%s\n' "$a"; done
Q
cat >"$TMP/bin/qemu-img" <<'Q'
#!/bin/sh
echo "$1" >>"$CALLS"
case $1 in
create) printf '%s' "$8" >"$9" ;;
info) echo "backing file: $(cat "$3")" ;;
esac
Q
chmod +x "$TMP/bin/"*
export CALLS="$TMP/calls"

odd="$TMP/it's a, root"
double=$(printf %s "$odd" | sed 's/,/,,/g')
vm() { "$CAIRN" system vm --root "$odd" --modules "$W" "$@"; }
cp "$SRC/examples/minimal.lua" "$TMP/m.lua"
run() { # run SCRIPT [ARGUMENT...]: arguments of QEMU, one a line, in $TMP/args
	s=$1
	shift
	(cd / && PATH=$TMP/bin:$PATH "$s" "$@") >"$TMP/args" 2>&1
}
has() { # has LINE: is it one of the arguments?
	cat "$TMP/args"
	grep -qxF -e "$1" "$TMP/args"
}
after() { sed -n "/^$1\$/{n;p;q;}" "$TMP/args"; } # after OPTION

check 'a script is written' sh -c '"$CAIRN" system vm --root "$1" --modules "$2" "$3" -o "$4" >"$5"' sh "$odd" "$W" "$TMP/m.lua" "$TMP/run" "$TMP/path"
check 'its path is printed' test "$(cat "$TMP/path")" = "$TMP/run"
check 'it can be executed' test -x "$TMP/run"
vm "$TMP/m.lua" >"$TMP/text" 2>/dev/null
check 'without -o it is printed' cmp "$TMP/text" "$TMP/run"
check 'it starts QEMU' env ACCEL=kind PATH="$TMP/bin:$PATH" sh -c '"$0" >"$1"' "$TMP/run" "$TMP/args"
check 'with the accelerator asked for' test "$(after -accel)" = kind
check 'with 512 MiB' test "$(after -m)" = 512
check 'with the kernel' test -s "$(after -kernel)"
check 'with an initramfs' test -s "$(after -initrd)"
check 'that can mount the store' sh -c 'busybox zcat "$1" | grep -a -q 9pnet_virtio' sh "$(after -initrd)"
disk=$(after -drive | sed 's/^file=//; s/,format=raw,if=virtio,snapshot=on$//; s/,,/,/g')
check 'with a disk that is not written' sh -c 'grep -q ",format=raw,if=virtio,snapshot=on$" "$1"' sh "$TMP/args"
check 'that has no store and no boot loader' test "$(cat "$disk")" = '1 root 1G true true none'
check 'with the store, only to be read' has "local,path=$double/gnu/store,mount_tag=cairn-store,security_model=none,multidevs=remap,readonly=on"
check 'the kernel hears of it' sh -c 'echo "$1" | grep -q "^root=LABEL=cairn-vm .* cairn.store=cairn-store cairn.system=/gnu/store/[a-z0-9]*-system$"' sh "$(after -append)"
check 'with a network' has 'user,id=n0'
fstab() { # what the machine of the script mounts
	system=$(after -append | sed 's/.*cairn.system=//; s/ .*//')
	cat "$odd$(readlink "$odd$system/etc")/fstab"
}
fstab >"$TMP/fstab"
check 'a root of its own' grep -q '^LABEL=cairn-vm	/	ext4' "$TMP/fstab"
check 'nothing of the real disks' sh -c '! grep -e cairn-root "$1"' sh "$TMP/fstab"
check 'file systems in memory' grep -q '^tmpfs	/tmp' "$TMP/fstab"

cat >"$TMP/same.py" <<'P'
import json, sys
with open(sys.argv[1]) as f, open(sys.argv[2]) as g, open(sys.argv[3]) as h:
    a, b, script = json.load(f), json.load(g), h.read()
keys = ["memory", "system", "kernel", "initrd", "parameters", "disk", "persistent", "store", "file", "script"]
assert list(a) == keys and list(b) == keys, (a, b)
assert (a["file"], a["script"], a["persistent"]) == (None, script, None), a
assert (b["file"], b["script"]) == (sys.argv[4], None), b
assert a["memory"] == 512 and all(a[k] == b[k] for k in keys[:8]), (a, b)
assert a["kernel"].endswith("/bzImage") and a["system"].endswith("-system") and a["parameters"].startswith("root="), a
P
vm "$TMP/m.lua" --json >"$TMP/json" 2>/dev/null
vm "$TMP/m.lua" --json -o "$TMP/run" >"$TMP/json2" 2>/dev/null
check 'the same as JSON' python3 "$TMP/same.py" "$TMP/json" "$TMP/json2" "$TMP/text" "$TMP/run"

mkdir "$TMP/a,b" "$TMP/x=y"
vm "$TMP/m.lua" --expose "$TMP/a,b=/host/a" --share "$TMP/x=y=/host/x" --port 2222:22 --port 8080:80 --memory 1024 --no-graphic \
	-o "$TMP/run2" >/dev/null 2>"$TMP/err"
check 'the script with all options' run "$TMP/run2" -smp '2 ,x'
check 'a directory to write to' has "local,path=$TMP/x=y,mount_tag=share1,security_model=none,multidevs=remap"
check 'a directory to read' has "local,path=$TMP/a,,b,mount_tag=share2,security_model=none,multidevs=remap,readonly=on"
check 'ports, of this machine alone' has 'user,id=n0,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80'
check 'memory' test "$(after -m)" = 1024
check 'the serial line' has -nographic
check 'for the kernel, too' sh -c 'echo "$1" | grep -q " console=ttyS0$"' sh "$(after -append)"
check 'what the script is told' test "$(tail -n 2 "$TMP/args")" = "-smp
2 ,x"
fstab >"$TMP/fstab"
check 'the machine mounts them' sh -c 'grep -qx "share1	/host/x	9p	rw,.*" "$1" && grep -qx "share2	/host/a	9p	ro,.*" "$1"' sh "$TMP/fstab"

vm "$TMP/m.lua" --report -o "$TMP/run3" >/dev/null 2>&1
configured=$("$CAIRN" system build --root "$odd" --modules "$W" "$TMP/m.lua" 2>/dev/null)
check 'a machine that tells how its services are' run "$TMP/run3"
check 'has no way out' has 'user,id=n0,restrict=on'
check 'names the system that it tests' grep -qxF "# Tests the system $configured" "$TMP/run3"
system=$(after -append | sed 's/.*cairn.system=//; s/ .*//')
check 'has a service for that' grep -q '^\[service test-report\]$' "$odd$(readlink "$odd$system/services")/set"

# A file that changes while the system is built: what would be tested is not what would be switched to.
mkfifo "$TMP/says"
sed 's/host_name = "cairn"/host_name = "before"/' "$SRC/examples/minimal.lua" >"$TMP/changes.lua"
sed 's/"before"/"after"/' "$TMP/changes.lua" >"$TMP/changed.lua"
while IFS= read -r line; do
	[ ! -e "$TMP/changed.lua" ] || mv "$TMP/changed.lua" "$TMP/changes.lua"
	echo "$line"
done <"$TMP/says" >"$TMP/said" &
PATH=$TMP/bin:$PATH "$CAIRN" system reconfigure --test vm --root "$odd" --modules "$W" --target-root "$odd" \
	"$TMP/changes.lua" >/dev/null 2>"$TMP/says"
check 'a configuration that changed meanwhile: not tested' test $? = 3
wait
check 'is why' grep -q 'changes.lua gives /gnu/store/.*-system now, not /gnu/store/.*-system, which is to be switched to' "$TMP/said"
check 'nothing was switched' test ! -e "$odd/var/guix/profiles/system"

vm "$TMP/m.lua" --persistent "$TMP/st, ate" -o "$TMP/keep" >/dev/null 2>&1
check 'a machine that remembers' run "$TMP/keep"
check 'has a disk of its own' has "file=$TMP/st,, ate,format=qcow2,if=virtio"
check 'above that of the store' test "$(cat "$TMP/st, ate")" = "$disk"
check 'is started again' run "$TMP/keep"
check 'with the same disk' test "$(grep -c create "$TMP/calls")" = 1
echo /gnu/store/another >"$TMP/st, ate"
check 'not with that of another system' sh -c '! "$0" >"$1" 2>&1; grep -q "is not a disk of this system" "$1"' "$TMP/keep" "$TMP/args"
mv "$disk" "$disk.gone"
check 'a disk that was collected is named' sh -c '! "$0" >"$1" 2>&1; grep -q "disk.raw is gone" "$1"' "$TMP/run" "$TMP/args"
mv "$disk.gone" "$disk"

refuse() { # STATUS TEXT OPTION...
	want=$1 text=$2
	shift 2
	vm -o "$TMP/bad" "$@" >"$TMP/bad.out" 2>&1
	got=$?
	cat "$TMP/bad.out"
	[ $got = "$want" ] && grep -qF -e "$text" "$TMP/bad.out" && [ ! -e "$TMP/bad" ]
}
check 'a directory that is missing' refuse 1 'No such file' "$TMP/m.lua" --share "$TMP/none=/x"
check 'a file' refuse 1 'Not a directory' "$TMP/m.lua" --share "$TMP/m.lua=/x"
check 'a directory without a place' refuse 1 'is not HOST=GUEST' "$TMP/m.lua" --expose "$TMP"
for place in x / /dev/x /gnu/store /a/../b '/a b' '/a,b' ''; do
	check "a place such as '$place'" refuse 1 'the machine cannot mount' "$TMP/m.lua" --expose "$TMP=$place"
done
check 'two directories in one place' refuse 1 "two file systems are mounted at '/x'" "$TMP/m.lua" --expose "$TMP=/x" --share "$TMP=/x"
for port in 22 0:22 22:65536 a:b 22: 1:2:3; do
	check "a port such as '$port'" refuse 1 'is not HOST:GUEST' "$TMP/m.lua" --port "$port"
done
check 'too little memory' refuse 1 '64 to' "$TMP/m.lua" --memory 1
check 'a size that is none' refuse 1 'is not a size' "$TMP/m.lua" --free much
check 'too little room' refuse 1 'at least 64 MiB' "$TMP/m.lua" --free 1M
check 'a disk in no directory' refuse 1 'No such file' "$TMP/m.lua" --persistent "$TMP/none/x"
check 'a disk that is a directory' refuse 3 'no regular file' "$TMP/m.lua" --persistent "$TMP/world"
check 'no configuration' refuse 1 'CONFIG'
echo 'return 7' >"$TMP/seven.lua"
check 'something else' refuse 1 'not an operating_system' "$TMP/seven.lua"
finish
