#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Debian's nix copies between two of our stores: over ssh-ng the other one is cairn daemon --stdio.
# timeout: 120
set -u
command -v nix >/dev/null || { echo "skip: no nix (nix-bin)"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME NIX_REMOTE
. "$SRC/tests/ns/ssh.inc"
. "$SRC/tests/tap.inc"
cd "$TMP" || exit 1
here=$TMP/here
there=$TMP/there
export HOME="$TMP" NIX_SSHOPTS="-F none -i $sshdir/id -oIdentitiesOnly=yes -oUserKnownHostsFile=$sshdir/known -oStrictHostKeyChecking=yes -p $port"
printf '#!/bin/sh\nexec "%s" daemon --dialect nix --root "%s" "$@"\n' "$CAIRN" "$there" >remote
chmod +x remote
has() { grep -qF -- "$2" "$1"; }
"$CAIRN" daemon --dialect nix --root "$here" >derr 2>&1 &
daemon=$!
retry test -S "$here/nix/var/nix/daemon-socket/socket"
near="unix://$here/nix/var/nix/daemon-socket/socket?root=$here"
far="ssh-ng://127.0.0.1?remote-program=$TMP/remote"
n() { nix --extra-experimental-features nix-command "$@" 2>err; }

mkdir tree
seq 5000 >tree/x
tree=$(nix-store --store "$near" --add tree 2>err)
result "an item" "$([ -n "$tree" ]; echo $?)" err
n copy --no-check-sigs --from "$near" --to "$far" "$tree"
result "nix copy over ssh-ng" $? err
result "is there" "$(cmp "$there$tree/x" tree/x 2>err; echo $?)" err
result "and valid" "$("$CAIRN" store verify --root "$there" --store-dir /nix/store --state-dir /nix/var/nix 2>err; echo $?)" err
n store ping --store "$far" >out
result "nix store ping" $? err
kill $daemon
wait $daemon
ssh_stop
finish
