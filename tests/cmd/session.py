# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests in Python begin with: where they work, results as TAP, the program as a command, waiting."""
import os
import subprocess
import sys
import time

TMP, CAIRN = os.environ["TMP"], os.environ["CAIRN"]
failed = count = 0


def check(good, what, note=""):
    global failed, count
    count += 1
    print(("ok " if good else "not ok ") + f"{count} - {what}", flush=True)
    failed += not good
    if not good and note:
        print("# " + str(note).replace("\n", "\n# "), flush=True)


def finish():
    """The plan; never returns."""
    print(f"1..{count}", flush=True)
    sys.exit(bool(failed))


def run(*argv, before=(), **kw):
    """cairn with these words, after those in before; its output as text."""
    return subprocess.run([*before, CAIRN, *argv], **{**dict(capture_output=True, text=True, errors="replace", timeout=200, check=False), **kw})


def out(*argv, **kw):
    """What it printed; it must succeed."""
    p = run(*argv, **kw)
    if p.returncode:
        sys.exit(f"{argv}: {p.stderr}")
    return p.stdout.strip()


def until(f, seconds=60):
    end = time.monotonic() + seconds
    while not f():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
