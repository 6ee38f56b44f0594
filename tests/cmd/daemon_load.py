# SPDX-License-Identifier: GPL-3.0-or-later
"""Load on a daemon: many connections, many operations, connections that crash; its memory stays what it was."""
import os, random, resource, signal, socket, threading, time

from wire import *

LISTENER_KB = 512  # what the listener may grow by, whatever happens
CONNECTION_KB = 2048  # what a connection may grow by, between its 500th and its last operation


def rss(pid):
    """Anonymous memory in KiB: pages of files come and go with what else the machine does."""
    for line in open("/proc/%d/status" % pid):
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def fds(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Client:
    """A connection that knows the process which serves it, and what it added."""

    def __init__(self, d, rnd):
        before = set(d.children())
        self.c, self.rnd, self.d = d.conn(), rnd, d
        new = set(d.children()) - before
        self.pid = int(new.pop()) if len(new) == 1 else None
        self.added = []

    def path(self):
        return self.rnd.choice(self.added) if self.added else STORE + "/" + "0" * 32 + "-none"

    def step(self):
        """One random operation; whether the answer is what it must be."""
        c, rnd, p = self.c, self.rnd, self.path()
        kind = rnd.randrange(12)
        if kind == 0:
            n = rnd.randrange(400)  # few items: each that a connection adds is a root that it remembers
            good = c.ask(u64(8), s("t%d" % n), s("%d" % n * (n % 40 + 1)), strings([])) is None
            self.added = self.added[-50:] + [c.str().decode()]
            return good
        if kind == 1:
            n = rnd.randrange(200)
            good = c.ask(u64(7), s("n%d" % n), u64(1, 1), s("sha256"), file_nar(b"x" * (n * 20))) is None
            self.added = self.added[-50:] + [c.str().decode()]
            return good
        if kind == 2:
            return (c.ask(u64(26), s(p)) is None and [c.str(), c.str(), c.list(), c.num(), c.num()]) or not self.added
        if kind == 3:
            return (c.ask(u64(5), s(p)) is None and c.list() == []) or not self.added
        if kind == 4:
            return c.ask(u64(6), s(p)) is None and c.list() == []
        if kind == 5:
            return c.ask(u64(31), strings([p] * rnd.randrange(1, 50))) is None and len(c.list()) == bool(self.added)
        if kind == 6:
            return c.ask(u64(1), s("/etc/passwd")) is not None
        if kind == 7:
            return c.ask(options(more=[("locale", "x" * rnd.randrange(3000))])) is None
        if kind == 8:
            return c.ask(u64(9), strings([STORE + "/" + "1" * 32 + "-no.drv"]), u64(0)) is not None
        if kind == 9:
            return c.ask(u64(11), s(p)) is None and c.num() == 1
        if kind == 10:
            return c.ask(u64(27), feed=u64(rnd.choice([0, 9]))) is not None or c.list() == []
        return c.ask(u64(1), s(p)) is None and c.num() == bool(self.added)


def connections(d, total, rnd, stop=lambda: False):
    """Connections that come, do a few things and go, some of them by a crash of what serves them."""
    live, wrong, crashed = [], 0, 0
    for i in range(total):
        if stop():
            break
        live.append(Client(d, rnd))
        for x in rnd.sample(live, min(3, len(live))):
            wrong += not x.step()
        if i % 20 == 19:  # in the middle of an upload, what serves another one crashes
            half, victim = live[0], live[rnd.randrange(1, len(live))] if len(live) > 1 else None
            nar = file_nar(b"half" * 5000)
            half.c.send(u64(7) + s("half%d" % rnd.randrange(10)) + u64(1, 1) + s("sha256") + nar[:9999])
            if victim and victim.pid:
                os.kill(victim.pid, rnd.choice([signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT]))
                wrong += not victim.c.closed()
                victim.c.close()
                live.remove(victim)
                crashed += 1
            half.c.send(nar[9999:])
            wrong += half.c.end() is not None or not half.c.str()
        if len(live) > 12:
            live.pop(rnd.randrange(len(live))).c.close()
    for x in live:
        x.c.close()
    d.children_down_to(0)
    return wrong, crashed


def operations(d, total, rnd, stop=lambda: False):
    """Operations on one connection: how many answers were wrong, and by how much it grew."""
    x, wrong, early = Client(d, rnd), 0, 0
    for i in range(total):
        if i == 500:
            early = rss(x.pid)
        if i % 1000 == 0 and stop():
            break
        wrong += not x.step()
    grown = rss(x.pid) - early
    x.c.close()
    return wrong, grown


def crowd(d, total):
    """Silent connections, more than one user may have: how many were let in. Root may have more than others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(total + 200, hard), hard))
    held = []
    for _ in range(min(total, hard - 200)):
        x = socket.socket(socket.AF_UNIX)
        x.connect(d.path)
        held.append(x)
    return held


def verify(d):
    c = d.conn()
    e = c.ask(u64(35, 1, 0))
    bad = e or c.num()
    c.close()
    d.children_down_to(0)
    return bad


def load(name, d, nconnections, noperations, seed, stop=lambda: False):
    """All of it, as results of a test."""
    rnd = random.Random(seed)
    connections(d, 40, rnd)  # until it has what it needs
    base, base_fds = rss(d.p.pid), fds(d.p.pid)
    wrong, crashed = connections(d, nconnections, rnd, stop)
    ok("%s: %d connections, %d of them crash" % (name, nconnections, crashed), wrong == 0 and crashed > 0, wrong)
    grown = rss(d.p.pid) - base
    ok("%s: the listener's memory is flat" % name, grown <= LISTENER_KB, "%d KiB" % grown)
    ok("%s: it holds no descriptor more" % name, fds(d.p.pid) == base_fds, (base_fds, fds(d.p.pid)))
    wrong, grown = operations(d, noperations, rnd, stop)
    ok("%s: %d operations on one connection" % (name, noperations), wrong == 0, wrong)
    ok("%s: its memory is flat" % name, grown <= CONNECTION_KB, "%d KiB" % grown)
    ok("%s: the store is whole" % name, verify(d) == 0)
    return grown
