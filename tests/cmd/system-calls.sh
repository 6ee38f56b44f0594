#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of what tests/soak/system-calls.soak tries at every system call of a reconfigure, and system-building.soak at those of
# its other processes.
# timeout: 300
import collections
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import system_building
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
chosen = [(fault, *rnd.choice(of), False) for fault in system_calls.FAULTS for of in (calls, changes, changes)]
# The first rename after the one that shows the switch.
shows, number = world.switching[-1]
chosen.append(("error=EIO", shows, number + 1, False))
# And a failure that lasts, where it begins in the switch itself: in the rename that shows it, and before.
last = {c[0]: c for c in world.switching if c[0] in system_calls.LASTING}
chosen += [("error=EIO", *last[name], True) for name in sorted(last)]
outcomes = set()
for fault, name, number, lasting in chosen:
    n += 1
    wrong = world.trial(fault, name, number, lasting) or (None if world.hit else "there was no such call")
    bad += wrong is not None
    outcomes.add(world.outcome)
    print(f"{'not ok' if wrong else 'ok'} {n} - {fault} at {name} {number}{' and later' if lasting else ''}, of {len(calls)} calls: "
          f"{world.outcome}")
    if wrong:
        print("#", wrong.replace("\n", "\n# "))
for outcome in system_calls.REFUSED, system_calls.LATER, system_calls.IN_PART:
    n += 1
    bad += outcome not in outcomes
    print(f"{'ok' if outcome in outcomes else 'not ok'} {n} - seen: {outcome}")
# A plan that cannot be printed ends it; what came of it is too late for that.
for options, want in ((), (3, "old")), (("--json",), (4, "new")):
    n += 1
    got = world.trial_of_output(*options)
    bad += got != want
    print(f"{'ok' if got == want else 'not ok'} {n} - nobody hears {' '.join(options) or 'the plan'}: {got}")
# And in one that builds everything, in the processes that the command starts.
if os.uname().machine == "x86_64":
    os.mkdir(os.environ["TMP"] + "/building")
    subprocess.run(["cp", "-al", os.environ["TMP"] + "/world", os.environ["TMP"] + "/building"], check=True)
    world = system_building.World(os.environ["TMP"] + "/building")
    calls = world.calls(once=True)
    trials = [(role, fault, *rnd.choice([c for c in calls[role] if c[1] in system_building.CHANGES]))
              for role, fault in (("daemon", "EIO"), ("comparison", "EROFS"))]
    # What compresses the initramfs, the third program of its builder, cannot read on.
    reads = collections.Counter(who for who, name, _number in calls["builder"] if name == "read")
    trials.append(("builder", "EIO", next(who for who, times in reads.items() if times > 30 and who.endswith(".3")), "read", 20))
    for role, fault, who, name, number in trials:
        n += 1
        wrong = world.trial(fault, who, name, number) or (None if world.hit else "there was no such call")
        bad += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {n} - {role}, {fault} at {name} {number} of process {who}: {world.outcome}")
        if wrong:
            print("#", wrong.replace("\n", "\n# "))
print(f"1..{n}")
sys.exit(bad > 0)
