#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
# A container image runs: its layers, unpacked in order by GNU tar, are the root of a container whose PID 1 is
# cairn-init; services come up with the few privileges that container programs give, /etc/hosts and the like
# being mounted from outside; it ends when it is told to.
set -u
if [ -z "${INSIDE:-}" ]; then
	unshare -Urm true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
	command -v musl-gcc >/dev/null || { echo "skip: no musl-gcc (Debian: musl-tools)"; exit 77; }
	. "$SRC/tests/cmd/world.inc"
	real_init
	# With a service that is shut in as far as it goes: Docker refuses it mounts of its own.
	sed 's|services.base {}|services.base { services.simple { name = "shut-in", exec = { require "packages.busybox" .. "/bin/busybox", "sleep", "9999" } } }|' "$SRC/examples/minimal.lua" >"$TMP/minimal.lua"
	"$CAIRN" system image -t docker --root "$TMP/r" --modules "$W" -o "$TMP/image.tar" \
		"$TMP/minimal.lua" >"$TMP/log" 2>&1 || { cat "$TMP/log"; exit 1; }
	INSIDE=1 exec unshare -Urmui --propagation private sh "$0"
fi

. "$SRC/tests/tap.inc"
quiet=yes show="$TMP/out $TMP/console"
R=$TMP/root INIT=
trap '[ -z "$INIT" ] || kill -9 $INIT 2>/dev/null' EXIT

mkdir "$TMP/oci" && tar -C "$TMP/oci" -xf "$TMP/image.tar" || exit 1
python3 - "$TMP/oci" >"$TMP/run" <<'PY'
import json, sys
image, = json.load(open(sys.argv[1] + "/manifest.json"))
config = json.load(open(f"{sys.argv[1]}/{image['Config']}"))
print(*image["Layers"])
print(*config["config"]["Entrypoint"])
print(*config["config"]["Env"])
PY
layers=$(sed -n 1p "$TMP/run") entry=$(sed -n 2p "$TMP/run") environment=$(sed -n 3p "$TMP/run")

unpack() {
	mkdir -p "$R" && mount -t tmpfs -o mode=0755 tmpfs "$R" || return 1
	for layer in $layers; do
		tar --no-same-owner -C "$R" -xpf "$TMP/oci/$layer" || return 1
	done
}
# What container programs put there.
prepare() {
	mount -t tmpfs -o mode=0755 tmpfs "$R/dev" && mkdir "$R/dev/shm" "$R/dev/pts" || return 1
	for d in null zero full random urandom; do
		: >"$R/dev/$d" && mount --bind "/dev/$d" "$R/dev/$d" || return 1
	done
	for f in hosts hostname resolv.conf; do
		echo "# $f from outside" >"$TMP/$f"
		: >"$R/etc/$f" && mount --bind "$TMP/$f" "$R/etc/$f" || return 1
	done
}
# As Docker has it unless told otherwise; all with "privileged".
few=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw
few=$few,+sys_chroot,+mknod,+audit_write,+setfcap
start() { # BOUNDING-SET
	# shellcheck disable=SC2016,SC2086
	unshare -p -f --kill-child sh -c 'mount -t proc proc "$1/proc" && root=$1 set=$2 && shift 2 &&
		exec setpriv --bounding-set="$set" --inh-caps=-all env -i "$@"' sh "$R" "$1" $environment \
		"$(command -v chroot)" "$R" $entry >"$TMP/console" 2>&1 </dev/null &
	INIT=$!
}
inside() { nsenter -p -t "$(first)" chroot "$R" /run/current-system/profile/bin/cairn "$@"; }
is_up() { inside service list --json | grep -q "\"name\":\"$1\",.*\"state\":\"up\""; }
ended() { ! kill -0 $INIT; }
first() { # the process that is PID 1 of the container
	tr -d ' ' <"/proc/$INIT/task/$INIT/children"
}

for kind in ordinary privileged; do
	check "$kind: layers" unpack
	check "$kind: mounts" prepare
	set -- "$R"/gnu/store/*-busybox-*/bin/busybox
	check "$kind: the shell in it runs" chroot "$R" "${1#"$R"}" sh -c 'exit 0'
	if [ $kind = ordinary ]; then start "$few"; else start +all; fi
	check "$kind: PID 1 answers" retry inside service list
	for s in activation base cairn-daemon shut-in; do
		check "$kind: $s is up" retry is_up $s
	done
	check "$kind: accounts are made" grep -q ^root: "$R/etc/passwd"
	check "$kind: files from outside stay" grep -q 'hosts from outside' "$R/etc/hosts"
	check "$kind: others are the system's" [ -L "$R/etc/profile" ]
	check "$kind: the system knows itself" inside system describe
	check "$kind: TERM" kill -TERM "$(first)"
	check "$kind: ends it" retry ended
	wait $INIT
	INIT=
	check "$kind: in order" grep -q 'services are down' "$TMP/console"
	if [ $kind = ordinary ]; then # what "docker restart" does: the same root again, /run as it was left
		start "$few"
		check "$kind: starts again" retry is_up cairn-daemon
		check "$kind: and ends" kill -TERM "$(first)"
		check "$kind: again" retry ended
		wait $INIT
		INIT=
	fi
	umount -R "$R"
done
finish
