# SPDX-License-Identifier: GPL-3.0-or-later
"""One system call of an addition, a collection or a repairing check is the last of its process, or fails.

Afterwards the store is sound and has what a root holds, the same operation works, and a collection leaves
nothing but what is held. strace does the work, in client and daemon alike: the n-th call of either.
"""
import os
import shutil
import signal
import subprocess

OPERATIONS = ("add", "gc", "verify")
FAULTS = ("signal=KILL", "error=ENOSPC", "error=EIO", "error=ENOMEM")
# The last calls of a process, and those that cannot fail.
EXCEPT = "exit,exit_group,execve,rt_sigreturn,munmap,brk,vfork,arch_prctl,rseq,set_robust_list,set_tid_address"


# A collector looks at every process: with few of them most of its calls are of other kinds.
ALONE = ["unshare", "-rpf", "--kill-child", "--mount-proc"]


class World:
    def __init__(self, tmp):
        alone = subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
        self.alone = ALONE if alone else []
        self.tmp = tmp
        self.cairn = os.environ["CAIRN"]
        self.first = tmp + "/first"
        self.root = tmp + "/root"
        for name, big in (("kept", b"k"), ("dead", b"k"), ("new", b"n")):
            os.mkdir(f"{tmp}/{name}")
            for i in range(3):
                with open(f"{tmp}/{name}/{i}", "wb") as f:
                    f.write(big * (9000 + i) if i else name.encode())
        self.kept = self.ok("add", tmp + "/kept", root=self.first)
        self.dead = self.ok("add", tmp + "/dead", root=self.first)
        os.symlink(self.kept, self.first + "/var/guix/gcroots/kept")

    def run(self, *argv, root=None, before=()):
        return subprocess.run([*before, self.cairn, "store", argv[0], "--root", root or self.root, *argv[1:]],
                              capture_output=True, text=True, timeout=60, check=False)

    def ok(self, *argv, root=None):
        r = self.run(*argv, root=root)
        if r.returncode:
            raise AssertionError(f"{' '.join(argv)}: status {r.returncode}: {r.stderr.strip()}")
        return r.stdout.strip()

    def operation(self, name, before=()):
        argv = {"add": ["add", self.tmp + "/new"], "gc": ["gc"], "verify": ["verify", "--repair"]}[name]
        return self.run(*argv, before=before)

    def calls(self, name):
        """How many calls the process with the most of them makes."""
        self.renew()
        out = self.tmp + "/calls"
        for f in os.listdir(self.tmp):
            if f.startswith("calls."):
                os.unlink(f"{self.tmp}/{f}")
        self.operation(name, before=[*self.alone, "strace", "-ff", "-qq", "-o", out, "-e", f"trace=!{EXCEPT}"])
        return max(sum(1 for _ in open(f"{self.tmp}/{f}", errors="replace"))
                   for f in os.listdir(self.tmp) if f.startswith("calls."))

    def renew(self):
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-a", self.first, self.root], check=True)

    def trial(self, name, fault, number):
        """None, or what is wrong."""
        self.renew()
        r = self.operation(name, before=[*self.alone, "strace", "-f", "-qq", "-o", "/dev/null", "-e",
                                         f"inject=!{EXCEPT}:{fault}:when={number}"])
        crashed = -r.returncode if r.returncode < 0 else r.returncode - 128
        if crashed in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            return f"ended with signal {crashed}: {r.stderr.strip()}"
        try:
            self.ok("verify")
            if r.returncode == 0 and name == "add":
                self.ok("query", r.stdout.strip())
            again = self.operation(name)
            if again.returncode:
                return f"does not work again: {again.stderr.strip()}"
            self.ok("gc")
            self.ok("verify")
        except AssertionError as e:
            return f"{e}; the operation said: {r.stderr.strip()}"
        left = sorted(os.listdir(self.root + "/gnu/store"))
        if left != [".links", os.path.basename(self.kept)]:
            return f"left in the store: {left}"
        links = [f for f in os.listdir(self.root + "/gnu/store/.links") if f[0] != "."]
        if len(links) != 2:
            return f"left in .links: {links}"
        return None
