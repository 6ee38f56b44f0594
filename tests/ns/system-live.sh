#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Switching a machine whose PID 1 cannot read the new services, or does not answer at all.
INIT_TEST_UNSHARE=--uts
. "$SRC/tests/ns/init.inc"
make_root
cp "$CAIRN" "$R/cairn"

# system NUMBER: a generation, empty but for its services (standard input)
system() {
	item=/gnu/store/$(printf '%032d' "$1")-system
	g=$R$item
	mkdir -p "$g/boot" "$g/services" "$g/etc"
	: >"$g/accounts" >"$g/activation" >"$g/facts" >"$g/init" >"$g/kernel" >"$g/initrd" >"$g/packages"
	printf 'cairn-boot-entry 1\nlabel System %s\nkernel %s/kernel\nparameters quiet\n' "$1" "$item" >"$g/boot/entry"
	printf '[system]\nlabel = System %s\n' "$1" >"$g/facts"
	printf '[menu]\nloader = grub\ntimeout = %s\n' "$1" >"$g/boot/menu"
	cat >"$g/services/set"
	ln -s "$item" "$R/var/guix/profiles/system-$1-link"
}
mkdir -p "$R/var/guix/profiles" "$R/var/guix/gcroots"
system 1 <<'X'
[init]
environment = LANG=C
environment = "OLD=a b"
[service same]
exec = /bin/sleep 2001
X
one=$item
ln -s system-1-link "$R/var/guix/profiles/system"
ln -s "$item" "$R/run/booted-system"
system 2 <<'X'
[init]
environment = LANG=C.UTF-8
environment = "NEW=a b"
[service same]
exec = /bin/sleep 2001
[service more]
exec = /bin/sleep 2002
X
two=$item
# As a later version writes it; only its own program can read it.
system 3 <<'X'
[service same]
exec = /bin/sleep 2001
colour = green
[service other]
exec = /bin/sleep 2003
X
three=$item
mkdir -p "$g/cairn/bin"
cat >"$g/cairn/bin/cairn" <<'X'
#!/bin/sh
for a in "$3" "$4"; do grep -v ^colour "$a" >"/tmp/${a#/gnu/store/*-system/services/}.$((n = n + 1))"; done
exec /cairn "$1" "$2" /tmp/set.1 /tmp/set.2
X
chmod +x "$g/cairn/bin/cairn"

boot <"$R$one/services/set"
retry is_state same up
same=$(pid same)
inner=$(cat "/proc/$INIT/task/$INIT/children")
# Inside the machine: its processes, its files.
inside() { nsenter --pid="/proc/${inner% }/ns/pid" chroot "$R" env -u CAIRN_INIT_SOCKET -u CAIRN_ROOT "$@" </dev/null >"$TMP/out" 2>"$TMP/err"; }
machine() { inside /cairn system "$@"; }
current() { readlink "$R/var/guix/profiles/system"; }
says() { grep -qE -- "$1" "$TMP/out" || { sed 's/^/# /' "$TMP/out" "$TMP/err"; false; }; }

check "a set that init knows" machine switch-generation 2
check "plan: a variable that changes" says 'variables  ~ LANG'
check "plan: one that goes" says ' - OLD'
check "plan: one that comes" says ' [+] NEW'
check "plan: who sees it" says 'services that run keep theirs until they are restarted'
check "plan: the label" says 'label +System 1 -> System 2'
check "plan: a setting of the menu" says 'menu timeout +1 -> 2'
check "the new service runs" is_state more up

check "a set that the running init cannot read is planned" machine switch-generation --dry-run 3
check "from the sets" says 'start other'
check "also what it stops" says 'stop more'
check "as what it is" says '(at the next boot)'
check "and why" says 'init  +takes effect at the next boot'
check "a dry run changes nothing" [ "$(current)" = system-2-link ]
check "it does not keep the system from being switched" machine switch-generation 3
check "the profile names it" [ "$(current)" = system-3-link ]
check "the services are as they were" is_state more up
check "none of the new" [ -z "$(state other)" ]
check "back" machine switch-generation 2
check "the plan is PID 1's again" says 'keep 2 as they are$'
check "nothing was restarted" [ "$(pid same)" = "$same" ]

# A generation with another init: PID 1 becomes that one, and the services of it are loaded by it.
system 4 <<'X'
[service same]
exec = /bin/sleep 2001
[service fourth]
exec = /bin/sleep 2004
X
rm "$g/init"
cp "$OBJ/init/cairn-init" "$g/init"
check "a generation with another init" machine switch-generation 4
check "is the one of PID 1" [ "$(readlink "/proc/${inner% }/exe")" = "$g/init" ]
check "that has taken over" grep -q 'init: goes on' "$TMP/console"
check "its services run" is_state fourth up
check "nothing else was restarted" [ "$(pid same)" = "$same" ]
printf '#!/bin/sh\necho cairn-init 0.0.1\n' >"$R$two/init"
chmod +x "$R$two/init"
check "back to one that cannot take over" machine switch-generation 2
check "PID 1 stays what it is" [ "$(readlink "/proc/${inner% }/exe")" = "$g/init" ]
check "the services are switched all the same" [ -z "$(state fourth)" ]
check "and nothing was restarted" [ "$(pid same)" = "$same" ]

# PID 1 does not answer: what only concerns the next boot works all the same.
mv "$R/run/cairn/init.sock" "$R/run/cairn/init.sock.away"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$R/run/cairn/init.sock"
machine switch-generation 1
check "without an answer of PID 1 services cannot be switched" [ $? != 0 ]
check "nothing is switched" [ "$(current)" = system-2-link ]
check "for the next boot they can" machine switch-generation --boot 1
check "it is the current one" [ "$(current)" = system-1-link ]
check "that is in the plan" says '(at the next boot)'
mv "$R/run/cairn/init.sock.away" "$R/run/cairn/init.sock"
check "the services are left alone" is_state more up
finish
