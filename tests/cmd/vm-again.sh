#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A test of a machine whose emulator lost its timer is run once more, with its scratch directory empty; no other failure is.
set -u
. "$SRC/tests/tap.inc"
command -v qemu-system-x86_64 >/dev/null || { echo "skip: no qemu-system-x86_64"; exit 77; }
cat >"$TMP/one" <<'X'
import os, sys
sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/vm"))
import vm
tries = 0
def test():
    global tries
    tries += 1
    vm.equal("left", os.listdir(os.environ["TMP"]), [])
    if tries <= int(sys.argv[1]):
        with open(os.path.join(vm.scratch("machine"), "console.log"), "w", encoding="utf-8") as f:
            f.write(sys.argv[2])
        raise vm.Failure("the machine ended")
vm.main(test)
X
one() { # FAILURES TEXT
	mkdir "$TMP/scratch"
	TMP=$TMP/scratch python3 "$TMP/one" "$@" >"$TMP/out" 2>&1
	status=$?
	rm -r "$TMP/scratch"
	[ $status = 0 ] || [ $status = 1 ] || cat "$TMP/out"
	echo $status
}
panic="Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug"
is 'good at once' "$(one 0 '')" 0
is 'the timer was lost twice' "$(one 2 "$panic")" 0
is 'and thrice' "$(one 3 "$panic")" 1
is 'another panic' "$(one 1 'Kernel panic - not syncing: VFS')" 1
finish
