#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 180
# Substitution killed at random moments (SEED), as a whole or one of its processes: afterwards the store verifies, what
# is valid is whole, the same works when it is asked for again, and a collection leaves nothing. SUBSTITUTE_KILLS: rounds; SEED.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export HOME="$TMP"
exec python3 - "${SUBSTITUTE_KILLS:-6}" <<'EOF'
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from publisher import publish
from session import CAIRN, TMP, check, finish, run

ROUNDS = int(sys.argv[1])
rnd = random.Random(int(os.environ.get("SEED", "11")))


def store(root, *argv):
    return run("store", argv[0], "--root", root, *argv[1:])


ORIGIN = TMP + "/origin"
items = []
for i in range(6):
    os.makedirs(f"{TMP}/t{i}")
    for k in range(5):
        with open(f"{TMP}/t{i}/{k}", "wb") as f:
            f.write(os.urandom(100000))
    items.append(store(ORIGIN, "add", f"{TMP}/t{i}").stdout.strip())
with open(TMP + "/top", "w") as f:
    f.write("\n".join(items))
top = store(ORIGIN, "add", "--text", *[x for p in items for x in ("--reference", p)], TMP + "/top").stdout.strip()
run("archive", "--generate-key", "--root", ORIGIN)
with open(ORIGIN + "/etc/guix/signing-key.pub") as f:
    KEY = f.read()
PUBLISHER, URL = publish(ORIGIN, "-C", "zstd")


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        return []


def below(pid):
    found = []
    for c in children(pid):
        found += [c] + below(c)
    return found


def realise(root):
    return [CAIRN, "store", "realise", "--root", root, "--substitute-urls", URL, top]


def kill(pids):
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass


def new_store(name):
    run("archive", "--authorize", "--root", name, input=KEY)


new_store(TMP + "/whole")
before = time.monotonic()
p = subprocess.run(realise(TMP + "/whole"), capture_output=True, text=True)
span = time.monotonic() - before
check(p.returncode == 0, "undisturbed it works", p.stderr)
cut = i = 0
while i < ROUNDS or (cut <= ROUNDS // 3 and i < 6 * ROUNDS):
    root = f"{TMP}/s{i}"
    new_store(root)
    what = ("all", "daemon", "one")[i % 3]
    p = subprocess.Popen(realise(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + rnd.uniform(0.02, 1) * span
    while p.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    running = p.poll() is None
    victims = below(p.pid) if running else []
    cut += bool(victims)
    if not victims:  # too late, as it was slower when it was measured, or too early, as it is slower now
        span *= 1.4 if running else 0.7
    if what == "daemon":
        victims = victims[:1]
    elif what == "one" and len(victims) > 1:
        victims = [rnd.choice(victims[1:])]
    kill(victims + ([p.pid] if what == "all" else []))
    p.wait(60)
    v = store(root, "verify")
    # who died holds no lock: what was not finished is finished now
    again = subprocess.run(realise(root), capture_output=True, text=True, timeout=120)
    w = store(root, "verify")
    check(v.returncode == 0 and again.returncode == 0 and w.returncode == 0, f"CR-01 {what} killed",
          (v.stderr, again.stderr, w.stderr))
    store(root, "gc")
    left = [n for n in os.listdir(root + "/gnu/store") if n != ".links" and not n.startswith(".cairn-guard")]
    check(not left, "CR-01 a collection leaves nothing", left)
    i += 1
check(cut > ROUNDS // 3, f"{cut} of {i} were still at work")
PUBLISHER.terminate()
PUBLISHER.wait()
finish()
EOF
