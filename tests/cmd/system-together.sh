#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SYS-02, SYS-13: a sample of what tests/soak/system-together.soak tries: commands that change a machine together, collections beside them.
# timeout: 300
import os
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import system_together

os.environ.pop("CAIRN_ROOT", None)
machine = system_together.Machine(os.environ["TMP"])
bad = n = 0
for name, trial in (("SYS-02 who finds the lock taken says by whom; what changes nothing needs none", lambda: system_together.forced(machine)),
                    *[("SYS-02 two reconfigures, a roll-back and a collection at once", machine.parallel)] * 2,
                    ("SYS-13 a reconfigure while the store is collected", machine.collected)):
    n += 1
    wrong = trial()
    bad += wrong is not None
    print(f"{'not ok' if wrong else 'ok'} {n} - {name}")
    if wrong:
        print("#", wrong.replace("\n", "\n# "))
print(f"1..{n}")
sys.exit(bad > 0)
