# SPDX-License-Identifier: GPL-3.0-or-later
"""One system call of a reconfigure fails: the process that plans and switches, when all is built. (system_building.py has what builds.)

The command ends with an error and the machine is as it was, links, menu and what is active; or it ends well and the machine is
the new one; or it ends with 4, and the new one is the current one, which only a call after the visible switch may cause. Where the failure lasts,
so that it cannot be undone either, the next command does that. The same command then works. strace does the work.
"""
import os
import re
import shutil
import signal
import subprocess
import time
import zlib

FAULTS = ("error=ENOSPC", "error=EIO", "error=EROFS")
# The last calls of a process, and those that cannot fail.
# A close that fails has closed all the same, but for strace, which leaves the descriptor open.
EXCEPT = "close,exit,exit_group,rt_sigreturn,munmap,brk,arch_prctl,rseq,set_robust_list,set_tid_address"
PARTIAL = 4
NOTE = re.compile(r'rename\w*\(.*/var/guix/profiles/system\.switch"(, \w+)?\) = 0$')
VISIBLE = re.compile(r'rename\w*\(.*/var/guix/profiles/system"(, \w+)?\) = 0$')
RENAMES = "?rename,?renameat,?renameat2"
# Those that may go on failing; of a write what is said of it would be lost.
LASTING = ("rename", "renameat", "renameat2", "unlink", "unlinkat", "symlink", "symlinkat", "linkat", "fsync", "syncfs")
REFUSED, DONE, IN_PART = "refused, old state", "done", "done, and a part of what follows failed"
LATER, STRICT = "refused, old state restored by the next command", "ended by libgcrypt, old state"
CHANGES = ("write", "rename", "renameat", "renameat2", "unlink", "unlinkat", "symlink", "symlinkat", "linkat", "mkdir", "mkdirat", "fsync",
           "syncfs", "ftruncate", "fchmod", "fchmodat", "chmod", "fchown", "fchownat", "utimensat")


class World:
    def __init__(self, tmp):
        self.tmp, self.cairn = tmp, os.environ["CAIRN"]
        self.store, self.first, self.target = tmp + "/store", tmp + "/first", tmp + "/target"
        os.makedirs(self.store + "/gnu/store")
        os.environ["XDG_CACHE_HOME"] = tmp + "/cache"
        if not os.path.exists(tmp + "/world"):
            subprocess.run([os.environ["SRC"] + "/tests/cmd/mock-world", tmp + "/world"], check=True)
        with open(os.environ["SRC"] + "/examples/minimal.lua", encoding="utf-8") as f:
            configurations = self.configure(f.read())
        for name, text in configurations.items():
            with open(f"{tmp}/{name}.lua", "w", encoding="utf-8") as f:
                f.write(text)
        self.hit, self.outcome, self.switching = False, None, []
        self.prepare()
        self.system = self.new["active"]
        self.renew()
        self.old = self.state()

    def configure(self, text):
        return {name: text.replace('host_name = "cairn"', f'host_name = "{name}"') for name in ("one", "two")}

    def make(self, target, name):
        os.makedirs(target + "/run")
        os.mkdir(target + "/boot")
        os.symlink(self.store + "/gnu", target + "/gnu")
        self.ok(name, target)

    def prepare(self):
        """A machine with one generation, and what two of them are; all that both need is in the store."""
        self.make(self.target, "two")
        self.new = self.state()
        self.make(self.first, "one")

    def argv(self, name, target=None):
        return [self.cairn, "system", "reconfigure", "--quiet", "--root", self.store, "--modules", self.tmp + "/world",
                "--target-root", target or self.target, f"{self.tmp}/{name}.lua"]

    def ok(self, name, target=None):
        r = subprocess.run(self.argv(name, target), capture_output=True, text=True, timeout=120, check=False)
        if r.returncode:
            raise AssertionError(f"status {r.returncode}: {r.stderr.strip()}")

    def renew(self):
        shutil.rmtree(self.target, ignore_errors=True)
        subprocess.run(["cp", "-a", self.first, self.target], check=True)

    def menu(self):
        """What is started by itself: the lines of its entry, and the files of its kernel and initramfs."""
        with open(self.target + "/boot/grub/grub.cfg", encoding="utf-8") as f:
            text = f.read()
        default = re.findall(r"default='gen-(\d+)'", text)[-1]
        entry = text[text.index(f"--id 'gen-{default}'"):]
        return entry, [self.target + "/" + k.strip("'").split(")")[-1].lstrip("/") for k in re.findall(r"(?:linux|initrd) (\S+)", entry)[:2]]

    def state(self):
        """What boots and runs: the profile, the system that the menu starts, its kernels; what is active, accounts."""
        top = self.target
        profile = os.readlink(top + "/var/guix/profiles/system")
        entry, files = self.menu()
        boots = []
        for name in files:
            with open(name, "rb") as f:
                boots.append(zlib.crc32(f.read()))
        with open(top + "/etc/passwd", encoding="utf-8") as f:
            accounts = f.read()
        return {"current": os.readlink(f"{top}/var/guix/profiles/{profile}"),
                "starts": re.search(r"cairn\.system=(\S+?)['\"\s]", entry)[1], "boots": boots,
                "active": os.readlink(top + "/run/current-system"), "etc": os.readlink(top + "/etc/static"), "accounts": accounts}

    def traced(self, *options):
        """Result of the reconfigure, and its trace."""
        self.renew()
        trace = self.tmp + "/trace"
        r = subprocess.run(["strace", "-o", trace, *options, *self.argv("two")], capture_output=True, text=True, timeout=120,
                           check=False)
        with open(trace, errors="replace", encoding="utf-8") as f:
            return r, f.read()

    def loader(self):
        """How many calls of each name come before main: those of the C library's loader, which may crash. What is installed is static."""
        with open(self.cairn, "rb") as f:
            if b"/ld-linux" not in f.read(4096):
                return {}
        trace = self.tmp + "/loader"
        subprocess.run(["strace", "-o", trace, "-E", "LD_TRACE_LOADED_OBJECTS=1", self.cairn], capture_output=True, timeout=120, check=True)
        with open(trace, encoding="utf-8") as f:
            names = re.findall(r"(?m)^(\w+)\(", f.read())
        return {n: names.count(n) for n in names if not n.startswith("write")}

    def settled(self):
        """A trace like the one before it: what was hashed of sources is noted only when that is older than a moment."""
        trace = ""
        for _ in range(20):
            r, last = self.traced("-e", f"trace=!{EXCEPT}")
            if r.returncode:
                raise AssertionError(r.stderr)
            if last.count("\n") == trace.count("\n"):
                return last
            trace = last
            time.sleep(0.5)
        raise AssertionError("no two of its runs are alike")

    def calls(self):
        """(name, number among those of that name) of all calls of the program itself, in order: strace counts each kind by itself. Those in
        self.switching are the switch: from its note to the rename that shows it."""
        loader, counts, found = self.loader(), {}, []
        begin = end = None
        for line in self.settled().splitlines():
            begin = len(found) if NOTE.search(line) else begin
            end = len(found) if VISIBLE.search(line) else end
            name = re.match(r"(\w+)\(", line)
            if name:
                counts[name[1]] = counts.get(name[1], 0) + 1
                if counts[name[1]] > loader.get(name[1], 0):
                    found.append((name[1], counts[name[1]]))
        self.switching = found[begin:end + 1]
        return found

    def trial_of_output(self, *options):
        """Nothing can be printed: status, and which of the two states there is then; None for another."""
        self.renew()
        with open("/dev/full", "w", encoding="utf-8") as full:
            r = subprocess.run([*self.argv("two"), *options], stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
        now = self.state()
        return r.returncode, "old" if now == self.old else "new" if now == self.new else None

    def restored(self):
        """A command that has nothing else to do brings back the old state, and says so."""
        argv = [self.cairn, "system", "switch-generation", "--target-root", self.target, "99"]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert "an interrupted switch was undone: generation 1 is" in r.stderr, f"nothing was undone: {r.stderr}"

    def judge(self, r, trace):
        """What came of it; fails when that is none of what may."""
        now, lines = self.state(), trace.splitlines()
        if r.returncode == 0:
            assert now == self.new, f"is not the new one: {now}"
            return DONE
        if r.returncode == PARTIAL:
            assert (now["current"], now["starts"]) == (self.new["current"], self.new["starts"]), f"the new one is not current: {now}"
            shown = [n for n, line in enumerate(lines) if VISIBLE.search(line)]
            failed = [n for n, line in enumerate(lines) if "(INJECTED)" in line]
            assert shown and failed and failed[-1] > shown[0], "what failed comes before the visible switch"
            return IN_PART
        if "could not be restored yet" in r.stderr:
            self.restored()
            now = self.state()
        assert now == self.old, f"is not as it was: {now}"
        return LATER if "could not be restored yet" in r.stderr else STRICT if "libgcrypt" in r.stderr else REFUSED

    def trial(self, fault, name, number, lasting=False):
        """None, or what is wrong. self.hit: was there such a call? self.outcome: what came of it. lasting: all later calls fail, too."""
        self.outcome = None
        try:
            r, trace = self.traced("-e", f"trace={name},{RENAMES}", "-e", f"inject={name}:{fault}:when={number}{'+' if lasting else ''}")
        except subprocess.TimeoutExpired:
            return "it does not end"
        self.hit = "(INJECTED)" in trace
        said = f"status {r.returncode}: {r.stderr.strip()}"
        # libgcrypt ends the program when it cannot look whether it is to be strict.
        own = "libgcrypt" not in r.stderr
        if own and (r.returncode < 0 or r.returncode in (128 + signal.SIGSEGV, 128 + signal.SIGABRT) or "killed by SIG" in trace):
            return said
        try:
            outcome = self.judge(r, trace)
            self.ok("two")
            now = self.state()
        except (AssertionError, OSError, IndexError, TypeError, ValueError) as e:
            return f"{said}\n{e}"
        if now != self.new:
            return f"{said}\nand again is not the new one: {now}"
        left = [n for n in os.listdir(self.target + "/var/guix/profiles") if n.startswith(".tmp") or n == "system.switch"]
        if left:
            return f"{said}\nleft over: {left}"
        self.outcome = outcome
        return None
