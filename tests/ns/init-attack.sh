#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What services get that they must not have (tests/attacks): users that are none, and what PID 1 was started with.
INIT_TEST_USERS=1
. "$SRC/tests/ns/init.inc"
make_root
mkdir "$R/test/out"
chmod 0777 "$R/test/out"
# A line without a name, as a damaged file has it.
printf ':x:0:0:nobody at all:/:/bin/sh\n0day:x:0:0:digits first:/:/bin/sh\n' >>"$R/etc/passwd"
printf ':x:0:\n' >>"$R/etc/group"

wrong() {
	printf '[service %s]\ntype = oneshot\nexec = /bin/sh -c "id >/test/out/%s"\nenabled = no\n%s\n\n' "$1" "$1" "$2"
}
{
	wrong none 'user = nobody-there'
	wrong digits 'user = 0night'
	wrong minus 'user = -1'
	wrong all-ones 'user = 4294967295'
	wrong beyond 'user = 4294967296'
	wrong blank 'user = "ro ot"'
	wrong group 'group = nobody-there'
	wrong group-ones 'group = 4294967295'
	wrong groups 'groups = root nobody-there'
	cat <<'X'
[service named]
type = oneshot
exec = /bin/sh -c "id -u >/test/out/named"
user = 4711

[service descriptors]
type = oneshot
exec = /bin/sh -c "ls /proc/self/fd >/test/out/descriptors"

[service given]
type = oneshot
exec = /bin/sh /test/given
notify = fd:9
X
} >"$TMP/set"
cat >"$R/test/given" <<'X'
cd "/proc/$$"
{
	grep -E '^(Sig(Blk|Ign|Cgt)|Cap(Inh|Amb)|NoNewPrivs|Umask|Seccomp):' /proc/self/status # not of the shell, which blocks signals while it forks
	tr '\0' '\n' <environ | sort
	echo "$OLDPWD"
	ps -o sid= -p $$ | tr -d ' ' | sed "s/^$$\$/own session/"
} >/test/out/given 2>&1
X

# PID 1 itself is started with all that could leak.
trap '' USR1 HUP
umask 077
export LD_PRELOAD_X=x SECRET=hidden BASH_ENV=/test/evil ENV=/test/evil
exec 7</etc/passwd 8<"$R"
boot <"$TMP/set"
exec 7<&- 8<&-

refused() {
	! "$CAIRN" service start "$1" 2>"$TMP/said" && grep -q 'not found' "$TMP/said" && [ ! -e "$R/test/out/$1" ]
}
for name in none digits minus all-ones beyond blank group group-ones groups; do
	check "SUP-15 $name: does not start" refused "$name"
done
check "SUP-15 a number that has no name is that user" retry is_state named up
is "SUP-15 and no other" "$(cat "$R/test/out/named")" 4711
empty() {
	printf '[service x]\nexec = /bin/true\n%s =\n' "$1" >"$TMP/empty"
	! "$CAIRN" service check "$TMP/empty" 2>"$TMP/said" && grep -qF "$1: is empty" "$TMP/said"
}
check "SUP-15 an empty user is refused with the set" empty user
check "SUP-15 an empty group, too" empty group

retry is_state given up
got() { grep -qx "$1" "$R/test/out/given"; }
retry is_state descriptors up
# 3 is the directory that ls reads.
is "SUP-23 descriptors" "$(tr '\n' ' ' <"$R/test/out/descriptors")" "0 1 2 3 "
check "SUP-23 no signal is blocked" got 'SigBlk:.0000000000000000'
check "SUP-23 none is ignored" got 'SigIgn:.0000000000000000'
check "SUP-23 no capability is inherited" got 'CapInh:.0000000000000000'
check "SUP-23 none is ambient" got 'CapAmb:.0000000000000000'
check "SUP-23 umask" got 'Umask:.0022'
check "SUP-23 directory" got /
check "SUP-23 a session of its own" got 'own session'
is "SUP-23 variables" "$(sed -n 's/^\([A-Za-z_]*\)=.*/\1/p' "$R/test/out/given" | tr '\n' ' ')" "PATH SERVICE_NAME "
"$CAIRN" poweroff
wait $INIT
finish
