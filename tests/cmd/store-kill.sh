#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Additions and collections killed at random moments (fixed seed): afterwards the store verifies, the
# same addition works, and a collection leaves nothing but what is valid.
set -u
unset CAIRN_ROOT
export HOME="$TMP"
exec python3 - "$TMP" "$CAIRN" <<'EOF'
import os
import random
import signal
import subprocess
import sys
import time

TMP, CAIRN = sys.argv[1:3]
ROUNDS = int(os.environ.get("STORE_KILLS", "16"))
ROOT = TMP + "/root"
STORE = ROOT + "/gnu/store"
rnd = random.Random(7)
failed = count = 0


def check(ok, what):
    global failed, count
    count += 1
    print(("ok " if ok else "not ok ") + f"{count} - {what}")
    failed += not ok


def store(*argv):
    return subprocess.run([CAIRN, "store", argv[0], "--root", ROOT, *argv[1:]],
                          capture_output=True, text=True, timeout=120)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def kill_during(argv, seconds):
    """Start, wait, kill the embedded daemon and the client. True when they were still at work."""
    p = subprocess.Popen([CAIRN, "store", argv[0], "--root", ROOT, *argv[1:]],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + seconds
    while p.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    victims = children(p.pid) + [p.pid] if p.poll() is None else []
    for v in victims:
        try:
            os.kill(v, signal.SIGKILL)
        except ProcessLookupError:
            pass
    out = p.communicate(timeout=60)[0].decode()
    return bool(victims), out.split()


def tree(i):
    path = f"{TMP}/tree{i}"
    os.mkdir(path)
    for k in range(40):
        with open(f"{path}/{k}", "wb") as f:
            f.write(rnd.randbytes(rnd.choice([10, 9000, 40000])))
    return path


trees = [tree(i) for i in range(4)]
start = time.monotonic()
first = store("add", trees[0])
usual = time.monotonic() - start
check(first.returncode == 0, "an addition")
killed = unsound = 0
for i in range(ROUNDS):
    argv = ["gc"] if i % 4 == 3 else ["add", *trees]
    at_work, _ = kill_during(argv, rnd.random() * usual * (2 if argv[0] == "add" else 1))
    killed += at_work
    usual *= 1.2 if at_work else 0.7  # whatever the machine does meanwhile, some are at work
    v = store("verify")
    if v.returncode:
        unsound += 1
        print("#", v.stderr.strip())
check(killed >= ROUNDS // 4, f"{killed} of {ROUNDS} were killed at work")
check(unsound == 0, "the store was sound after each")
again = store("add", *trees)
paths = again.stdout.split()
check(again.returncode == 0 and len(paths) == 4, "all can be added again " + again.stderr.strip())
check(all(os.path.exists(ROOT + p + "/39") for p in paths), "and are complete")
check(store("add-root", TMP + "/kept", paths[0]).returncode == 0, "a root")
check(store("gc").returncode == 0, "a collection")
left = sorted(os.listdir(STORE))
check(left == [".links", os.path.basename(paths[0])], f"leaves what is held: {left}")
check(os.listdir(ROOT + "/var/guix/temproots") == [], "no temporary roots are left")
check(store("verify").returncode == 0, "the store is sound")
print(f"1..{count}")
sys.exit(failed > 0)
EOF
