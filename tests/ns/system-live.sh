#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Switching a machine that runs: to what is confirmed or not, to what its PID 1 cannot read, and when that does not answer.
INIT_TEST_UNSHARE="--uts --net"
. "$SRC/tests/ns/init.inc"
make_root
cp "$CAIRN" "$R/cairn"
# The kernel's settings that a machine of a network of its own has, set by the script that systems have.
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
sed -n '/^local SYSCTL = \[\[$/,/^\]\]$/p' "$SRC/system/essential.lua" | sed "1d;\$d;s|@busybox@|$busybox|" >"$R/test/sysctl"
chmod +x "$R/test/sysctl"
KEYS="ip_forward conf/default/rp_filter conf/lo/log_martians"
# settings LINE...: those of the generation that was made last
settings() {
	printf '%s\n' "$@" >"$g/settings"
	printf '[service sysctl]\ntype = oneshot\nexec = /test/sysctl %s/settings\n' "$item" >>"$g/services/set"
}

# system NUMBER: a generation, empty but for its services (standard input)
system() {
	item=/gnu/store/$(printf '%032d' "$1")-system
	g=$R$item
	mkdir -p "$g/boot" "$g/services" "$g/etc" "$g/cairn/bin"
	ln "$R/cairn" "$g/cairn/bin/cairn"
	: >"$g/activation" >"$g/facts" >"$g/packages"
	printf '[group root]\nid = 0\n[user root]\nid = 0\nhome = /root\n' >"$g/accounts"
	echo kernel >"$g/kernel"
	echo initrd >"$g/initrd"
	ln "$R/cairn-init" "$g/init"
	echo quiet >"$g/parameters"
	printf 'cairn-boot-entry 1\nlabel System %s\nkernel %s/kernel\nparameters quiet\n' "$1" "$item" >"$g/boot/entry"
	printf '[system]\nlabel = System %s\n' "$1" >"$g/facts"
	printf '[menu]\nloader = grub\ntimeout = %s\n' "$1" >"$g/boot/menu"
	echo "of $1" >"$g/etc/common"
	mkdir -p "$g/etc/same"
	echo same >"$g/etc/same/file"
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
[service old]
exec = /bin/sleep 2011
on-change = later
X
settings 'net.ipv4.conf.default.rp_filter = 2' 'net.ipv4.conf.lo.log_martians = 1'
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
[service old]
exec = /bin/sleep 2012
on-change = later
X
settings 'net.ipv4.conf.lo.log_martians = 1'
two=$item
system 5 <<'X'
[service same]
exec = /bin/sleep 2001
[service slow]
type = oneshot
exec = /bin/sleep 2005
X
# Only tried out: services of 2, and what its activation makes of /etc, and takes away there.
sed '/^\[service sysctl\]/,$d' "$R$two/services/set" >"$TMP/set"
system 7 <"$TMP/set"
settings 'net.ipv4.ip_forward = 1' 'net/ipv4/conf/lo/log_martians = 0'
mkdir -p "$g/etc/tried.d/deep"
echo tried >"$g/etc/tried.d/deep/file"
rm -r "$g/etc/same"
echo file >"$g/etc/same"
cat >"$g/accounts" <<'X'
[group root]
id = 0
[group tried]
[user root]
id = 0
groups = tried
shell = /bin/other
home = /root
[user tried]
group = tried
groups = root
password = $6$tried
X
# As a later version writes it; only its own program can read it.
system 3 <<'X'
[service same]
exec = /bin/sleep 2001
colour = green
[service other]
exec = /bin/sleep 2003
X
three=$item
rm "$g/cairn/bin/cairn"
cat >"$g/cairn/bin/cairn" <<'X'
#!/bin/sh
for a in "$3" "$4"; do grep -v ^colour "$a" >"/tmp/${a#/gnu/store/*-system/services/}.$((n = n + 1))"; done
exec /cairn "$1" "$2" /tmp/set.1 /tmp/set.2
X
chmod +x "$g/cairn/bin/cairn"

kernel() { (cd /proc/sys/net/ipv4 && cat $KEYS) | tr '\n' ' '; }
rp_filter=$(kernel | cut -d ' ' -f 2)
boot <"$R$one/services/set"
retry is_state same up
retry is_state sysctl up
same=$(pid same)
export R
inner=$(cat "/proc/$INIT/task/$INIT/children")
# Inside the machine: its processes, its files.
inside() { nsenter --pid="/proc/${inner% }/ns/pid" chroot "$R" env -u CAIRN_INIT_SOCKET -u CAIRN_ROOT "$@" </dev/null >"$TMP/out" 2>"$TMP/err"; }
machine() { inside /cairn system "$@"; }
current() { readlink "$R/var/guix/profiles/system"; }
says() { grep -qE -- "$1" "$TMP/out" || { sed 's/^/# /' "$TMP/out" "$TMP/err"; false; }; }

check "what kexec would start" machine kexec -n
check "is said" says "^would start the kernel of generation 1	$one\$"
check "the same as JSON" machine kexec --dry-run --load --json
check "is an object" says "^\{\"result\":\"planned\",\"generation\":1,\"system\":\"$one\"\}\$"
mv "$R$one/initrd" "$TMP/initrd"
check "what cannot be loaded" sh -c '! nsenter --pid="/proc/$1/ns/pid" chroot "$R" /cairn system kexec -n' sh "${inner% }"
mv "$TMP/initrd" "$R$one/initrd"
check "a set that init knows" machine switch-generation 2
check "plan: a variable that changes" says 'variables  ~ LANG'
check "plan: one that goes" says ' - OLD'
check "plan: one that comes" says ' [+] NEW'
check "plan: who sees it" says 'services that run keep theirs until they are restarted'
check "plan: the label" says 'label +System 1 -> System 2'
check "plan: a setting of the menu" says 'menu timeout +1 -> 2'
check "the new service runs" is_state more up
machine status
check "what runs with its old definition is named" says '^services +old runs with an older definition'

# Tried out, and gone back from.
way_back() { ctl list | sed -n 's/^\(revert-[^ ]*\) *up.*/\1/p'; }
menu() { sed -n "s/.*set default='\(gen-[0-9]*\)'.*/\1/p" "$R/boot/grub/grub.cfg"; }
lives() { grep -c 'init: goes on' "$TMP/console"; }
tried() { machine describe --json "$1" && says "\"tried\":$2,"; }
# All that a switch changes, but for times, and notes of whose contents other checks are (system.tried, system.lock): the whole of /etc, with
# accounts, links, boot files, who runs, and settings of the kernel.
picture() {
	(cd "$R" && find etc boot var/guix run/current-system -printf '%p %y %m %U:%G %l\n' && find etc boot -type f -exec sha256sum {} +) | sort
	ctl list --json | grep -o '{"name":"[^"]*","[^}]*"pid":[0-9]*' | grep -v '"revert-' | sed 's/.*"name":"\([^"]*\)".*"state":"\([a-z]*\)".*"pid":/\1 \2 /'
	kernel
}
as_before() { picture | diff "$TMP/picture" - >"$TMP/out" || { sed 's/^/# /' "$TMP/out"; false; }; }
refused() {
	wanted=$1
	shift
	machine "$@"
	[ $? = "$wanted" ]
}
menu_before=$(menu)
check "no time is no time" refused 1 switch-generation --confirm 0 1
check "a year is none" refused 1 roll-back --confirm 365d
check "not for the next boot" refused 1 roll-back --confirm 60 --boot
check "nothing to confirm" refused 1 confirm
check "nothing to go back from" refused 1 revert
mv "$R$two/cairn" "$R$two/cairn.away"
check "no way back" refused 1 switch-generation --confirm 60 1
check "is said" grep -q 'generation 2 has no program to go back with' "$TMP/err"
mv "$R$two/cairn.away" "$R$two/cairn"
check "nothing was begun" is_state more up
check "nor noted" tried 1 false

check "trying out" machine switch-generation --confirm 5min 1
check "says how it is kept" grep -q 'cairn system confirm' "$TMP/err"
check "its services run" [ -z "$(state more)" ]
check "the profile is the old one" [ "$(current)" = system-2-link ]
check "the menu, too" [ "$(menu)" = "$menu_before" ]
check "PID 1 holds the way back" [ "$(way_back | wc -l)" = 1 ]
machine status
check "a power cut would leave a note, too, that nobody confirmed it" tried 1 true
machine status
check "status says what waits, and how long" says '^unconfirmed +generation 1, back to generation 2 in [23][0-9][0-9] s'
machine status --json
check "as data" says '"unconfirmed":1,"revert_to":2,"revert_in":[23][0-9][0-9],'
check "another switch is refused" refused 3 switch-generation 2
check "with what is to be said first" grep -q 'cairn system confirm keeps it, cairn system revert' "$TMP/err"
check "what is tried out cannot be deleted" refused 3 delete-generations 1
check "nor what ran before" refused 3 delete-generations 2
check "nor is anything collected, which might hold the way back up" refused 3 gc
check "as what waits is to be decided first" grep -q 'waits to be confirmed' "$TMP/err"
check "what confirming would do" machine confirm --dry-run --json
check "as data" says '^{"result":"planned","generation":1,"before":2}$'
check "another one is refused" refused 3 confirm 2
check "named, as what waits" grep -q 'it is generation 1 that waits' "$TMP/err"
check "confirmed" machine confirm 1
check "a second time" machine confirm 1
check "it is the current one" [ "$(current)" = system-1-link ]
check "and one that was confirmed" tried 1 false
check "the next boot starts it" [ "$(menu)" = gen-1 ]
check "the way back is gone" [ -z "$(way_back)" ]
check "nothing waits any more" refused 1 confirm
machine status
check "as status says" sh -c '! grep -q unconfirmed "$TMP/out"'

# PID 1 crashes and executes itself again; then its time comes.
began=$(lives)
ups() { grep -c 'svc: up name=more' "$TMP/console"; }
ran=$(ups)
picture >"$TMP/picture"
check "trying out another one" machine switch-generation --confirm 8 7
check "runs it" [ "$(ups)" -gt "$ran" ]
check "reads its own /etc" inside cat /etc/common /etc/same /etc/tried.d/deep/file
is "which is that" "$(tr '\n' ' ' <"$TMP/out")" "of 7 file tried "
check "and accounts" [ "$(grep -l '^tried:' "$R/etc/passwd" "$R/etc/shadow" "$R/etc/group" | wc -l)" = 3 ]
is "its settings, and those of the kernel that it does not name" "$(kernel)" "1 $rp_filter 0 "
kill -SEGV "${inner% }"
another() { [ "$(lives)" -gt "$began" ]; }
check "PID 1 crashes" retry another
check "and executes itself again" ctl re-exec
check "its time comes all the same" retry is_state more ""
check "which is noted as over" retry sh -c '! [ -e "$R/run/cairn/confirm" ]'
check "of what nobody confirmed" tried 7 true
check "the profile is that of before" [ "$(current) $(menu)" = "system-1-link gen-1" ]
check "after the crash" [ "$(grep -n 'init: goes on' "$TMP/console" | tail -n 1 | cut -d: -f1)" -lt \
	"$(grep -n 'load: begins' "$TMP/console" | tail -n 1 | cut -d: -f1)" ]
gone() { [ -z "$(way_back)" ]; }
check "the way back is used up" retry gone
check "with a log of what it did" grep -q 'generation 7 was not confirmed: back to generation 1' "$R"/var/log/cairn/revert-*.log
check "nothing was restarted" [ "$(pid same)" = "$same" ]
check "/etc, accounts, links, menu, processes and settings are those of before" as_before
is "which are" "$(kernel)" "0 2 1 "

# The command is gone, and what it began is not done.
inside /cairn system switch-generation --confirm 1 5 & command=$!
check "a switch is under way" retry is_state slow starting
kill -9 $(pgrep -P "$(pgrep -P $command)") $(pgrep -P $command) $command 2>/dev/null
wait $command 2>/dev/null
check "PID 1 goes back without it" retry is_state slow ""
check "to the end" retry sh -c '! [ -e "$R/run/cairn/confirm" ]'

check "by hand, too" retry machine switch-generation --confirm 5min 2
check "not from another one" refused 3 revert 7
check "which is named" grep -q 'it is generation 2 that waits' "$TMP/err"
check "at once" machine revert 2
check "with its services" [ -z "$(state more)" ]
check "who confirms too late is told so" refused 5 confirm
check "by what it went back to" grep -q 'generation 2 was not confirmed: this machine has gone back to generation 1' "$TMP/err"
check "and no way back is left" gone
# A confirmation that was cut off in the middle.
check "trying out" machine switch-generation --confirm 5min 2
ln -sfn system-2-link "$R/var/guix/profiles/system"
check "what was confirmed by half" machine revert "$two"
check "is not the current one" [ "$(current)" = system-1-link ]
check "but noted as one that nobody confirmed" tried 2 true
check "from a later one" machine switch-generation --boot 3
check "a roll-back" machine roll-back --boot
check "does not go there" [ "$(current)" = system-1-link ]
# The end of a trial that PID 1 does not hear of, or whose way back is about to be tried again.
no_way_back() { ! ctl list | grep '^revert-' | grep -v ' down '; }
check "trying out" machine switch-generation --confirm 5min 2
inside env CAIRN_INIT_SOCKET=/nowhere /cairn system confirm
is "what PID 1 cannot be told is done in part" "$? $(grep -c 'say it again' "$TMP/err") $(way_back | wc -l)" "4 1 1"
check "said again" machine confirm
check "there is no way back from it" refused 1 revert 2
check "as it is the current one" grep -q 'generation 2 does not wait to be confirmed: it is the current one' "$TMP/err"
check "it is done" no_way_back
check "another one" machine switch-generation --confirm 1 1
mv "$R$two/cairn" "$R$two/cairn.away"
check "its way back fails" retry sh -c '"$CAIRN" service list | grep -q "^revert-.* exec .*No such file"'
check "confirmed all the same" machine confirm
mv "$R$two/cairn.away" "$R$two/cairn"
check "it is not tried again" no_way_back
is "what was confirmed is what there is" "$(current) $(menu)" "system-1-link gen-1"
# One that was left over.
check "trying out" machine switch-generation --confirm 5min 2
check "a way back of something else" inside /cairn service run --name revert-0-0 --property first-run=1s --property every=365d \
	--property restart=on-failure --property restart-limit=0 --property restart-delay=1s -- /cairn system revert
check "ends" retry sh -c '! "$CAIRN" service list | grep "^revert-0-0 " | grep -v " down "'
check "as it has nothing to do" grep -q 'waits no more' "$R"/var/log/cairn/revert-0-0.log
machine status
check "what waits still does" says '^unconfirmed +generation 2, back to generation 1 in'
# Nobody reads what it says.
inside sh -c 'mkfifo /tmp/pipe && exec 3<>/tmp/pipe 4>/tmp/pipe 3>&- && exec /cairn system revert >&4'
is "a broken pipe is told" "$? $(grep -c 'back at generation 1, but: standard output' "$TMP/err")" "4 1"
is "of a machine that has gone back" "$(state more) $(readlink "$R/run/current-system")" " $one"
check "with nothing left" no_way_back
check "and nothing that waits" refused 5 confirm
# One whose kernel the boot partition has no room for.
mkdir -p "$R/boot/small"
mount -t tmpfs -o size=64k tmpfs "$R/boot/small"
system 9 <"$R$two/services/set"
printf '[menu]\nloader = extlinux\ndirectory = /boot/small\n' >"$g/boot/menu"
head -c 100000 /dev/zero >"$g/kernel"
picture >"$TMP/picture"
check "what could not be confirmed is not tried out" refused 3 switch-generation --confirm 5min 9
check "for want of room" grep -q 'boot menu: the boot loader.s file system has .* free, .* are needed' "$TMP/err"
check "nothing was done" as_before
echo kernel >"$g/kernel"
check "with less to store it is" machine switch-generation --confirm 5min 9
head -c 100000 /dev/zero >"$R/boot/small/full" 2>/dev/null
check "until there is no room any more" refused 3 confirm
check "as it says" grep -q 'generation 9 is not confirmed: boot menu: the boot loader.s file system has .* free' "$TMP/err"
check "back" machine revert
umount "$R/boot/small"
rm -r "$g" "$R/var/guix/profiles/system-9-link"
# The next boot was to start another one than what runs: a reset would not go back from that.
check "one for the next boot" machine switch-generation --boot 2
picture >"$TMP/picture"
check "cannot be tried out" refused 3 switch-generation --confirm 5min 2
check "as a reset would start it" grep -q 'though generation 1 runs, so that a reset would be no way back' "$TMP/err"
check "with what is to be done" grep -q 'switch-generation --boot 1 makes that the current one first' "$TMP/err"
ln -s "$two" "$R/var/guix/profiles/system-8-link"
check "nor one that is the same" refused 3 switch-generation --confirm 5min 8
rm "$R/var/guix/profiles/system-8-link"
check "and nothing waits" sh -c '! [ -e "$R/run/cairn/confirm" ]'
check "all is as it was" as_before
check "a third one can" machine switch-generation --confirm 5min 7
is "the next boot starts what it would have" "$(current) $(menu)" "system-2-link gen-2"
check "back" machine revert
check "to what ran, and to what the next boot starts" as_before
check "as the message says" machine switch-generation --boot 1
check "then it can" machine switch-generation --confirm 5min 2
is "and a reset starts what ran" "$(current) $(menu)" "system-1-link gen-1"
check "back" machine revert
# The command was killed before PID 1 knew.
printf '[confirm]\nto = 2\nfrom = 1\nuntil = 1\nservice = revert-0\n' >"$R/run/cairn/confirm"
machine status
check "a note of nothing" says 'PID 1 does not go back'
check "keeps nobody" machine switch-generation 2
check "from switching" [ "$(current)" = system-2-link ]
check "and is gone" sh -c '! [ -e "$R/run/cairn/confirm" ]'
check "what is active needs no confirmation" machine switch-generation --confirm 60 2
check "as it says" grep -q 'nothing to confirm' "$TMP/err"
check "and has no way back" gone

# ^C, the terminal and whoever reads go between the switch and the services.
system 9 <"$R$one/services/set"
printf '[command %s]\nexec = /bin/sh /test/%s\n' cut cut says says >"$g/activation"
cat >"$R/test/cut" <<'X'
reader=$(cat /test/reader)
kill -INT -$PPID && kill -HUP -$PPID && kill "$reader" || exit
until grep -q '^State:[[:space:]]*Z' "/proc/$reader/status"; do :; done
X
cat >"$R/test/says" <<'X'
echo that nobody reads >&2
sed -n 's/^\(SigBlk\|SigIgn\)://p' /proc/self/status >/test/signals
X
inside sh -c 'mkfifo /tmp/cut && { sleep 1000 </tmp/cut & } && echo $! >/test/reader && exec setsid -w /cairn system switch-generation 9 2>/tmp/cut'
is "what is begun is done" "$?" 0
is "the profile, /etc and services are the new ones" "$(current) $(cat "$R$(readlink "$R/etc/static")/common") $(state more)" "system-9-link of 9 "
is "what it starts holds no signal back, nor is it deaf to more than we are" "$(for set in $(cat "$R/test/signals"); do printf '%d ' $((0x$set & 0x1003)); done)" "0 $((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status) & 0x1003)) "
: >"$g/activation"
check "and back" machine switch-generation 2

# What runs is compared with what runs, not with what the next boot starts.
check "one for the next boot" machine switch-generation --boot 1
check "is to come at once" machine switch-generation --dry-run 1
check "from what is active" says "^  active +$two, which is not the current one"
check "plan: /etc" says '~ common'
check "plan: a variable" says '~ LANG'
check "is something to do" machine switch-generation --fail-if-unchanged 1
is "which is done" "$(readlink "$R/etc/static") $(state more)" "$one/etc "
check "then there is nothing" refused 6 switch-generation --fail-if-unchanged 1
check "and back" machine switch-generation 2

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
check "the plan is PID 1's again" says 'keep [0-9]+ as they are$'
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
rm "$R$two/init"
cp "$OBJ/init/cairn-init" "$R$two/init"
sed -i 's/adopts 1/adopts 0/' "$R$two/init"
chmod +x "$R$two/init"
check "back to one that cannot take over" machine switch-generation 2
check "which is said" grep -q 'cannot take over what runs' "$TMP/err"
check "with what becomes of it" grep -q 'warning: PID 1 stays what it is until the next boot' "$TMP/err"
check "PID 1 stays what it is" [ "$(readlink "/proc/${inner% }/exe")" = "$g/init" ]
check "the services are switched all the same" [ -z "$(state fourth)" ]
# The kernel would have to read it with what is on no initramfs.
rm "$R$one/init"
printf '#!/bin/sh\nprintf "cairn-init 0.0.1\\nadopts 1\\n"\n' >"$R$one/init"
chmod +x "$R$one/init"
check "SYS-04 one whose init is a script is not switched to" refused 65 switch-generation 1
check "which is said" grep -q 'init is not a program' "$TMP/err"
check "PID 1 stays what it is" [ "$(readlink "/proc/${inner% }/exe")" = "$g/init" ]
is "and everything else" "$(current) $(state more)" "system-2-link up"
ln -f "$g/init" "$R$one/init"
check "to one with the init that runs" machine switch-generation 1
check "its services run" [ "$(current) $(state more)" = "system-1-link " ]
check "and back" machine switch-generation 2
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

# Privileged programs have a file system of their own, where set-id bits count; below /run they count nowhere else.
echo '[init]' | system 6
printf '[privileged su]\nprogram = %s/facts\nsetuid = yes\n[privileged raw]\nprogram = %s/facts\ncapabilities = 8192\n' "$item" "$item" >"$g/activation"
printf '[secret psk]\nsource = /etc/psk\nmode = 256\n' >"$g/secrets"
echo hidden >"$R/etc/psk"
chmod 600 "$R/etc/psk"
as_root=-r
[ "$(id -u)" != 0 ] || as_root=
cat >"$TMP/privileged" <<'X'
mount -t tmpfs -o nosuid,nodev none "$R/run" && mkdir "$R/run/cairn" || exit 1
chroot "$R" /cairn system activate "$1" || exit 1
chroot "$R" /cairn system activate "$1" || exit 1
sed -n "s|^.* $R/run/privileged \([^ ]*\).*|mount \1|p" /proc/self/mountinfo
stat -c 'mode %a' "$R/run/privileged/bin/su"
sed -n "s|^.* $R/run/secrets .* - \([a-z]*\) .*|secrets \1|p" /proc/self/mountinfo
cat "$R/run/secrets/psk"
python3 -c 'import os, sys; print("capabilities", os.getxattr(sys.argv[1], "security.capability")[:12].hex())' "$R/run/privileged/bin/raw"
X
unshare $as_root -m sh "$TMP/privileged" "$item" >"$TMP/out" 2>"$TMP/err"
result "privileged programs on a machine" $?
is "SYS-10 on one mount of their own, where set-id bits count" "$(grep -c '^mount' "$TMP/out")$(grep -c '^mount.*nosuid' "$TMP/out")" 10
check "with no devices" says '^mount .*nodev'
check "secrets in memory that is never swapped, or at least in memory" says '^secrets (ram|tmp)fs$'
check "with their values" says '^hidden$'
check "set-id" says '^mode 4555$'
check "capabilities" says '^capabilities 010000020020000000000000$'
finish
