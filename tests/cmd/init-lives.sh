#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1 crashes at steps of its journal, and again and again from outside: a sample; all of them: make soak.
unshare -Urpf true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
. "$SRC/tests/tap.inc"
python3 - >"$TMP/out" 2>&1 <<'X'
import os, random, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import init_lives as lives

program = os.path.join(os.environ["OBJ"], "tests/init-faults")
world = lives.World(program, os.environ["TMP"])
some = random.Random(7)
bad = 0
for number in [1] + sorted(some.sample(range(2, world.steps - 20), 15)):  # at the first nothing is written yet
    wrong = world.trial(at=number)
    if wrong:
        bad += 1
        print(f"crash at step {number}: {wrong}")
for every in 47, 97:
    wrong = world.trial(every=every)
    if wrong:
        bad += 1
        print(f"crash at each {every}th step: {wrong}")
print(f"steps {world.steps}, bad {bad}")
try:
    done = lives.storm(program, os.path.join(os.environ["TMP"], "storm"), 60, 30)
    print(f"storm {done}")
except lives.Wrong as e:
    print(f"storm: {e}")
X
check "a crash at any step changes no result" grep -q '^steps [0-9]*, bad 0$' "$TMP/out"
check "thirty crashes in a row lose nothing" grep -qx 'storm 30' "$TMP/out"
finish
