#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# cairn copy to and from another machine, and cairn daemon --stdio behind it.
# timeout: 120
set -u
unset CAIRN_ROOT XDG_STATE_HOME
. "$SRC/tests/ns/ssh.inc"
. "$SRC/tests/tap.inc"
cd "$TMP" || exit 1
here=$TMP/here
there=$TMP/there
far="ssh://127.0.0.1:$port/?root=$there&program=$CAIRN"

has() { grep -qF -- "$2" "$1"; }
s() { "$CAIRN" store "$@" --root "$here"; }
t() { "$CAIRN" store "$@" --root "$there"; }
copy() { "$CAIRN" copy --root "$here" "$@" >out 2>err; }

mkdir tree
seq 20000 >tree/file
head -c 3000000 /dev/urandom >tree/big
ln -s file tree/link
tree=$(s add tree)
echo "see $tree" >text
text=$(s add --text --reference "$tree" text)
"$CAIRN" archive --generate-key --root "$here" >out 2>err
result "a key" $? err

copy --to "$far" "$text"
result "what is not trusted is refused" "$([ $? != 0 ] && [ -z "$(t query --all)" ]; echo $?)" err
result "by whom is said" "$(has err "copy: $far: "; echo $?)" err
"$CAIRN" archive --authorize --root "$there" <"$here/etc/guix/signing-key.pub" >out 2>err
result "trust" $? err
copy --to "$far" "$text"
result "copy to" "$([ $? = 0 ] && [ "$(cat out)" = "$text" ]; echo $?)" err
result "with what it refers to" "$([ "$(t query --all | wc -l)" = 2 ] && [ "$(t query --references "$text")" = "$tree" ]; echo $?)" err
result "sound" "$(t verify 2>err; echo $?)" err
copy --to "$far" "$text"
result "nothing is sent twice" "$([ $? = 0 ] && ! has err copying; echo $?)" err
echo more >more
more=$(s add --text --reference "$text" more)
copy --to "$far" "$more"
result "only what is missing" "$([ "$(grep -c copying err)" = 1 ]; echo $?)" err

echo theirs >theirs
theirs=$(t add theirs)
copy --from "$far" "$theirs"
result "without a key there" "$([ $? != 0 ] && has err "copy: $far: signing key"; echo $?)" err
"$CAIRN" archive --generate-key --root "$there" >out 2>err
"$CAIRN" archive --authorize --root "$here" <"$there/etc/guix/signing-key.pub" >out 2>err
copy --from "$far" "$theirs"
result "copy from" "$([ $? = 0 ] && [ "$(cat "$here$theirs")" = theirs ]; echo $?)" err
copy --from "$far" "/gnu/store/00000000000000000000000000000000-none"
result "what is not there" "$([ $? = 66 ] && has err "copy: $far: path" && has err "is not valid"; echo $?)" err
copy --to "ssh://127.0.0.1:1/" "$text"
result "nobody answers" "$([ $? != 0 ] && has err "ssh://127.0.0.1:1/"; echo $?)" err
for bad in "http://x" "ssh://" "ssh://-oProxyCommand=x" "ssh://h/?root=x" 'ssh://h/?program=a;b' "ssh://h:0" 'ssh://h/?root=/$(x)' "ssh://h/path"; do
	copy --to "$bad" "$text"
	result "no address: $bad" "$([ $? = 2 ] && has err "is no address"; echo $?)" err
done

# ---- a daemon that listens there ----
"$CAIRN" daemon --root "$there" >derr 2>&1 &
daemon=$!
retry test -S "$there/var/guix/daemon-socket/socket"
echo again >again
again=$(s add again)
copy --to "$far" "$again"
result "through the daemon" "$([ $? = 0 ] && [ -f "$there$again" ]; echo $?)" err
result "which served it" "$(has derr socket; echo $?)" derr
kill $daemon
wait $daemon

# ---- the connection ends in the middle ----
head -c 8000000 /dev/urandom >huge
huge=$(s add huge)
echo "dd bs=64k count=60 2>/dev/null | $CAIRN_SSH \"\$@\"" >cut.sh
CAIRN_SSH="sh cut.sh" copy --to "$far" "$huge"
result "a connection that breaks" "$([ $? != 0 ] && has err "closed the connection"; echo $?)" err
gone() { ! pgrep -f -- "daemon --stdio --root=$there" >/dev/null; }
result "ends the other side" "$(retry gone; echo $?)" err
result "which has nothing half" "$(! t query "$huge" >/dev/null 2>&1 && t verify 2>err; echo $?)" err
nothing() { t gc >out 2>err && [ "$(ls "$there/gnu/store")" = "" ]; } # once who served the connections before is gone
result "and keeps nothing of it" "$(retry nothing; echo $?)" err
copy --to "$far" "$huge"
result "the same copy works" "$([ $? = 0 ] && t verify 2>err; echo $?)" err
ssh_stop
finish
