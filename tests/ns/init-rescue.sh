#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The boot that cannot go on: a rescue program, what ends it, and what the machine then does. A shutdown
# unmounts everything it sees, so each case has a mount namespace of its own.
. "$SRC/tests/ns/init.inc"
if [ $# = 0 ]; then
	: >"$TMP/console"
	for case in told left unreadable; do
		unshare -m --propagation private sh "$0" $case >"$TMP/case" 2>&1
		status=$?
		[ $status != 77 ] || { tail -n 1 "$TMP/case"; exit 77; }
		sed 's/^/# /' "$TMP/case"
		check "$case" [ $status = 0 ]
	done
	finish
fi
make_root

# reboot(2) in a pid namespace kills PID 1: HUP is a reboot, INT a power off.
ends() {
	wait $INIT
	[ $? = "$1" ]
}
rescued() { [ -e "$R/test/rescued" ]; }
set_of_bad() {
	cat <<'X'
[init]
rescue = /bin/sh -c "echo $$ >/test/rescued; while [ ! -e /test/leave ]; do sleep 0.05; done"

[service bad]
type = oneshot
exec = /bin/false
critical = yes

[service good]
exec = /bin/sleep 1000
X
}

case $1 in
told)
	set_of_bad >"$R/test/in"
	boot <"$R/test/in"
	check "a critical service that fails brings the rescue program" retry rescued
	check "the others run meanwhile" retry is_state good up
	"$CAIRN" poweroff
	check "power off, told while it runs, is what happens" ends 130
	;;
left)
	set_of_bad >"$R/test/in"
	boot <"$R/test/in"
	retry rescued
	touch "$R/test/leave"
	check "the end of the rescue program reboots the machine" ends 129
	;;
unreadable)
	# Nobody is at this console: the shell of last resort ends at once.
	echo '[service x' >"$R/set"
	unshare -p -f --kill-child sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" /cairn-init /set' "$R" \
		>"$TMP/console" 2>&1 &
	INIT=$!
	check "its end reboots the machine" ends 129
	check "the set is named by line" grep -q '/set:1' "$TMP/console"
	check "the rescue program was started" grep -q 'rescue: starting' "$TMP/console"
	;;
esac
[ $failed = 0 ] || { sed 's/^/# console: /' "$TMP/console"; exit 1; }
