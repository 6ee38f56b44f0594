# SPDX-License-Identifier: GPL-3.0-or-later
"""One system call fails in a reconfigure that has everything to do: the store has nothing of the new generation, whose kernel,
initramfs and services are other ones. The call is one of the command, of its embedded daemon, of an evaluation, of the comparison of services,
of a builder's box or of a builder (nthcall.c; one builder at a time, so that each process is the same one in each run).

What is asked of it is what system_calls.py asks. And the store is sound afterwards; in the end it has what an undisturbed one has.
"""
import collections
import os
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import time

import system_calls
from system_calls import DONE, EXCEPT, IN_PART, LATER, PARTIAL, REFUSED, STRICT

FAULTS = {"ENOSPC": 28, "EIO": 5, "EROFS": 30}
ROLES = ("command", "daemon", "evaluation", "comparison", "box", "builder")
CHANGES = system_calls.CHANGES + ("link", "pwrite64", "fallocate", "mknodat", "mount", "fsconfig", "mount_setattr", "flock", "clone", "clone3")
LASTING = tuple(c for c in system_calls.CHANGES if c != "write") + ("pwrite64", "fallocate")
ENDS = (*range(PARTIAL + 1), *range(64, 79))  # all that the manual names
KILLED = re.compile(r"(?m)^killed \S+ (4|6|7|8|11|31)$")  # not SIGKILL: a box is ended so


def call_numbers():
    r = subprocess.run([os.environ.get("CC", "cc"), "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True,
                       text=True, check=True)
    return {name: int(n) for name, n in re.findall(r"(?m)^#define __NR_(\w+) (\d+)$", r.stdout)}


class World(system_calls.World):
    def __init__(self, tmp, loader="grub"):
        self.loader_type, self.numbers = loader, call_numbers()
        self.program = tmp + "/nthcall"
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", self.program, os.environ["SRC"] + "/tests/cmd/nthcall.c"], check=True)
        self.parts = {tmp + "/store": tmp + "/store.first", tmp + "/cache": tmp + "/cache.first"}
        self.environment = {"TMPDIR": tmp + "/t", "XDG_CACHE_HOME": tmp + "/cache"}
        os.environ.update(self.environment)
        os.mkdir(tmp + "/t")
        super().__init__(tmp)

    def configure(self, text):
        modules = self.tmp + "/world"
        shutil.copytree(modules + "/packages/world/linux", modules + "/packages/world/linux-two")
        with open(modules + "/packages/world/linux-two/bzImage", "w", encoding="utf-8") as f:
            f.write("another kernel" * 9000)
        with open(modules + "/packages/linux.lua", encoding="utf-8") as f, \
                open(modules + "/packages/linux-two.lua", "w", encoding="utf-8") as to:
            to.write(f.read().replace("world/linux", "world/linux-two").replace('"1.0"', '"2.0"'))
        common = text.replace('type = "grub"', f'type = "{self.loader_type}"').replace("timeout = 1, serial = true", "timeout = 1")
        two = common.replace("return system", 'local other = require "packages.linux-two"\nreturn system')
        two = two.replace('host_name = "cairn",', 'host_name = "two", kernel = other, initrd_modules = { "a" },')
        two = two.replace("services.base {}", 'services.base { services.simple { name = "more", exec = { "/bin/a" } } }')
        return {"one": common.replace('host_name = "cairn"', 'host_name = "one"'), "two": two}

    def prepare(self):
        """One generation; then what two of them are."""
        self.make(self.first, "one")
        for now, first in self.parts.items():
            os.path.exists(now) and os.rename(now, first)
        self.listed = self.list_calls()
        self.new, self.whole = self.state(), self.store_state()

    def argv(self, name, target=None):
        return [*super().argv(name, target), "--max-jobs", "1"]

    def renew(self):
        """Files of items are never written again: they are the same ones each time."""
        super().renew()
        for now, first in self.parts.items():
            shutil.rmtree(now, ignore_errors=True)
            if os.path.isdir(first + "/gnu"):
                os.mkdir(now)
                subprocess.run(["cp", "-al", first + "/gnu", now], check=True)
                subprocess.run(["cp", "-a", first + "/var", now], check=True)
            elif os.path.isdir(first):
                subprocess.run(["cp", "-a", first, now], check=True)
        shutil.rmtree(self.tmp + "/t")
        os.mkdir(self.tmp + "/t")

    def menu(self):
        if self.loader_type == "grub":
            return super().menu()
        top = self.target + "/boot/extlinux/"
        with open(top + "extlinux.conf", encoding="utf-8") as f:
            text = f.read()
        entry = text[text.index(f"LABEL {re.search(r'(?m)^DEFAULT (gen-[0-9]+)', text)[1]}\n"):]
        return entry, [os.path.normpath(top + k) for k in re.findall(r"(?m)^\t(?:LINUX|INITRD) (\S+)", entry)[:2]]

    def store_state(self):
        """What is valid, with hashes and sizes, what there is, and what of that has not the mode, owner and time of a store's files."""
        with sqlite3.connect(self.store + "/var/guix/db/db.sqlite") as db:
            valid = db.execute("select path, hash, narSize from ValidPaths order by path").fetchall()
            refs = db.execute("select a.path, b.path from Refs join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference "
                              "order by 1, 2").fetchall()
        db.close()
        odd = []
        for top, dirs, files in os.walk(self.store + "/gnu/store"):
            if top.endswith("/gnu/store"):
                dirs[:] = [d for d in dirs if d[0] != "."]
                files = [f for f in files if f[0] != "." and not f.endswith(".lock")]
            odd += [f"{top}/{n}: {s}" for n in dirs + files if (s := self.oddness(os.lstat(f"{top}/{n}")))]
        return {"valid": valid, "references": refs, "odd": sorted(odd), "there": sorted(n for n in os.listdir(self.store + "/gnu/store") if n != ".links")}

    @staticmethod
    def oddness(st):
        """What it has that nothing in a store has: hashes are of contents alone."""
        mode = stat.S_IMODE(st.st_mode)
        good = st.st_mtime == 1 and st.st_uid == 0 and (stat.S_ISLNK(st.st_mode) or mode in (0o444, 0o555))
        return None if good else f"mode {mode:o}, owner {st.st_uid}, time {st.st_mtime}"

    def sound(self):
        r = subprocess.run([self.cairn, "store", "verify", "--root", self.store], capture_output=True, text=True, timeout=120, check=False)
        assert r.returncode == 0, f"the store is not sound: {r.stdout}{r.stderr}"

    def run_calls(self, *how):
        self.renew()
        log = self.tmp + "/log"
        r = subprocess.run([self.program, log, *how, *self.argv("two")], capture_output=True, text=True, timeout=120, check=False,
                           stdin=subprocess.DEVNULL)
        with open(log, encoding="utf-8") as f:
            return r, f.read()

    def list_calls(self):
        r, text = self.run_calls("all")
        if r.returncode:
            raise AssertionError(r.stderr)
        return text

    def settled(self):
        for _ in range(20):
            text, before = self.list_calls(), self.listed
            if abs(text.count("\n") - before.count("\n")) < 20:  # how often it waits differs
                return text
            self.listed = text
            time.sleep(0.5)
        raise AssertionError("no two of its runs are alike")

    def calls(self, once=False):
        """role -> (who, name of call, number among those of that name) of all calls, but those of a C library's loader, which
        may crash: it ends with its last mprotect."""
        names = {n: name for name, n in self.numbers.items()}
        made = collections.defaultdict(list)
        for line in (self.listed if once else self.settled()).splitlines():
            who, what = line.split(" ")[:2]
            if who != "killed":
                made[who].append(what if what == "exec" else names.get(int(what), what))
        except_, found = EXCEPT.split(",") + ["mprotect"], collections.defaultdict(list)
        for who, calls in made.items():
            execs = [n for n, c in enumerate(calls) if c == "exec"]
            loader = (0, 0)
            if execs:
                loader = (execs[0], max([execs[-1], *(n for n, c in enumerate(calls) if c == "mprotect" and n > execs[-1])]))
                if who == "0":
                    loader = (0, loader[1])
            counts = collections.Counter()
            for n, name in enumerate(calls):
                counts[name] += 1
                if name not in except_ and name != "exec" and not loader[0] <= n <= loader[1]:
                    found[self.role(who, made, execs)].append((who, name, counts[name]))
        return found

    @staticmethod
    def role(who, made, execs):
        if who == "0":
            return "command"
        if who.count(".") == 1:
            return "daemon" if who + ".1" in made else "comparison" if execs else "evaluation"
        return "box" if who.count(".") == 2 else "builder"

    def judge_failed(self, r, failed):
        """What came of it; fails when that is none of what may."""
        now = self.state()
        if r.returncode == 0:
            assert now == self.new, f"is not the new one: {now}"
            return DONE
        if r.returncode == PARTIAL:
            assert (now["current"], now["starts"]) == (self.new["current"], self.new["starts"]), f"the new one is not current: {now}"
            assert failed and failed[-1] == "system-2-link", "what failed comes before the visible switch"
            return IN_PART
        later = "could not be restored yet" in r.stderr
        if later:
            self.restored()
            now = self.state()
        assert now == self.old, f"is not as it was: {now}"
        return LATER if later else STRICT if "libgcrypt" in r.stderr else REFUSED

    def trial(self, fault, who, name, number, lasting=False):
        """None, or what is wrong; self.hit and self.outcome as in system_calls.py."""
        self.outcome, self.hit = None, False
        try:
            r, log = self.run_calls(str(self.numbers[name] if name in self.numbers else int(name)), who, f"{number}{'+' if lasting else ''}", str(FAULTS[fault]),
                                    self.target + "/var/guix/profiles/system")
        except subprocess.TimeoutExpired:
            return "it does not end"
        failed = re.findall(r"(?m)^failed (.*)$", log)
        self.hit = bool(failed)
        said = f"status {r.returncode}: {r.stderr.strip()[-600:]}"
        own = who.count(".") < 3
        if "libgcrypt" not in r.stderr and (r.returncode not in ENDS or (own and KILLED.search(log))):
            return said + "\n" + log
        try:
            outcome = self.judge_failed(r, failed)
            self.sound()
            self.ok("two")
            now, store = self.state(), self.store_state()
        except (AssertionError, OSError, IndexError, TypeError, ValueError, subprocess.TimeoutExpired) as e:
            return f"{said}\n{e}"
        if now != self.new:
            return f"{said}\nand again is not the new one: {now}"
        swept = [n for n in store["there"] if n.startswith(".tmp-") or n.endswith(".lock")]  # nobody holds these locks
        store["there"] = [n for n in store["there"] if n not in swept]
        for what, had in self.whole.items():
            if store[what] != had:
                return f"{said}\n{what} in the store: {set(store[what]) ^ set(had)}"
        if swept:
            r = subprocess.run([self.cairn, "store", "gc", "--root", self.store], capture_output=True, text=True, timeout=120, check=False)
            if r.returncode or set(swept) & set(os.listdir(self.store + "/gnu/store")):
                return f"{said}\na collection leaves {swept}: {r.stderr}"
            outcome += "; a collection removed what was left"
        left = [n for n in os.listdir(self.target + "/var/guix/profiles") if n.startswith(".tmp") or n == "system.switch"]
        if left:
            return f"{said}\nleft over: {left}"
        self.outcome = outcome
        return None


def choose(calls, number, seed=1):
    """[(role, fault, who, name, number, lasting)] and how many each role has in all. Of changes by command and daemon all, and
    some that go on failing; of other calls a sample that makes NUMBER of them, of each role as many."""
    rnd = random.Random(seed)
    chosen, others, every = [], [], collections.Counter()
    for role in ROLES:
        rest = []
        for call in calls[role]:
            full = role in ("command", "daemon") and call[1] in CHANGES
            (chosen if full else rest).extend((role, fault, *call, False) for fault in FAULTS)
        every[role] = len(FAULTS) * len(calls[role])
        rnd.shuffle(rest)
        others.append(rest)
    for role in "command", "daemon":
        of = collections.defaultdict(list)
        for call in calls[role]:
            if call[1] in LASTING:
                of[call[1]].append(call)
        lasting = [(role, fault, *call, True) for same in of.values() for call in {same[0], same[len(same) // 2], same[-1]}
                   for fault in ("ENOSPC", "EROFS")]
        every[role] += len(lasting)
        chosen += sorted(lasting)
    chosen = rnd.sample(chosen, min(number, len(chosen)))
    while len(chosen) < number and any(others):
        for rest in others:
            if rest and len(chosen) < number:
                chosen.append(rest.pop())
    return chosen, every
