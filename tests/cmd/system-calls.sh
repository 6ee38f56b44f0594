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
calls, changes = world.calls(), world.calls(system_calls.CHANGES)
# The last third of those that change something is the switch itself.
for fault in system_calls.FAULTS:
    for number, which in ((rnd.randrange(1, calls + 1), None), (rnd.randrange(changes * 2 // 3, changes + 1), system_calls.CHANGES)):
        n += 1
        wrong = world.trial(fault, number, which) if which else world.trial(fault, number)
        bad += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {n} - {fault} at {'change' if which else 'call'} {number} of {changes if which else calls}")
        if wrong:
            print("#", wrong.replace("\n", "\n# "))
print(f"1..{n}")
sys.exit(bad > 0)
