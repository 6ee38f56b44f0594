#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds on other machines: two private roots behind an sshd.
# timeout: 240
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
. "$SRC/tests/ns/ssh.inc"
. "$SRC/tests/tap.inc"
cd "$TMP" || exit 1
CAIRN_SSH="ssh -F none -i $sshdir/id -oIdentitiesOnly=yes" # the keys of hosts are those of the list
here=$TMP/here
one=$TMP/one
two=$TMP/two
mkdir -p bb/bin "$here/etc/guix"
cp "$busybox" bb/bin/busybox
machines=$here/etc/guix/machines
hostkey=$(base64 -w0 <"$sshdir/host.pub")

has() { grep -qF -- "$2" "$1"; }
build() { "$CAIRN" build --root "$here" "$@" >out 2>err; }
at() { # ROOT PATH: is it valid there?
	"$CAIRN" store query --root "$1" "$2" >/dev/null 2>&1
}
# drv NAME SCRIPT [VARIABLES] > FILE
drv() {
	cat <<END
local bb = source("bb", { name = "bb" })
return derivation { name = "$1", builder = bb .. "/bin/busybox", args = { "sh", "-c", [==[$2]==] },
	env = { b = bb .. "/bin/busybox", ${3:-} } }
END
}
address() { echo "ssh://127.0.0.1:$port/?root=$1&program=$CAIRN"; }
list() { # KEY
	cat >"$machines" <<END
# address systems key jobs speed features mandatory host-key
$(address "$one") - - 1 1 - - $1
$(address "$two") - $sshdir/id 2 4 kvm,big-parallel kvm $1
END
}
list "$hostkey"
"$CAIRN" archive --generate-key --root "$here" >out 2>err
for x in "$one" "$two"; do
	"$CAIRN" archive --authorize --root "$x" <"$here/etc/guix/signing-key.pub" >out 2>err
	result "trust" $? err
done

cat >chain.lua <<'END'
local bb = source("bb", { name = "bb" })
local b = bb .. "/bin/busybox"
local low = derivation { name = "low", builder = b, args = { "sh", "-c", "$b mkdir $out $doc; echo low >$out/x; echo $out >$doc/y" },
	env = { b = b }, outputs = { "out", "doc" } }
return derivation { name = "high", builder = b, args = { "sh", "-c", "echo $low >$out; echo built here >&2" }, env = { b = b, low = low } }
END
build -v -f chain.lua
result "a chain of builds" $? err
high=$(cat out)
result "was made on the machine that takes it" "$(at "$one" "$high" && ! at "$two" "$high"; echo $?)" err
result "what it said is seen" "$(has err "built here"; echo $?)" err
low=$(cat "$here$high")
result "and is its log here" "$([ "$("$CAIRN" store log --root "$here" "$high" 2>err)" = "built here" ]; echo $?)" err
result "references are found" "$([ "$("$CAIRN" store query --root "$here" --references "$high")" = "$low" ]; echo $?)" out
result "results are as if made here" \
	"$("$CAIRN" store verify --root "$here" 2>err && [ "$(stat -c '%a %Y %U' "$here$low" "$here$low/x" | tr '\n' ' ')" = "555 1 $(id -un) 444 1 $(id -un) " ]; echo $?)" err

drv feature 'echo kvm >$out' 'requiredSystemFeatures = "kvm"' >feature.lua
build -f feature.lua
result "a feature that one machine has" "$([ $? = 0 ] && at "$two" "$(cat out)" && ! at "$one" "$(cat out)"; echo $?)" err
drv prefer 'echo local >$out' 'preferLocalBuild = "1"' >prefer.lua
build -f prefer.lua
result "what is rather built here" "$([ $? = 0 ] && ! at "$one" "$(cat out)"; echo $?)" err
drv fails 'echo reason >&2; exit 3'>fails.lua
build -f fails.lua
result "a failure is one" "$([ $? = 100 ] && has err reason && has err "exit code 3"; echo $?)" err
result "and not tried here" "$(! has err elsewhere; echo $?)" err
build --check -f chain.lua
result "a check is made here" $? err

# ---- machines that cannot be used ----
ssh-keygen -q -t ed25519 -N '' -f "$sshdir/other"
list "$(base64 -w0 <"$sshdir/other.pub")"
drv wrongkey 'echo wrong key >$out' >wrongkey.lua
build -f wrongkey.lua
result "a machine with another key is not used" "$([ $? = 0 ] && has err elsewhere && ! at "$one" "$(cat out)"; echo $?)" err
result "because ssh did not get there" "$(has err "/?root=$one&program=$CAIRN: ssh ended before a build daemon answered"; echo $?)" err
cat >other-ssh <<END
# A client without options for keys, as Dropbear's.
for word; do
	shift
	case \$word in
	-V) echo "Other v1" >&2; exit 1 ;;
	-o*) ;;
	*) set -- "\$@" "\$word" ;;
	esac
done
exec ssh -F none -i $sshdir/id -oUserKnownHostsFile=$sshdir/known -oBatchMode=yes "\$@"
END
drv otherssh 'echo other ssh >$out' >otherssh.lua
CAIRN_SSH="sh $TMP/other-ssh" build -f otherssh.lua
result "a client that would not see to keys is not used" "$([ $? = 0 ] && ! at "$one" "$(cat out)"; echo $?)" err
result "and that is said" "$(has err "is not OpenSSH's"; echo $?)" err
echo "ssh://127.0.0.1:1/ - - 1 1" >"$machines"
drv nobody 'echo nobody >$out' >nobody.lua
build -f nobody.lua
result "one that does not answer" "$([ $? = 0 ] && has err elsewhere; echo $?)" err
echo "$(address "$TMP/three") - - 1 1 - - $hostkey" >"$machines"
drv untrusted 'echo untrusted >$out' >untrusted.lua
build -f untrusted.lua
result "one that does not trust us" "$([ $? = 0 ] && has err elsewhere; echo $?)" err
printf '# x\nssh://h - - many\n' >"$machines"
drv bad 'echo bad >$out' >bad.lua
build -f bad.lua
result "a list that is wrong" "$([ $? != 0 ] && has err "machines, line 2: the number of jobs"; echo $?)" err

# ---- the request ends ----
list "$hostkey"
drv long "\$b sleep 1000; : cairn-test-$$" >long.lua
build -f long.lua &
pid=$!
sleeping() { pgrep -f "sh -c .*cairn-test-$$" >/dev/null; }
result "a long build" "$(retry sleeping; echo $?)" err
for p in $(pgrep -f -- "build --root $here -f long.lua"); do kill "$p" 2>/dev/null; done
wait $pid 2>/dev/null
gone() { ! sleeping; }
result "ends there when nobody waits here" "$(retry gone; echo $?)" err
"$CAIRN" store gc --root "$here" >out 2>err
result "and nothing of it is left" "$([ $? = 0 ] && "$CAIRN" store verify --root "$here" 2>err; echo $?)" err
build -f chain.lua
result "its place is free" "$([ $? = 0 ] && ! has err elsewhere; echo $?)" err
ssh_stop
finish
