#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of what tests/soak/system-calls.soak tries at every system call of a reconfigure.
# timeout: 300
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import system_calls

if not shutil.which("strace"):
    print("skip: no strace")
    sys.exit(77)
os.environ.pop("CAIRN_ROOT", None)
rnd = random.Random(int(os.environ.get("SEED", "1")))
world = system_calls.World(os.environ["TMP"])
bad = n = 0
calls = world.calls()
changes = [c for c in calls if c[0] in system_calls.CHANGES]
chosen = [(fault, *rnd.choice(of)) for fault in system_calls.FAULTS for of in (calls, changes, changes)]
for fault, name, number in chosen:
    n += 1
    wrong = world.trial(fault, name, number) or (None if world.hit else "there was no such call")
    bad += wrong is not None
    print(f"{'not ok' if wrong else 'ok'} {n} - {fault} at {name} {number}, of {len(calls)} calls")
    if wrong:
        print("#", wrong.replace("\n", "\n# "))
# A plan that cannot be printed ends it; what came of it is too late for that.
for options, want in ((), (3, "old")), (("--json",), (4, "new")):
    n += 1
    got = world.trial_of_output(*options)
    bad += got != want
    print(f"{'ok' if got == want else 'not ok'} {n} - nobody hears {' '.join(options) or 'the plan'}: {got}")
print(f"1..{n}")
sys.exit(bad > 0)
