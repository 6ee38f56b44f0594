#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1 without descriptors, processes or memory: it refuses, says why, and goes on.
unshare -Urpf true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
. "$SRC/tests/tap.inc"
show=$TMP/out
python3 - >"$TMP/out" 2>&1 <<'X'
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import init_lives as lives, init_short as short

program = os.path.join(os.environ["OBJ"], "tests/init-faults")
for name in "descriptors", "shutdown", "processes", "memory":
    m = None
    try:
        m = short.Machine(program, os.path.join(os.environ["TMP"], name))
        found = getattr(short, name)(m)
        m.close()
        print(f"{name} well {found or ''}")
    except (lives.Wrong, OSError) as e:
        print(f"{name}: {e}")
    if m:
        m.end()
X
check "SUP-05 without descriptors" grep -q '^descriptors well' "$TMP/out"
check "SUP-05 and it shuts down" grep -q '^shutdown well' "$TMP/out"
check "SUP-04 without processes" grep -q '^processes well' "$TMP/out"
check "SUP-03 without memory, from each allocation on" grep -q '^memory well [0-9][0-9]' "$TMP/out"
grep '^memory well' "$TMP/out" | sed 's/^/# /'
finish
