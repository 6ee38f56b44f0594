#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# A sample of what tests/soak/system-plans.soak tries: between random configurations, what a plan says is what happens.
# Plans of a machine that has nothing and a cache that has everything; one that has no room for it.
# timeout: 300
import ctypes
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import publisher
import system_plans

PAIRS = 8
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


def check(name, right, why):
    global bad, n
    n += 1
    bad += not right
    print(f"{'ok' if right else 'not ok'} {n} - {name}")
    if not right:
        print("#", str(why).replace("\n", "\n# "))


def cairn(*argv):
    return subprocess.run([os.environ["CAIRN"], *argv], capture_output=True, text=True, timeout=120, check=False)


empty, config = os.environ["TMP"] + "/empty", os.environ["TMP"] + "/system.lua"
os.makedirs(empty)
# The store has 24 MiB, in a mount namespace of this test.
room = os.geteuid() == 0 and ctypes.CDLL(None).unshare(0x20000) == 0 and subprocess.run(
    ["sh", "-c", 'mount --make-rprivate / && mount -t tmpfs -o size=24m none "$0"', empty], check=False).returncode == 0
cairn("archive", "--generate-key", "--root", machine.root)
process, url = publisher.publish(machine.root)
with open(machine.root + "/etc/guix/signing-key.pub", encoding="utf-8") as f:
    subprocess.run([os.environ["CAIRN"], "archive", "--authorize", "--root", empty], stdin=f, capture_output=True, check=False)
try:
    shutil.copytree(machine.root + "/etc/cairn/secrets", empty + "/etc/cairn/secrets")
    args = ["--json", "--quiet", "--root", empty, "--target-root", empty, "--modules", os.environ["TMP"] + "/modules",
            "--substitute-urls", url, config]
    r = cairn("system", "plan", *args)
    plan = json.loads(r.stdout)["plan"] if r.returncode == 0 else {}
    here = json.loads(machine.run("plan", "--json", "--quiet", "--modules", os.environ["TMP"] + "/modules", config))["plan"]
    check("all sizes are what the cache says", plan and plan["unknown_after"] == 0 and plan["closure_after"] == here["closure_after"] and
          plan["build"] == 0 and plan["fetch"] > 5 and plan["unpacked"] == plan["closure_after"], (plan, r.stderr))
    check("packages, too", plan and all(p["size"] > 0 for p in plan["packages"]), plan)
    items = [i for i in os.listdir(empty + "/gnu/store") if i[0] != "."]
    check("and nothing was fetched", not items, items)
    if room:
        r = cairn("system", "reconfigure", *args)
        items = [i for i in os.listdir(empty + "/gnu/store") if i[0] != "."]
        check("no room for it is a refusal before anything is fetched", r.returncode == 3 and "bytes missing" in r.stderr and not items,
              (r.returncode, r.stderr, items))
finally:
    process.terminate()
print(f"1..{n}")
sys.exit(bad > 0)
