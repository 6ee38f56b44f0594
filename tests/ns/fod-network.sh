#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The network of builders of fixed outputs, in a network of its own that has a web and a name server:
# what is reached, what is not, what serves it, and what descriptors do not leave a build (FOD-02, FOD-06,
# FOD-07, FOD-09).
# timeout: 240
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
for x in slirp4netns python3 ip setpriv; do
	command -v $x >/dev/null || { echo "skip: no $x"; exit 77; }
done
unset CAIRN_ROOT XDG_STATE_HOME CAIRN_TEST_WITHOUT
if [ "${1:-}" != inside ]; then
	[ "$(id -u)" = 0 ] || { echo "skip: only root can make /dev/net/tun usable"; exit 77; }
	unshare -n -m true 2>/dev/null || { echo "skip: no namespaces"; exit 77; }
	exec unshare -n -m "$0" inside
fi
: "${TMP:?}"
. "$SRC/tests/tap.inc"
conf=$TMP/conf
mkdir -p "$conf/bb/bin" "$TMP/world"
chmod 711 "$TMP"
cp "$busybox" "$conf/bb/bin/busybox"
gcc -static -O1 -w -o "$conf/bb/bin/smuggle" "$SRC/tests/ns/smuggle.c" || exit 1
smuggle=$conf/bb/bin/smuggle
cd "$conf" || exit 1

# ---- the network ----
mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200 && [ -w /dev/net/tun ] ||
	{ echo "skip: no TAP devices"; exit 77; }
ip link set lo up
ip addr add 192.0.2.1/24 dev lo
ip -6 addr add 2001:db8::1/64 dev lo nodad || { echo "skip: no IPv6"; exit 77; }
echo "nameserver 127.0.0.1" >"$TMP/resolv.conf"
[ -e /etc/resolv.conf ] || { echo "skip: no /etc/resolv.conf to mount on"; exit 77; }
mount --bind "$TMP/resolv.conf" /etc/resolv.conf
python3 "$SRC/tests/ns/fod-world.py" "$TMP/world" 2>"$TMP/world.log" &
world=$!
jobs_left=$world
trap 'kill $jobs_left 2>/dev/null' EXIT
retry test -e "$TMP/world/ready" || { cat "$TMP/world.log"; exit 1; }

# fod NAME SCRIPT [TEXT] > FILE: a fixed output, TEXT
fod() {
	cat <<END
local bb = source("bb", { name = "bb" })
return derivation { name = "$1", builder = bb .. "/bin/busybox", args = { "sh", "-c", [==[$2]==] },
	env = { b = bb .. "/bin/busybox", smuggle = bb .. "/bin/smuggle", try = [==[
t() { name=\$1; shift; if \$b timeout 20 "\$@" >/dev/null 2>&1; then echo can \$name; else echo cannot \$name; fi; }
get() { t "\$1" \$b wget -q -O - "http://\$1/"; }]==] },
	outputHash = "$(printf %s "${3:-done}" | sha256sum | cut -d' ' -f1)", outputHashMode = "flat", outputHashAlgo = "sha256" }
END
}
# With a descriptor that nobody closes: it is no business of builders and helpers.
build() { timeout 100 "$CAIRN" build --root "$TMP/root" --physical "$@" 9<"$TMP/resolv.conf" >"$TMP/out" 2>"$TMP/err"; }
log_of() { gzip -dc "${2:-$TMP/root}"/var/log/guix/drvs/*/*-"$1".drv.gz; }
says() { grep -qxF -- "$1" "$TMP/log"; }

facts='eval "$try"
for x in localhost 127.0.0.1 10.0.2.2 "[fd00::2]" 192.0.2.1 "[2001:db8::1]" lan.test; do get $x; done
t no-such-name $b wget -q -O - http://nosuch.test/
t dns $b nslookup lan.test 10.0.2.3
echo links $($b ls /sys/class/net 2>/dev/null) $($b ip -o link | $b cut -d: -f2)
echo devices $($b ls /dev)
echo resolver $($b cat /etc/resolv.conf)
echo processes $($b ls /proc | $b grep -c "^[0-9]")
[ $($b wget -q -O - http://lan.test/much | $b wc -c) = 100000 ] && echo whole
$b wget -q -O /dev/null http://192.0.2.1/look
printf done >$out'

check_facts() { # WHO, wants of loopback
	for x in localhost 127.0.0.1 10.0.2.2 "[fd00::2]"; do
		check "$1: $2 reach the machine's loopback as $x" says "$2 $x"
	done
	for x in 192.0.2.1 "[2001:db8::1]" lan.test; do
		check "$1: $x is reached" says "can $x"
	done
	check "$1: names are resolved" says "can dns"
	check "$1: a name that does not exist" says "cannot no-such-name"
	check "$1: a longer answer" says whole
	check "$1: two links" says "links lo tap0"
	check "$1: the name server" says "resolver nameserver 10.0.2.3"
	check "$1: no device to make more" grep -q "devices fd full null ptmx" "$TMP/log"
}
seen() { grep -qxE -- "$1" "$TMP/world/helper"; }
check_helper() { # WHO
	show=$TMP/world/helper
	check "FOD-06 $1: the helper is nobody's" seen "Uid( (65534|8[0-9]{8}|6[0-3][0-9]{3})){4}"
	for x in CapPrm CapEff CapAmb; do
		check "FOD-06 $1: $x of the helper" seen "$x 0+"
	done
	check "FOD-06 $1: no new privileges" seen "NoNewPrivs 1"
	check "FOD-06 $1: a filter" seen "Seccomp 2"
	for x in user mnt pid ipc uts; do
		check "FOD-06 $1: its own $x namespace" seen "$x own"
	done
	check "FOD-06 $1: it has left the builder's network" seen "net shared"
	check "FOD-06 $1: nothing but programs is to be seen" seen "root dev etc( lib| lib32| lib64)* usr"
	check "FOD-06 $1: nor in /etc" seen "etc resolv.conf"
	check "FOD-06 $1: what it says does not pile up" seen "files of 65536"
	check "FOD-06 $1: no environment" seen "environment "
	check "FOD-06 $1: no descriptor too many" seen "descriptors memfd:slirp4netns socket tun"
	show="$TMP/out $TMP/err"
}

# ---- as root, embedded: the loopback is shared ----
fod facts "$facts" >facts.lua
build -f facts.lua
result "a fixed output is built" $?
log_of facts >"$TMP/log"
show=$TMP/log
check_facts shared can
check_helper root

# ---- as nobody ----
mkdir "$TMP/nobody"
chown 65534:65534 "$TMP/nobody"
as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$TMP/nobody" timeout 100 "$CAIRN" build \
		--root "$TMP/nobody" --physical "$@" 9<"$TMP/resolv.conf" >"$TMP/out" 2>"$TMP/err"
}
as_nobody -f facts.lua
result "a fixed output is built by nobody" $?
log_of facts "$TMP/nobody" >"$TMP/log"
show=$TMP/log
check_facts nobody can
check_helper nobody

# ---- through a daemon that shuts the loopback ----
"$CAIRN" daemon --root "$TMP/shut" --isolate-host-loopback 2>"$TMP/daemon.log" &
jobs_left="$jobs_left $!"
retry test -S "$TMP/shut/var/guix/daemon-socket/socket"
timeout 100 "$CAIRN" build --socket "$TMP/shut/var/guix/daemon-socket/socket" -f facts.lua >"$TMP/out" 2>"$TMP/err"
result "FOD-07 a fixed output is built with the loopback shut" $?
log_of facts "$TMP/shut" >"$TMP/log"
show=$TMP/log
check_facts "FOD-07 shut" cannot
show="$TMP/out $TMP/err"

# ---- what breaks ----
fod kill 'eval "$try"; get 192.0.2.1; $b wget -q -O - http://192.0.2.1/kill; $b sleep 1000' >kill.lua
build -f kill.lua
[ $? = 100 ] && grep -q "the network of .*-kill.drv. broke down" "$TMP/err"
result "FOD-06 the helper's death ends the build" $?
fod offline 'eval "$try"; get 192.0.2.1; exit 1' >offline.lua
chmod 600 /dev/net/tun
as_nobody -f offline.lua
[ $? = 100 ] && grep -q "it had no network: cannot open /dev/net/tun: Permission denied .*chmod 0666" "$TMP/err"
result "without access to /dev/net/tun it is said" $?
chmod 666 /dev/net/tun
env PATH=/nowhere "$CAIRN" build --root "$TMP/root" -f offline.lua >"$TMP/out" 2>"$TMP/err"
[ $? = 100 ] && grep -q "it had no network: slirp4netns is not installed" "$TMP/err"
result "without slirp4netns it is said" $?
umount /etc/resolv.conf
mkfifo "$TMP/fifo"
mount --bind "$TMP/fifo" /etc/resolv.conf
fod fifo 'eval "$try"; get 192.0.2.1; printf done >$out' >fifo.lua
build -f fifo.lua
[ $? = 0 ] && log_of fifo | grep -qx "can 192.0.2.1"
result "FOD-09 a pipe in the place of resolv.conf holds nobody up" $?
umount /etc/resolv.conf

fod flood '$smuggle flood 192.0.2.1 80 && eval "$try" && get 192.0.2.1 && get lan.test; printf done >$out' >flood.lua
mount --bind "$TMP/resolv.conf" /etc/resolv.conf
build -f flood.lua
status=$?
log_of flood >"$TMP/log"
if [ $status = 0 ]; then says flooded && says "can 192.0.2.1" && says "can lan.test"; else grep -q "broke down" "$TMP/err"; fi
result "FOD-06 a flood of odd packets is borne, or ends the build" $? "$TMP/log"
umount /etc/resolv.conf

# ---- what lies where the daemon might write ----
echo canary >"$TMP/canary"
chmod 666 "$TMP/canary"
fod planted 'for x in .tmp .lock .new .part -x -check; do $b ln -s '"$TMP/canary"' $out$x; $b ln -s '"$TMP/canary"' $NIX_STORE/x$x; done
	printf done >$out' >planted.lua
build -f planted.lua
result "FOD-03 links beside the output" $?
is "FOD-03 nothing is written through them" "$(cat "$TMP/canary")" canary
check "FOD-03 and none of them stays" sh -c '! find "$1" -type l | grep -q .' sh "$TMP/root/gnu/store"
fod socket '$b mkdir $out; $smuggle leave $out/s' | sed 's/"flat"/"recursive"/' >socket.lua
build -f socket.lua
[ $? = 100 ] && grep -q "special file" "$TMP/err"
result "FOD-05 a socket in an output is refused" $?

# ---- descriptors that leave ----
# outside TAKE…: start an accomplice, wait until it listens
outside() {
	rm -f "$TMP/listens"
	"$smuggle" "$@" >"$TMP/accomplice" 2>&1 &
	accomplice=$!
	jobs_left="$jobs_left $accomplice"
	retry test -e "$TMP/listens"
}
# The output is sent out while it is written to; after the build the accomplice changes it.
smuggle_file() { # NAME: builds it, prints what the item holds in the end
	fod "$1" '$b printf done >$out; $smuggle send cairn-'"$1"' $out; :' >"$1.lua"
	mkfifo "$TMP/go-$1"
	outside take "cairn-$1" "$TMP/listens" "$TMP/go-$1" EVIL
	: >"$TMP/log"
	build -f "$1.lua" || { echo "not built"; return; }
	log_of "$1" >"$TMP/log"
	if says sent; then
		: >"$TMP/go-$1" # opened is enough: it may end before anything can be written, which is a SIGPIPE
		wait $accomplice
	else
		kill $accomplice
	fi
	cat "$(cat "$TMP/out")"
}
show="$TMP/log $TMP/accomplice $TMP/out $TMP/err"
text=$(smuggle_file guarded)
check "FOD-02 no descriptor leaves through an abstract socket" says "not sent: Connection refused"
is "FOD-02 the output is what was built" "$text" "done"
export CAIRN_TEST_WITHOUT="netns scope copy"
text=$(smuggle_file open)
is "FOD-02 without defences it leaves, and the store is changed" "$text" "EVIL"
export CAIRN_TEST_WITHOUT="netns scope"
text=$(smuggle_file copied)
check "FOD-02 without a network of its own it leaves" says sent
check "FOD-02 and is written to" grep -qx wrote "$TMP/accomplice"
is "FOD-02 but the output is a copy" "$text" "done"
if "$smuggle" scopes; then
	export CAIRN_TEST_WITHOUT="netns copy"
	text=$(smuggle_file scoped)
	check "FOD-02 the kernel's scope alone holds it" says "not sent: Operation not permitted"
	is "FOD-02 and the output is what was built" "$text" "done"
fi
unset CAIRN_TEST_WITHOUT
fod failing '$b printf done >left; $smuggle send cairn-failing left; exit 1' >failing.lua
outside take cairn-failing "$TMP/listens" "$TMP/go-none" EVIL
build -K -f failing.lua
log_of failing >"$TMP/log"
check "FOD-02 nor from a build that fails and is kept" says "not sent: Connection refused"
kill $accomplice
# A program that the builder made is executed outside.
smuggle_program() {
	fod "$1" '$b cp $smuggle p; $b chmod 755 p; $smuggle lend cairn-'"$1"' p; printf done >$out' >"$1.lua"
	outside run "cairn-$1" "$TMP/listens"
	build -f "$1.lua" || return
	log_of "$1" >"$TMP/log"
	if says sent; then wait $accomplice; else kill $accomplice; fi
}
export CAIRN_TEST_WITHOUT="netns scope"
smuggle_program execopen
check "FOD-02 without defences a builder's program is executed outside" grep -qx executed "$TMP/accomplice"
unset CAIRN_TEST_WITHOUT
smuggle_program execguarded
check "FOD-02 no program leaves" says "not sent: Connection refused"
check "FOD-02 and none is executed" test ! -s "$TMP/accomplice"
check "nothing of the helpers is left" sh -c '! pgrep -x slirp4netns --ns "$1" --nslist net >/dev/null' sh $$
finish
