#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of what tests/soak/store-calls.soak tries at every system call.
# timeout: 180
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import store_calls

if not shutil.which("strace"):
    print("skip: no strace")
    sys.exit(77)
store_calls.go_alone()
rnd = random.Random(int(os.environ.get("SEED", "1")))
world = store_calls.World(os.environ["TMP"])
bad = n = hits = 0
ATTACKS = {"signal=KILL": "CR-01", "error=ENOSPC": "CR-02", "error=EIO": "CR-03", "error=EROFS": "CR-07", "error=ENOMEM": "CR-06"}
for name in store_calls.OPERATIONS:
    points = world.points(name)
    for fault in store_calls.FAULTS:
        for call, number in rnd.sample(points, 2 if fault.startswith("signal") else 1):
            n += 1
            wrong = world.trial(name, fault, call, number)
            hits += world.hit
            bad += wrong is not None
            print(f"{'not ok' if wrong else 'ok'} {n} - {ATTACKS[fault]} {name}, {fault} at {call} {number}, of {len(points)} calls")
            if wrong:
                print("#", wrong.replace("\n", "\n# "))
print(f"{'not ok' if hits < n * 3 // 4 else 'ok'} {n + 1} - {hits} of {n} faults happened")
bad += hits < n * 3 // 4
n += 1
for name in "add", "gc":
    pages, syncs = world.changes(name)
    for fault, call, number in ("error=ENOSPC", "pwrite64", pages[0]), ("error=EIO", "pwrite64", rnd.choice(pages)), \
            ("error=EIO", "fsync", rnd.randrange(1, syncs + 1)):
        n += 1
        wrong = world.trial(name, fault, call, number)
        bad += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {n} - DB-06 {name}, {fault} at {call} {number}")
        if wrong:
            print("#", wrong.replace("\n", "\n# "))
# From one of them on all calls that change the disk fail, as when the file system has become read-only meanwhile.
CHANGES = "mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,fchmod,fchmodat,fchown,fchownat,utimensat," \
    "ftruncate,fallocate,pwrite64"
for name in "add", "gc":
    calls = len(world.points(name, CHANGES))
    # the last ones are of what is done when the answer is out
    # numbers are of each kind of call
    for number, which in (1, CHANGES), (rnd.randrange(2, 5), CHANGES), (calls // 8, CHANGES), (1, "renameat,renameat2"):
        n += 1
        first = which.split(",")[0]
        wrong = world.trial(name, "error=EROFS", which, f"{number}+")
        if not wrong and (number == 1 or world.last.returncode) and "read-only" not in world.last.stderr.lower():
            wrong = f"status {world.last.returncode}: {world.last.stderr.strip()}"
        bad += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {n} - CR-07 {name} on what is read-only from {first} {number} on")
        if wrong:
            print("#", wrong.replace("\n", "\n# "))
print(f"1..{n}")
sys.exit(bad > 0)
