#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Images besides the raw disk: tar file, container image, qcow2. Read back with other programs (tar, python,
# skopeo, qemu-img), equal bytes whoever writes them, clear refusals.
set -u
. "$SRC/tests/tap.inc"
quiet=yes
for tool in python3 skopeo qemu-img sqlite3 nix-hash busybox; do
	command -v $tool >/dev/null || {
		echo "skip: $tool is not installed"
		exit 77
	}
done
unset CAIRN_ROOT
cat >"$TMP/tool.py" <<'PY'
"""tree FILE... PREFIX: list what the tar files, applied in order, leave; store DIR: list the same of a store."""
import hashlib, json, os, stat, sys, tarfile

def quote(b):
    return "".join(chr(c) if 32 < c < 127 and c != 92 else "\\%03o" % c for c in b)

def of_tar(files):
    out = {}
    for f in files:
        with tarfile.open(f, encoding="utf-8", errors="surrogateescape") as t:
            for m in t:
                name = os.fsencode(m.name).strip(b"/")
                kind = "d" if m.isdir() else "f" if m.isreg() else "l" if m.issym() else "?"
                what = ""
                if kind == "f":
                    what = hashlib.sha256(t.extractfile(m).read()).hexdigest()
                elif kind == "l":
                    what = quote(os.fsencode(m.linkname))
                out[name] = f"{kind} {m.mode:04o} {m.uid} {m.gid} {m.mtime} {m.uname}{m.gname} {what}"
    return out

def of_store(top):
    out = {}
    top = os.fsencode(top)
    for base, dirs, files in os.walk(top + b"/gnu/store"):
        for name in dirs + files + [b""]:
            p = os.path.join(base, name).rstrip(b"/")
            s = os.lstat(p)
            rel = p[len(top) + 1:]
            inside = rel != b"gnu/store"
            if stat.S_ISDIR(s.st_mode):
                row = ("0555" if inside else "0755") + " 0 0 1  "
                kind = "d"
            elif stat.S_ISLNK(s.st_mode):
                kind, row = "l", "0777 0 0 1  " + quote(os.readlink(p))
            else:
                mode = "0555" if s.st_mode & 0o100 else "0444"
                kind, row = "f", mode + " 0 0 1  " + hashlib.sha256(open(p, "rb").read()).hexdigest()
            out[rel] = f"{kind} {row}"
    return out

def show(table, below):
    for name in sorted(table):
        if name == below or name.startswith(below + b"/"):
            print(quote(name), table[name])

def blob(top, digest):
    kind, _, value = digest.partition(":")
    data = open(os.path.join(top, "blobs", kind, value), "rb").read()
    assert hashlib.sha256(data).hexdigest() == value, digest
    return data

def layers(top):
    """Check an unpacked image; print its layers, lowest first."""
    assert json.load(open(f"{top}/oci-layout"))["imageLayoutVersion"] == "1.0.0"
    index = json.load(open(f"{top}/index.json"))
    assert len(index["manifests"]) == 1
    d = index["manifests"][0]
    raw = blob(top, d["digest"])
    assert len(raw) == d["size"]
    manifest = json.loads(raw)
    used = {d["digest"], manifest["config"]["digest"]}
    config = json.loads(blob(top, manifest["config"]["digest"]))
    for layer in manifest["layers"]:
        assert len(blob(top, layer["digest"])) == layer["size"]
        used.add(layer["digest"])
    digests = [x["digest"] for x in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == digests, "layers are tar files as they are"
    assert len(config["history"]) == len(digests) == len(set(digests))
    docker, = json.load(open(f"{top}/manifest.json"))
    assert docker["Layers"] == ["blobs/" + x.replace(":", "/") for x in digests]
    assert docker["Config"] == "blobs/" + manifest["config"]["digest"].replace(":", "/")
    assert {"sha256:" + x for x in os.listdir(f"{top}/blobs/sha256")} == used
    return [f"{top}/{x}" for x in docker["Layers"]]

command, *args = sys.argv[1:]
if command == "tar":
    show(of_tar(args[1:]), os.fsencode(args[0]))
elif command == "store":
    show(of_store(args[0]), b"gnu/store")
elif command == "layers":
    print("\n".join(layers(args[0])))
PY
tool() { python3 "$TMP/tool.py" "$@"; }

# A closure of four items below the directory $1: everything needs linux, only the system needs tree; names
# and targets are what a file system allows.
h=123456789abcdfghijklmnpqrsvwxyz
linux=/gnu/store/0$h-linux-6.1 system=/gnu/store/1$h-system tree=/gnu/store/2$h-tree
config=/gnu/store/3$h-system.lua
make_store() {
	mkdir -p "$1$linux" "$1$system/config" "$1$tree/bin"
	seq 1 100000 >"$1$linux/bzImage"
	: >"$1$linux/empty"
	ln -s $linux/bzImage "$1$system/kernel"
	echo 'return 1' >"$1$config"
	ln -s $config "$1$system/config/system.lua"
	python3 - "$1$tree" "$2" <<'PY'
import os, sys
top, order = os.fsencode(sys.argv[1]), int(sys.argv[2])
long = b"n" * 255
names = [b"new\nline", b"\xff\xfe bytes", "\u00e4".encode(), b"back\\slash", b"%s", b"-x", b" ", long, b"a" * 100,
         b"a" * 101, b"\xe4" * 255]
for n in names[::order]:
    open(os.path.join(top, n), "wb").write(n)
    os.symlink(n, os.path.join(top, b"bin", n))
for i, length in list(enumerate([99, 100, 101, 255, 4095]))[::order]:
    os.symlink((b"t/" * 2500)[:length - 1] + b"x", os.path.join(top, b"link%d" % i))
deep = top
for i in range(12):
    deep = os.path.join(deep, b"deep" * 20)
    os.mkdir(deep)
open(os.path.join(deep, b"file"), "w").write("at the end")
PY
	cp /bin/true "$1$tree/bin/true"
	chmod 755 "$1$tree/bin/true"
}
make_store "$TMP/a" 1
for item in $linux $config; do printf '%s\n\n0\n' $item; done >"$TMP/closure"
printf '%s\n\n1\n%s\n' $tree $linux >>"$TMP/closure"
printf '%s\n\n3\n%s\n%s\n%s\n' $system $linux $config $tree >>"$TMP/closure"

write() { # write KIND STORE IMAGE [OPTION...]
	kind=$1 prefix=$2 file=$3
	shift 3
	mkdir -p "$file.work"
	"$CAIRN" builder "image-$kind" --closure "$TMP/closure" --system $system --store-prefix "$prefix" \
		--work "$file.work" -o "$file" "$@"
}

# ---- tar
tgz=$TMP/a.tar.gz
tool store "$TMP/a" >"$TMP/want"
check 'a tar file is written' write tarball "$TMP/a" "$tgz"
tool tar gnu/store "$tgz" >"$TMP/got" 2>&1
check 'it has the closure: names, modes, owners, times, contents' diff "$TMP/want" "$TMP/got"
tool tar etc "$tgz" >"$TMP/etc"
check 'the configuration is a file of its own' grep -q '^etc/cairn/system.lua f 0644 0 0 1' "$TMP/etc"
tool tar var "$tgz" >"$TMP/var"
check 'the first generation' grep -qF "var/guix/profiles/system-1-link l 0777 0 0 1  $system" "$TMP/var"
tool tar boot "$tgz" >"$TMP/boot"
check 'there is no boot menu' sh -c "! grep -q 'boot/.* f ' '$TMP/boot'"
check 'gzip says neither name nor time' [ "$(head -c 10 "$tgz" | od -An -tx1 | tr -d ' ')" = 1f8b0800000000000003 ]
mkdir "$TMP/x"
check 'GNU tar unpacks it' tar --no-same-owner --warning=no-unknown-keyword -C "$TMP/x" -xpf "$tgz"
check 'names, targets and contents' diff -r --no-dereference "$TMP/a/gnu" "$TMP/x/gnu"
check '/tmp is 1777' [ "$(stat -c %a "$TMP/x/tmp")" = 1777 ]
check 'the top is 755' [ "$(stat -c %a "$TMP/x")" = 755 ]
rows() { sqlite3 "$1/var/guix/db/db.sqlite" "select path || '|' || hash || '|' || registrationTime from ValidPaths order by path"; }
expect() {
	for item in $linux $system $tree $config; do
		echo "$item|sha256:$(nix-hash --type sha256 "$TMP/a$item")|1"
	done
}
expect >"$TMP/hashes"
rows "$TMP/x" >"$TMP/rows"
check 'the database has the hashes of the items' diff "$TMP/hashes" "$TMP/rows"

# ---- container
image=$TMP/a.docker.tar
check 'a container image is written' write docker "$TMP/a" "$image" --name stone:1.0
mkdir "$TMP/oci"
check 'tar unpacks it' tar -C "$TMP/oci" -xf "$image"
check 'hashes, sizes and lists agree' tool layers "$TMP/oci"
cp "$TMP/out" "$TMP/layers"
check 'a layer for each item and one for the rest' [ "$(grep -c . "$TMP/layers")" = 5 ]
tar -tf "$(sed -n 1p "$TMP/layers")" >"$TMP/first"
above() { # does each layer say what the directories above the store are?
	while read -r layer; do
		[ "$(tool tar gnu "$layer" | grep -c '^gnu\(/store\)\? d 0755 0 0 1')" = 2 ] || return 1
	done <"$TMP/layers"
}
check 'each has the directories above the store' above
check 'the first is what most need' grep -q "linux-6.1/bzImage" "$TMP/first"
check 'and nothing else' sh -c "! grep -v -e '^gnu/\$' -e '^gnu/store/\$' -e linux-6.1 '$TMP/first'"
xargs python3 "$TMP/tool.py" tar gnu/store <"$TMP/layers" >"$TMP/got" 2>&1
check 'the layers make the closure' diff "$TMP/want" "$TMP/got"
mkdir "$TMP/root"
apply() {
	while read -r layer; do
		tar --no-same-owner --warning=no-unknown-keyword -C "$TMP/root" -xpf "$layer" || return 1
	done <"$TMP/layers"
}
check 'GNU tar applies them' apply
check 'to the root of the tar file' diff -r --no-dereference "$TMP/x" "$TMP/root"
check 'skopeo knows the archive of docker' skopeo inspect "docker-archive:$image"
check 'with its label' grep -qF "\"cairn.system\": \"$system\"" "$TMP/last"
check 'by name and tag' skopeo inspect "docker-archive:$image:stone:1.0"
check 'skopeo knows the layout of OCI' skopeo inspect --config "oci-archive:$image"
cp "$TMP/out" "$TMP/config"
check 'what is run' grep -qF "\"$system/init\"" "$TMP/config"
check 'how it is stopped' grep -qF '"StopSignal": "SIGTERM"' "$TMP/config"
check 'its tag' skopeo inspect "oci-archive:$image:1.0"
check 'skopeo copies it' skopeo copy --insecure-policy "docker-archive:$image" "dir:$TMP/dir"
check 'and takes it as OCI' skopeo copy --insecure-policy --preserve-digests "oci-archive:$image" "oci:$TMP/again:x"
check 'with the same digest' sh -c "cd '$TMP' && grep -o 'sha256:[0-9a-f]*' oci/index.json >1 && grep -o 'sha256:[0-9a-f]*' again/index.json >2 && cmp 1 2"
check 'three layers' write docker "$TMP/a" "$TMP/three.tar" --layers 3
mkdir "$TMP/oci3"
tar -C "$TMP/oci3" -xf "$TMP/three.tar"
tool layers "$TMP/oci3" >"$TMP/layers3"
check 'are three' [ "$(grep -c . "$TMP/layers3")" = 3 ]
xargs python3 "$TMP/tool.py" tar gnu/store <"$TMP/layers3" >"$TMP/got" 2>&1
check 'with the same closure' diff "$TMP/want" "$TMP/got"
check 'and the same first layer' [ "$(sed -n '1s,.*/,,p' "$TMP/layers")" = "$(sed -n '1s,.*/,,p' "$TMP/layers3")" ]
check 'nothing is left in the scratch directory' [ "$(ls "$image.work")" = db.sqlite ]

# ---- qcow2
disk=$TMP/disk.raw
truncate -s 700M "$disk"
check 'an empty disk' "$CAIRN" builder image-qcow2 --input "$disk" -o "$TMP/empty.qcow2"
for at in 0 65535 536870911 536870912 733999999; do
	printf x | dd of="$disk" bs=1 seek=$at conv=notrunc 2>/dev/null
done
check 'a disk' "$CAIRN" builder image-qcow2 --input "$disk" -o "$TMP/disk.qcow2"
for d in empty disk; do
	check "qemu-img finds nothing in the $d one" qemu-img check "$TMP/$d.qcow2"
done
check 'and no difference' qemu-img compare -f qcow2 -F raw "$TMP/disk.qcow2" "$disk"
check 'version 3' sh -c "qemu-img info '$TMP/disk.qcow2' | grep -q 'compat: 1.1'"
check 'only data is in it' [ "$(stat -c %s "$TMP/disk.qcow2")" -lt 1000000 ]
cp --sparse=never "$disk" "$TMP/full.raw"
check 'the same disk without holes' "$CAIRN" builder image-qcow2 --input "$TMP/full.raw" -o "$TMP/full.qcow2"
check 'is the same image' cmp "$TMP/disk.qcow2" "$TMP/full.qcow2"

# ---- The same bytes: other times, modes, order of creation, umask, time zone, user.
make_store "$TMP/b" -1
find "$TMP/b" -exec touch -h -d 2001-01-01 {} +
find "$TMP/b" -type f ! -perm -0100 -exec chmod 0604 {} +
chmod -R go-w,a+rX "$TMP/b" "$TMP/closure" "$disk"
mkdir -m 777 "$TMP/free"
as_other() {
	if [ "$(id -u)" = 0 ]; then
		chmod a+x "$TMP"
		setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
	else
		"$@"
	fi
}
other() { # other KIND [OPTION...]
	kind=$1
	shift
	(
		umask 077
		TZ=Asia/Tokyo SOURCE_DATE_EPOCH=99999 LC_ALL=C.UTF-8 as_other "$CAIRN" builder "image-$kind" "$@"
	)
}
with="--closure $TMP/closure --system $system --store-prefix $TMP/b --work $TMP/free"
# shellcheck disable=SC2086
check 'another user writes the tar file' other tarball $with -o "$TMP/free/tar"
check 'the same one' cmp "$tgz" "$TMP/free/tar"
# shellcheck disable=SC2086
check 'another user writes the container image' other docker $with --name stone:1.0 -o "$TMP/free/docker"
check 'the same one' cmp "$image" "$TMP/free/docker"
check 'another user writes the disk' other qcow2 --input "$disk" -o "$TMP/free/qcow2"
check 'the same one' cmp "$TMP/disk.qcow2" "$TMP/free/qcow2"

# ---- Refusals: one error, nothing left behind.
refuse() { # NAME TEXT COMMAND...
	name=$1 text=$2
	shift 2
	! "$@" >"$TMP/bad.out" 2>&1 && [ "$(grep -c . "$TMP/bad.out")" -le 2 ] && grep -qF -e "$text" "$TMP/bad.out" &&
		[ ! -e "$TMP/bad" ]
	result "$name" $? "$TMP/bad.out"
}
qcow2() { "$CAIRN" builder image-qcow2 --input "$1" -o "$TMP/bad"; }
: >"$TMP/nothing"
truncate -s 1000 "$TMP/odd"
refuse 'qcow2 of nothing' 'not a multiple of 512' qcow2 "$TMP/nothing"
refuse 'qcow2 of an odd size' 'not a multiple of 512' qcow2 "$TMP/odd"
refuse 'qcow2 of a directory' 'no regular file' qcow2 "$TMP/x"
refuse 'qcow2 of a missing file' 'No such file' qcow2 "$TMP/missing"
refuse 'a name with capitals' "'Stone' is no name" write docker "$TMP/a" "$TMP/bad" --name Stone
refuse 'one layer' '2 to 125 layers' write docker "$TMP/a" "$TMP/bad" --layers 1
full() { # an image of KIND on a file system without room
	unshare -Urm sh -c 'mount -t tmpfs -o size=64k tmpfs "$1" && cd "$1" && shift && exec "$@"' sh "$TMP/small" \
		"$CAIRN" builder "image-$1" --closure "$TMP/closure" --system $system --store-prefix "$TMP/a" --work "$TMP/free" \
		-o "$TMP/small/image"
}
mkdir "$TMP/small" "$TMP/d"
if unshare -Urm true 2>/dev/null; then
	refuse 'a tar file without room' 'No space' full tarball
	refuse 'a container image without room' 'No space' full docker
fi
cp -a "$TMP/a/gnu" "$TMP/d/" && mkfifo "$TMP/d$tree/pipe"
refuse 'a pipe in a tar file' 'neither file, directory nor link' write tarball "$TMP/d" "$TMP/bad"
refuse 'a pipe in a container image' 'neither file, directory nor link' write docker "$TMP/d" "$TMP/bad"
printf '%s\n\n0\n' $linux >"$TMP/closure"
refuse 'a closure without the system' 'is not in the closure' write docker "$TMP/a" "$TMP/bad"

# ---- From a configuration to an image; the raw disk is a stand-in.
W=$TMP/world
"$(dirname "$0")/mock-world" "$W" || exit 1
cat >"$W/image/raw.lua" <<'X'
return function(os, args)
	local busybox = require "packages.busybox" .. "/bin/busybox"
	return { image = derivation { name = os.host_name .. ".raw", builder = busybox,
		args = { "sh", "-ec", busybox .. " dd if=/dev/zero of=$out bs=1024 count=" .. (args.free or 1024) .. "; echo x >>$out;"
			.. busybox .. " truncate -s 10M $out" .. (args.volatile and "; head -c 9 /proc/sys/kernel/random/uuid >>$out" or ""),
			busybox } } }
end
X
sed 's/host_name = "cairn"/host_name = "Stone-"/' "$SRC/examples/minimal.lua" >"$TMP/stone.lua"
system_image() { "$CAIRN" system image --root "$TMP/r" --modules "$W" "$@"; }
cat >"$TMP/shape.py" <<'P'
import json, sys
x = json.load(open(sys.argv[1]))
dry, built, file = sys.argv[2] == "dry", sys.argv[3] == "built", sys.argv[4] or None
assert list(x) == ["type", "dry_run", "image", "file", "derivations"], x
assert x["type"] == "raw" and x["dry_run"] is dry and x["file"] == file and x["image"].startswith("/gnu/store/") and x["image"].endswith("-Stone-.raw"), x
assert built == (not x["derivations"]) and all(d.endswith(".drv") for d in x["derivations"]), x
P
shape() { # DRY BUILT FILE OPTION...: is what is printed as data so?
	set -- "$@" "$TMP/stone.lua"
	dry=$1 built=$2 file=$3
	shift 3
	system_image --json "$@" >"$TMP/json" && python3 "$TMP/shape.py" "$TMP/json" "$dry" "$built" "$file"
}
would() { system_image -n "$TMP/stone.lua" >"$TMP/list" && grep -q -- '-Stone-.raw.drv$' "$TMP/list"; }
check 'a dry run says what it would build' would
check 'also as data' shape dry missing '' -n -o "$TMP/dry.raw"
check 'and builds nothing' sh -c '! ls "$TMP/r"/gnu/store/*-Stone-.raw "$TMP/dry.raw"'
check 'as it is done' shape done built "$TMP/wet.raw" -o "$TMP/wet.raw"
check 'then nothing is left to do' shape dry built '' -n
check 'the list of types' sh -c '"$CAIRN" system image --list-image-types >"$TMP/list" && [ "$(cut -d" " -f1 "$TMP/list" | tr "\n" " ")" = "docker initramfs iso9660 qcow2 raw tarball " ]'
check 'the list as data' sh -c '"$CAIRN" system image --list-image-types --json | python3 -c "
import json, sys
print([t[\"name\"] for t in json.load(sys.stdin) if t[\"description\"]])" >"$TMP/list" && grep -qF "docker'"'"', '"'"'initramfs" "$TMP/list"'
# The arguments that options become; the stand-in for image.raw above only looks at one of them.
refused() { # TEXT OPTION...
	text=$1
	shift
	system_image "$@" "$TMP/stone.lua" >"$TMP/refused" 2>&1
	[ $? = 1 ] && grep -qF -e "$text" "$TMP/refused"
}
check '--volatile is not for containers' refused "--volatile is for disks, not for 'docker'" --volatile -t docker
check '--label is not for tar files' refused "--label is for disks and ISO images, not for 'tarball'" --label X -t tarball
check '--image-size takes a size' refused "'big' is not a size" --image-size big
check 'a tar file is the same each time' system_image -t tarball --check "$TMP/stone.lua"
differs() {
	system_image --check --volatile "$TMP/stone.lua" >"$TMP/refused" 2>&1
	[ $? = 102 ]
}
check 'one that differs is found out' differs
check 'tarball' system_image -t tarball "$TMP/stone.lua" -o "$TMP/stone.tar.gz"
mkdir "$TMP/s"
check 'it unpacks' tar --no-same-owner -C "$TMP/s" -xpf "$TMP/stone.tar.gz"
check 'to a system' [ -e "$TMP/s$(readlink "$TMP/s/var/guix/profiles/system-1-link")/services" -o -L "$TMP/s$(readlink "$TMP/s/var/guix/profiles/system-1-link")/services" ]
check 'docker' system_image -t docker "$TMP/stone.lua" -o "$TMP/stone.tar"
check 'its name is that of the host' skopeo inspect "docker-archive:$TMP/stone.tar:stone:latest"
mkdir "$TMP/so"
tar -C "$TMP/so" -xf "$TMP/stone.tar"
check 'it is whole' tool layers "$TMP/so"
cp "$TMP/out" "$TMP/layers"
check 'with at most 40 layers' [ "$(grep -c . "$TMP/layers")" -le 40 ]
xargs -n 1 tar -tf <"$TMP/layers" >"$TMP/names"
check 'a kernel is not in it' sh -c "grep -q busybox-1.0 '$TMP/names' && ! grep -q linux-1.0 '$TMP/names'"
killed() { # at any moment: the image has its name when it is complete
	for after in 0.01 0.02 0.04 0.06 0.08 0.1 0.15 0.2 0.3; do
		timeout -s KILL $after "$CAIRN" system image --root "$TMP/r" --modules "$W" -t docker "$TMP/stone.lua" -o "$TMP/killed/x"
		[ ! -e "$TMP/killed/x" ] || cmp "$TMP/killed/x" "$TMP/stone.tar" || return 1
		rm -f "$TMP/killed/x"
	done
	system_image -t docker "$TMP/stone.lua" -o "$TMP/killed/x" && cmp "$TMP/killed/x" "$TMP/stone.tar" &&
		[ "$(ls -A "$TMP/killed")" = x ]
}
mkdir "$TMP/killed"
check 'killed on the way, and again' killed
check 'docker, with a name' system_image -t docker --name registry.example:5000/a/b:c "$TMP/stone.lua" -o "$TMP/stone.tar"
check 'it is known by that' skopeo inspect "docker-archive:$TMP/stone.tar:registry.example:5000/a/b:c"
check 'qcow2' system_image -t qcow2 --free 2048 "$TMP/stone.lua" -o "$TMP/stone.qcow2"
check 'it is the raw disk' sh -c '[ "$(od -An -c -j2097152 -N1 "$1" | tr -d " ")" = x ] && qemu-img compare "$1" "$2"' sh \
	"$(system_image --physical --free 2048 "$TMP/stone.lua" 2>/dev/null)" "$TMP/stone.qcow2"
# Images that are directories; the writer is a stand-in.
cat >"$W/image/initramfs.lua" <<'X'
return function(os)
	local busybox = require "packages.busybox" .. "/bin/busybox"
	return { image = derivation { name = "d", builder = busybox,
		args = { "sh", "-ec", busybox .. " mkdir $out; echo " .. os.timezone .. " >$out/one; echo 2 >$out/two" } } }
end
X
in_memory() { system_image -t initramfs "$TMP/stone.lua" -o "$1"; }
check 'initramfs' in_memory "$TMP/memory"
check 'its path' test "$(tail -n 1 "$TMP/out")" = "$(realpath "$TMP/memory")"
check 'a name that ends in a slash' in_memory "$TMP/slash/"
check 'is a directory, too' cmp "$TMP/slash/two" "$TMP/memory/two"
check 'its files' test "$(cd "$TMP/memory" && cat one two | tr '\n' ' ')" = 'UTC 2 '
echo mine >"$TMP/memory/mine"
echo old >"$TMP/memory/one"
check 'once more' in_memory "$TMP/memory"
check 'replaces its own' test "$(cd "$TMP/memory" && cat one mine | tr '\n' ' ')" = 'UTC mine '
check 'and leaves nothing else' test "$(ls -A "$TMP/memory" | tr '\n' ' ')" = 'mine one two '
into() { ! in_memory "$1" && grep -qF "$2" "$TMP/out"; }
check 'not where a file is' into "$TMP/stone.lua" 'is there and no directory'
check 'not below what is missing' into "$TMP/none/x" 'No such file'
refuse '--free for a tar file' '--free is for disks' system_image -t tarball --free 1G "$TMP/stone.lua" -o "$TMP/bad"
refuse '--name for a disk' '--name is for container images' system_image --name x "$TMP/stone.lua" -o "$TMP/bad"
refuse 'a bad name' "'X' is no name" system_image -t docker --name X "$TMP/stone.lua" -o "$TMP/bad"
refuse 'a dry run that builds twice' '--check builds' system_image -n --check "$TMP/stone.lua" -o "$TMP/bad"
echo 'return 7' >"$TMP/seven.lua"
for t in tarball docker qcow2; do
	[ $t = qcow2 ] || refuse "$t of something else" 'not an operating_system' system_image -t $t "$TMP/seven.lua" -o "$TMP/bad"
done
finish
