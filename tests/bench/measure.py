# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and tables for tests/bench/*.bench."""
import os
import re
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
    return "-" if t is None else f"{t * 1e6:.1f} us" if t < 1e-3 else f"{t * 1000:.1f} ms" if t < 10 else f"{t:.1f} s"


def compare(what, ours, theirs, goal, limit, show=ms):
    """One line: what was measured, what nix needs, the ratio, the goal and what no program could do better."""
    peer = "nix -" if theirs is None else f"nix {show(theirs)}, {theirs / ours:.2f} x" if ours else f"nix {show(theirs)}"
    say(what, show(ours), f"{peer:24}; goal {goal}; limit {limit}")


# ---- Time of the processor ----------------------------------------------------------------------

class Group:
    """A cgroup whose processes' time is counted, also of those that nobody waits for. No cgroups, no such times."""

    serial = 0

    def __init__(self):
        Group.serial += 1
        self.path = None
        parent = self.parent()
        path = parent and f"{parent}/cairn-bench-{os.getpid()}-{Group.serial}"
        try:
            if path:
                os.mkdir(path)
                self.path = path
        except OSError:
            pass

    @staticmethod
    def parent():
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            own = [line[3:].strip() for line in f if line.startswith("0::")]
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f if line.split()[2] == "cgroup2"]
        return mounts[0] + own[0].rstrip("/") if own and mounts else None

    def enter(self):
        """For preexec_fn."""
        if self.path:
            with open(f"{self.path}/cgroup.procs", "w", encoding="utf-8") as f:
                f.write("0")

    def cpu(self):
        """Seconds of all that ever ran in it."""
        if not self.path:
            return None
        with open(f"{self.path}/cpu.stat", encoding="utf-8") as f:
            return int(re.search(r"usage_usec (\d+)", f.read())[1]) / 1e6

    def close(self):
        for _ in range(200 if self.path else 0):
            try:
                return os.rmdir(self.path)
            except OSError:  # somebody is still ending
                time.sleep(0.05)
        return None


class Times:
    """Processor and wall time of what happens in a `with`, for those in the group."""

    def __init__(self, group):
        self.group = group

    def __enter__(self):
        self.cpu, self.wall = self.group.cpu(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.wall
        self.cpu = None if self.cpu is None else self.group.cpu() - self.cpu


def own_times(argv, **kw):
    """Processor and wall time of a command alone, with what it starts."""
    group = Group()
    with Times(group) as t:
        run(argv, preexec_fn=group.enter, **kw)
    group.close()
    return t


def best(samples):
    """Of several measurements the one that used least of the processor: the rest is other programs' doing."""
    return min(samples, key=lambda t: t.wall if t.cpu is None else t.cpu)


def lines(what, pair, goal, limit, per=1, limit_per=None):
    """Processor and wall time of ours and theirs; the limit is a number, or times."""
    for kind, text in (("cpu", "processor"), ("wall", "wall")):
        mine, other = (t and getattr(t, kind) and getattr(t, kind) / per for t in pair)
        floor = getattr(limit, kind, limit)
        if mine is not None:
            compare(f"{what}, {text}", mine, other, goal, ms(floor and floor / (limit_per or per)))


CAIRN = os.environ["CAIRN"]
ROOT = os.environ["CAIRN_ROOT"]
TMP = os.environ["TMP"]
WORK = os.environ.get("WORK", TMP)  # where stores are; see run
SRC = os.environ["SRC"]
