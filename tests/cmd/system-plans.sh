#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of what tests/soak/system-plans.soak tries: between random configurations, what a plan says is what happens.
# timeout: 300
import os
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import system_plans

PAIRS = 4
os.environ.pop("CAIRN_ROOT", None)
seed = int(os.environ.get("SEED", "1"))
machine = system_plans.Machine(os.environ["TMP"], seed)
bad = 0
for n in range(1, PAIRS + 1):
    wrong = machine.step()
    bad += wrong is not None
    print(f"{'not ok' if wrong else 'ok'} {n} - pair {n} of seed {seed}")
    if wrong:
        print("#", wrong.replace("\n", "\n# "))
print(f"1..{PAIRS}")
sys.exit(bad > 0)
