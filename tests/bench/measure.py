# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and tables for tests/bench/*.bench."""
import os
import statistics
import subprocess
import time


REPEAT = int(os.environ.get("BENCH_REPEAT", "0"))  # 0: as the measurement has it


def run(argv, **kw):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **kw).stdout


def seconds(argv, repeat=5, before=None, **kw):
    """Median wall time of a command over some runs, after one that is not counted."""
    times = []
    for i in range((REPEAT or repeat) + 1):
        if before:
            before()
        start = time.perf_counter()
        run(argv, **kw)
        if i:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(commands, repeat=7, before=None):
    """Medians of several commands measured in turn, so that a busy moment hits all alike."""
    times = {name: [] for name in commands}
    for i in range((REPEAT or repeat) + 1):
        for name, argv in commands.items():
            if before:
                before(name, i)
            start = time.perf_counter()
            run(argv() if callable(argv) else argv)
            if i:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def say(what, value, note=""):
    print(f"{what:48} {value:>14}  {note}".rstrip(), flush=True)


def ms(t):
    return f"{t * 1000:.1f} ms"


CAIRN = os.environ["CAIRN"]
ROOT = os.environ["CAIRN_ROOT"]
TMP = os.environ["TMP"]
SRC = os.environ["SRC"]
