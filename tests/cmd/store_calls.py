# SPDX-License-Identifier: GPL-3.0-or-later
"""One system call of the daemon, during an addition, a collection or a repairing check, is the last of its
process, or fails.

Afterwards the store is sound and has what a root holds, the same operation works, and a collection leaves
nothing but what is held. strace does the work; it is attached to a daemon that waits, so that no call of the
program loader or of the client is among those that are tried.
"""
import collections
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

OPERATIONS = ("add", "gc", "verify")
FAULTS = ("signal=KILL", "error=ENOSPC", "error=EIO", "error=EROFS", "error=ENOMEM")
# The last calls of a process, and those that cannot fail.
EXCEPT = "exit,exit_group,rt_sigreturn,munmap,brk,arch_prctl,rseq,set_robust_list,set_tid_address"


def go_alone():
    """A collector looks at every process: with few of them most of its calls are of other kinds."""
    alone = ["unshare", "-rpf", "--kill-child", "--mount-proc"]
    if "STORE_CALLS_ALONE" not in os.environ and \
            subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0:
        os.environ["STORE_CALLS_ALONE"] = "1"
        os.execvp("unshare", [*alone, *sys.argv])


def reap():
    """What a daemon left is a child of the first process of the namespace, and a collector looks at it as long as it is one."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class World:
    def __init__(self, tmp):
        self.tmp = tmp
        self.last = None  # the result of the operation of the last trial
        self.hit = False
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

    def run(self, *argv, root=None, options=()):
        return subprocess.run([self.cairn, "store", argv[0], "--root", root or self.root, *options, *argv[1:]],
                              capture_output=True, text=True, timeout=60, check=False)

    def ok(self, *argv, root=None):
        r = self.run(*argv, root=root)
        if r.returncode:
            raise AssertionError(f"{' '.join(argv)}: status {r.returncode}: {r.stderr.strip()}")
        return r.stdout.strip()

    def operation(self, name, options=()):
        argv = {"add": ["add", self.tmp + "/new"], "gc": ["gc"], "verify": ["verify", "--repair"]}[name]
        return self.run(*argv, options=options)

    def renew(self):
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-a", self.first, self.root], check=True)

    def traced(self, name, *options):
        """The operation by a daemon that is traced; its result, and the traces of the daemon's processes."""
        self.renew()
        for f in glob.glob(self.tmp + "/trace.*"):
            os.unlink(f)
        socket = self.root + "/var/guix/daemon-socket/socket"
        with subprocess.Popen([self.cairn, "daemon", "--root", self.root], stderr=subprocess.DEVNULL) as daemon:
            deadline = time.monotonic() + 30
            while not os.path.exists(socket) and time.monotonic() < deadline:
                time.sleep(0.005)
            with subprocess.Popen(["strace", "-ff", "-o", self.tmp + "/trace", *options, "-p", str(daemon.pid)],
                                  stderr=subprocess.PIPE, text=True) as tracer:
                tracer.stderr.readline()  # it is attached
                try:
                    result = self.operation(name, ["--socket", socket])
                finally:
                    daemon.terminate()
                    daemon.wait(30)
                    tracer.stderr.read()  # and so are those that the daemon left, until they end
        reap()
        traces = []
        for f in glob.glob(self.tmp + "/trace.*"):
            with open(f, errors="replace", encoding="utf-8") as t:
                traces.append(t.read())
        return result, traces

    def points(self, name, which=f"!{EXCEPT}"):
        """The calls of the process with the most of them, in order: name of the call, and the how manieth of that name. strace counts each
        kind of call by itself, so a number alone would be no place."""
        _, traces = self.traced(name, "-e", f"trace={which}")
        seen, found = collections.Counter(), []
        for m in re.finditer(r"(?m)^([a-z0-9_]+)\(", max(traces, key=lambda t: t.count("\n"))):
            seen[m[1]] += 1
            found.append((m[1], seen[m[1]]))
        return found

    def changes(self, name):
        """Of that process: which of its pwrite64 write a page of the database, as a commit does; and how many fsync it makes."""
        _, traces = self.traced(name, "-e", "trace=pwrite64,fsync")
        lines = max(traces, key=lambda t: t.count("\n")).split("\n")
        writes = [line for line in lines if line.startswith("pwrite64(")]
        return [n for n, line in enumerate(writes, 1) if ", 4096, " in line], sum(line.startswith("fsync(") for line in lines)

    def trial(self, name, fault, which, number):
        """None, or what is wrong. self.hit: it happened; the next run may make fewer calls."""
        r, traces = self.traced(name, "-e", f"inject={which}:{fault}:when={number}")
        self.last = r
        self.hit = any("(INJECTED)" in t or "killed by SIGKILL" in t for t in traces)
        crash = re.search(r"killed by (SIGSEGV|SIGABRT|SIGBUS|SIGILL|SIGFPE)", "".join(traces))
        if crash or r.returncode < 0 or r.returncode in (128 + signal.SIGSEGV, 128 + signal.SIGABRT):
            return f"{crash and crash[0]}, status {r.returncode}: {r.stderr.strip()}"
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
