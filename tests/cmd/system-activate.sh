#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Activation below a scratch root: accounts keep their numbers and passwords, /etc follows the system.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT
R=$TMP/machine
mkdir -p "$R"

# system NAME: an empty generation; the caller changes its files
system() {
	path=/gnu/store/$(printf '%032d' "$1")-system
	g=$R$path
	mkdir -p "$g/boot" "$g/services" "$g/etc"
	: >"$g/accounts" >"$g/activation" >"$g/boot/entry" >"$g/boot/menu" >"$g/facts" >"$g/init" \
		>"$g/kernel" >"$g/initrd" >"$g/services/set"
}
activate() { "$CAIRN" system activate --target-root "$R" "$1" >"$TMP/out" 2>"$TMP/err"; }
field() { sed -n "s/^$2:\([^:]*\):\([^:]*\):.*/\\$3/p" "$R/etc/$1"; }

system 1
cat >"$g/accounts" <<'X'
[group root]
id = 0
[group users]
id = 100
[group web]
system = yes
[group ann]
[user root]
id = 0
home = /root
password =
[user web]
system = yes
home = /var/empty
[user ann]
groups = users web
home = /home/ann
create-home = yes
password = $6$x$y
X
cat >"$g/activation" <<'X'
[directory /var/lib/web]
mode = 0750
user = web
[link /bin/sh]
target = /run/current-system/profile/bin/sh
X
mkdir -p "$g/etc/deep/er"
echo one >"$g/etc/hosts"
echo only >"$g/etc/old.conf"
echo low >"$g/etc/deep/er/file"
one=$path
check "activate" activate $one
check "system accounts from 100" [ "$(field passwd web 2)" = 101 ]
check "people from 1000" [ "$(field passwd ann 2)" = 1000 ]
check "a group in step with its user" [ "$(sed -n 's/^web:x:\([0-9]*\):.*/\1/p' "$R/etc/group")" = 101 ]
check "members of a group" grep -q '^users:x:100:ann$' "$R/etc/group"
check "the first password" [ "$(field shadow ann 1)" = '$6$x$y' ]
check "a home" [ -d "$R/home/ann" ]
check "of its own" [ "$(stat -c %a "$R/home/ann")" = 700 ]
[ "$(id -u)" != 0 ] || check "owned by the user" [ "$(stat -c %u "$R/home/ann")" = 1000 ]
[ "$(id -u)" != 0 ] || check "the service's directory" [ "$(stat -c %u:%a "$R/var/lib/web")" = 101:750 ]
check "a link" [ "$(readlink "$R/bin/sh")" = /run/current-system/profile/bin/sh ]
check "static" [ "$(readlink "$R/etc/static")" = $one/etc ]
check "files through static" [ "$(readlink "$R/etc/deep/er/file")" = /etc/static/deep/er/file ]
check "current-system" [ "$(readlink "$R/run/current-system")" = $one ]
check "what is only activated is not booted" [ ! -L "$R/run/booted-system" ]
check "/tmp is everybody's" [ "$(stat -c %a "$R/tmp")" = 1777 ]

find "$R/etc" -printf '%p %i %T@ %l\n' | sort >"$TMP/before"
check "again" activate $one
find "$R/etc" -printf '%p %i %T@ %l\n' | sort >"$TMP/after"
check "changes nothing" cmp -s "$TMP/before" "$TMP/after"

# A second system: web is gone, bob is new; ann has changed her password meanwhile.
sed -i 's|^ann:[^:]*:|ann:$6$changed$z:|' "$R/etc/shadow"
echo mine >"$R/etc/resolv.conf"
system 2
cat >"$g/accounts" <<'X'
[group root]
id = 0
[group users]
id = 100
[user root]
id = 0
[user ann]
group = users
password = $6$x$y
[user bob]
group = users
X
echo two >"$g/etc/hosts"
echo new >"$g/etc/new.conf"
echo theirs >"$g/etc/resolv.conf"
two=$path
check "the next system" activate $two
check "her password stays" [ "$(field shadow ann 1)" = '$6$changed$z' ]
check "her number stays" [ "$(field passwd ann 2)" = 1000 ]
check "bob gets a fresh number" [ "$(field passwd bob 2)" = 1001 ]
check "web is gone" [ -z "$(field passwd web 2)" ]
check "an old file's link is gone" [ ! -L "$R/etc/old.conf" ]
check "and the directory of links" [ ! -e "$R/etc/deep" ]
check "a new file is there" [ -L "$R/etc/new.conf" ]
check "a file in the way is kept" [ "$(cat "$R/etc/resolv.conf.saved")" = mine ]
echo x | tee "$R/etc/.tmp-0123456789abcdef" >"$R/etc/.tmp-mine"
check "back" activate $one
check "what a power cut left goes" [ ! -e "$R/etc/.tmp-0123456789abcdef" ]
check "and nothing else" [ -e "$R/etc/.tmp-mine" ]
check "web has its old number" [ "$(field passwd web 2)" = 101 ]
check "bob's number stays taken" grep -q '^user bob 1001$' "$R/var/lib/cairn/ids"

# ---- Skeletons, subordinate numbers
system 10
mkdir -p "$g/skeletons/.config"
echo greet >"$g/skeletons/.profile.local"
echo 'dir = x' >"$g/skeletons/.config/tool"
ln -s /etc/shadow "$g/skeletons/link"
cat >"$g/accounts" <<'X'
[group users]
id = 100
[user ann]
group = users
home = /home/ann
create-home = yes
subids = 65536
[user kim]
group = users
home = /home/kim
create-home = yes
subids = 1000
subid-start = 300000
[user lea]
group = users
subids = 65536
X
ten=$path
mkdir -p "$R/home/.cairn-new-home-kim/half"
check "skeletons" activate $ten
is "are copied into a new home" "$(cat "$R/home/kim/.profile.local")" greet
is "whole" "$(cat "$R/home/kim/.config/tool")" "dir = x"
check "but for links" [ ! -L "$R/home/kim/link" ]
check "what a cut left is gone" [ ! -e "$R/home/.cairn-new-home-kim" -a ! -e "$R/home/kim/half" ]
is "no home is open to others" "$(stat -c %a "$R/home/kim")" 700
check "a home that was there stays as it is" [ ! -e "$R/home/ann/.profile.local" ]
[ "$(id -u)" != 0 ] || is "they are the user's" "$(stat -c %u "$R/home/kim/.config/tool")" "$(field passwd kim 2)"
is "subordinate numbers" "$(cat "$R/etc/subuid")" "ann:100000:65536
kim:300000:1000
lea:301000:65536"
check "of groups, too" cmp -s "$R/etc/subuid" "$R/etc/subgid"
sed -i '/^\[user ann/,/^subids/d' "$g/accounts"
check "one goes" activate $ten
is "the others keep theirs" "$(cat "$R/etc/subuid")" "kim:300000:1000
lea:301000:65536"
printf '[group users]\nid = 100\n[user max]\ngroup = users\nsubids = 10\nsubid-start = 165535\n' >"$g/accounts"
activate $ten
check "those of who is gone are nobody else's" grep -q 'ann has 65536 from 100000' "$TMP/err"
sed -i 's|^kim:[^:]*:|kim:$6$kept$z:|' "$R/etc/shadow"
: >"$g/accounts"
activate $ten
printf '[group users]\nid = 100\n[user kim]\ngroup = users\npassword = $6$x$first\n' >"$g/accounts"
activate $ten
is "who is back has the password from before" "$(field shadow kim 1)" '$6$kept$z'
is "which nobody else could read meanwhile" "$(stat -c %a "$R/var/lib/cairn/shadow")" 600

# ---- Programs with more rights
system 11
printf '[group root]\nid = 0\n[group post]\nid = 900\n[user root]\nid = 0\nhome = /root\n' >"$g/accounts"
mkdir -p "$R/gnu/store/x/bin"
echo 'one' >"$R/gnu/store/x/bin/su"
cat >"$g/activation" <<'X'
[privileged su]
program = /gnu/store/x/bin/su
setuid = yes
[privileged mail]
program = /gnu/store/x/bin/su
group = post
setgid = yes
X
P=$R/run/privileged
eleven=$path
check "privileged programs" activate $eleven
is "are copies" "$(cat "$P/bin/su")" one
is "in a directory for all" "$(stat -c %a "$P/bin")" 755
[ "$(id -u)" != 0 ] || is "with their bits" "$(stat -c %a:%u:%g "$P/bin/su" "$P/bin/mail" | tr '\n' ' ')" "4555:0:0 2555:0:900 "
inode=$(stat -c %i "$P/bin/su")
check "again" activate $eleven
is "nothing changes" "$(stat -c %i "$P/bin/su")" "$inode"
# SYS-10: what is replaced keeps no rights, by no name and by no descriptor.
ln "$P/bin/su" "$TMP/kept" 2>/dev/null
exec 9<"$P/bin/su"
mkdir -p "$P/bin.new"
echo half >"$P/bin.new/half"
printf '[privileged su]\nprogram = /gnu/store/x/bin/su\nsetuid = yes\n' >"$g/activation"
check "one less" activate $eleven
is "is there" "$(ls "$P" "$P/bin" | tr '\n' ' ')" "$P: bin made-from  $P/bin: su "
is "SYS-10 an old copy that is open has no bits" "$(stat -L -c %a "/proc/$$/fd/9")" 0
is "SYS-10 a link keeps none" "$(stat -c %a "$TMP/kept")" 0
exec 9<&-
rm -f "$TMP/kept"
cat >"$g/activation" <<'X'
[privileged su]
program = /gnu/store/x/bin/none
setuid = yes
[privileged mail]
program = /gnu/store/x/bin/su
group = post
setgid = yes
[privileged ping]
program = /gnu/store/x/bin/su
user = phantom
X
activate $eleven
check "a program that is missing is named" grep -q 'gnu/store/x/bin/none' "$TMP/err"
check "so is a user that is missing" grep -q 'ping: .*phantom' "$TMP/err"
is "what was there by that name stays" "$(cat "$P/bin/su")" one
is "the others are made" "$(ls "$P/bin" | tr '\n' ' ')" "mail su "
echo two >"$R/gnu/store/x/bin/none"
sed -i '/phantom/d' "$g/activation"
check "when it can be" activate $eleven
is "the rest is made" "$(cat "$P/bin/su" "$P/bin/ping" | tr '\n' ' ')" "two one "
sed -i 's/900/901/' "$g/accounts" "$R/var/lib/cairn/ids"
inode=$(stat -c %i "$P/bin/mail")
check "another number of a name" activate $eleven
check "makes them anew" [ "$(stat -c %i "$P/bin/mail")" != "$inode" ]
[ "$(id -u)" != 0 ] || is "for whom it is now" "$(stat -c %g "$P/bin/mail")" 901
printf '[privileged ../su]\nprogram = /gnu/store/x/bin/su\n' >"$g/activation"
activate $eleven
check "a name that climbs" grep -q 'expected the name of a program' "$TMP/err"
: >"$g/activation"
check "none" activate $eleven
is "leaves none" "$(ls -A "$P/bin")" ""

# ---- Secrets: one that cannot be given takes none of the others away
mkdir -p "$R/etc/cairn"
for s in aa bb dd; do (umask 077 && echo "value $s" >"$R/etc/cairn/$s"); done
for s in aa bb cc dd; do printf '[secret %s]\nsource = /etc/cairn/%s\n' $s $s; done | sed '/^\[secret aa/a user = ghost' >"$g/secrets"
activate $eleven
status=$?
check "secrets without an owner, without a file" [ $status != 0 ]
check "are named" grep -q 'aa: .*ghost.*; .*cc: .*No such file' "$TMP/err"
is "the others are there" "$(cd "$R/run/secrets" && cat * | tr '\n' ' ')" "value bb value dd "
rm "$g/secrets"
check "and gone with it" activate $eleven

# A file of one generation is a directory of the next, and the other way round.
system 8
: >"$g/accounts"
echo plain >"$g/etc/thing"
eight=$path
system 9
mkdir -p "$g/etc/thing/deep"
echo one >"$g/etc/thing/deep/one"
echo two >"$g/etc/thing/two"
nine=$path
check "a file" activate $eight
check "becomes a directory" activate $nine
check "with its files" [ "$(readlink "$R/etc/thing/deep/one")" = /etc/static/thing/deep/one ]
check "the store has what it had" [ "$(find "$R$nine/etc" | wc -l)" = 5 ]
check "and a file again" activate $eight
check "which is a link" [ "$(readlink "$R/etc/thing")" = /etc/static/thing ]
check "nothing was put aside" [ ! -e "$R/etc/thing.saved" ]
rm -r "$R/etc/thing"
mkdir "$R/etc/thing"
echo mine >"$R/etc/thing/mine"
check "somebody's directory in the way" activate $eight
check "is kept" [ "$(cat "$R/etc/thing.saved/mine")" = mine ]
mkdir "$R/elsewhere"
rm -r "$R/etc/thing.saved"
rm -r "$R/etc/thing"
ln -s ../elsewhere "$R/etc/thing"
check "a link to elsewhere in the way of a directory" activate $nine
check "is not followed" [ -z "$(ls "$R/elsewhere")" ]

# Links where activation writes: they go, and what they lead to stays (SYS-12).
mkdir "$R/treasure"
for f in hosts passwd group shadow subuid machine-id static; do
	echo untouched >"$R/treasure/$f"
	rm -rf "$R/etc/$f"
	ln -s "../treasure/$f" "$R/etc/$f"
done
ln -sfn ../../../treasure/ids "$R/var/lib/cairn/ids.new"
echo untouched >"$R/treasure/ids"
check "SYS-12 links in the way" activate $two
cat "$R"/treasure/* | sort -u >"$TMP/out"
is "SYS-12 are not written through" "$(cat "$TMP/out")" untouched
is "SYS-12 they are replaced" "$(find "$R/etc" -maxdepth 1 -lname '*treasure*' ! -name machine-id)" ""
check "by the files" grep -q '^bob:x:1001:' "$R/etc/passwd"
is "which are private" "$(stat -c %a "$R/etc/shadow")" 600
rm -f "$R/etc/subuid" "$R/etc/machine-id" "$R/var/lib/cairn/ids.new"
check "and back" activate $one

# What contradicts the machine is found before anything is written.
system 3
printf '[group g]\nid = 7\n[user ann]\nid = 1500\ngroup = g\n' >"$g/accounts"
cp "$R/etc/passwd" "$TMP/passwd"
activate $path
status=$?
check "another number for a name is refused" [ $status = 65 ]
check "with both numbers" grep -q '1000.*1500' "$TMP/err"
check "passwd is as it was" cmp -s "$R/etc/passwd" "$TMP/passwd"
system 4
printf '[group g]\n[user eve]\nid = 1000\ngroup = g\n' >"$g/accounts"
activate $path
check "a number of another name is refused" grep -q 'belongs to ann' "$TMP/err"
system 5
printf '[user eve]\ngroup = nowhere\n' >"$g/accounts"
activate $path
check "a missing group is named" grep -q 'no group nowhere' "$TMP/err"
system 6
printf '[user eve]\nhome = /home/a:b\n' >"$g/accounts"
activate $path
check "a colon cannot get into passwd" grep -q 'eve: bad field' "$TMP/err"
system 7
printf '[link /etc/passwd]\ntarget = x\n[directory /var/lib/ok]\n' >"$g/activation"
activate $path
status=$?
check "a step that fails is an error" [ $status != 0 ]
check "the others are done" [ -d "$R/var/lib/ok" ]
mkdir -m 711 "$R/canary"
ln -s ../../canary "$R/var/lib/planted"
printf '[directory /var/lib/planted]\nmode = 0750\n' >"$g/activation"
activate $path
check "a link where a directory is to be is an error" grep -q 'lib/planted' "$TMP/err"
check "and is not followed" [ "$(stat -c %a "$R/canary")" = 711 ]

# At boot the machine comes up without a directory; without accounts, /etc or the run links it does not.
boot() { "$CAIRN" system activate --target-root "$R" --boot >"$TMP/out" 2>"$TMP/err"; }
mkdir -p "$R/var/guix/profiles"
ln -sfn $path "$R/run/booted-system"
printf '[directory /var/lib/planted]\n[directory /var/lib/fine]\n' >"$g/activation"
check "a failed directory does not stop the boot" boot
check "it is named" grep -q 'step failed.*var/lib/planted' "$TMP/err"
check "the others are done at boot, too" [ -d "$R/var/lib/fine" ]
printf '[directory\n' >"$g/activation"
check "an activation that cannot be read does not stop the boot" boot
check "its place is named" grep -q 'activation:1' "$TMP/err"
: >"$g/activation"
printf '[switch]\nnonsense = 1\n' >"$R/var/guix/profiles/system.switch"
check "a note of a switch that cannot be read does not stop the boot" boot
check "and is named" grep -q 'system.switch' "$TMP/err"
rm "$R/var/guix/profiles/system.switch"
printf '[user eve]\ngroup = nowhere\n' >"$g/accounts"
boot
status=$?
check "failed accounts stop the boot" [ $status != 0 ]
: >"$g/accounts"
rm "$R/run/current-system"
mkdir "$R/run/current-system"
boot
status=$?
check "a run link in the way stops the boot" [ $status != 0 ]
rmdir "$R/run/current-system"
check "and then it boots" boot

rm "$g/facts"
activate $path
check "half a system is refused" grep -q 'not a complete system: facts' "$TMP/err"

# ---- First passwords that are in no store: a file of the machine
R=$TMP/other
mkdir "$R"
system 1
cat >"$g/accounts" <<'X'
[group root]
id = 0
[user root]
id = 0
group = root
password-file = /etc/cairn/passwords/root
[user eve]
group = root
password-file = /etc/cairn/passwords/eve
[user tom]
group = root
password-file = /etc/cairn/passwords/tom
X
mkdir -p "$R/etc/cairn/passwords"
for u in root eve; do
	printf '%s\n' "\$6\$salt\$$u" >"$R/etc/cairn/passwords/$u"
	chmod 600 "$R/etc/cairn/passwords/$u"
done
chmod 644 "$R/etc/cairn/passwords/eve"
check "passwords from files" activate $path
check "are those of shadow" [ "$(field shadow root 1)" = '$6$salt$root' ]
check "not of one that others may read" [ "$(field shadow eve 1)" = '!' ]
check "nor of one that is not there" [ "$(field shadow tom 1)" = '!' ]
rm -r "$R/etc/cairn/passwords"
check "later no file is needed" activate $path
check "and nothing changes" [ "$(field shadow root 1)" = '$6$salt$root' ]
finish
