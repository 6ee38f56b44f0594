# SPDX-License-Identifier: GPL-3.0-or-later
"""Two daemons beside each other, ours and Debian's nix: started alike, asked the same, each with a store of its own."""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import wire
from measure import *
from wire import s, strings, u64

NIX_STORE = "/nix/store"
HAVE_NIX = bool(shutil.which("nix-daemon") and shutil.which("nix-store"))
CONF = ("build-users-group =\nsandbox = true\nsandbox-fallback = false\nsubstitute = false\nsubstituters =\n"
        "require-sigs = false\n")
START, STOP, RESULT = 0x53545254, 0x53544f50, 0x52534c54


def nix_conf():
    os.makedirs(f"{TMP}/conf", exist_ok=True)
    with open(f"{TMP}/conf/nix.conf", "w", encoding="utf-8") as f:
        f.write(CONF)
    return dict(os.environ, NIX_CONF_DIR=f"{TMP}/conf", HOME=TMP)


class Conn(wire.Conn):
    """A client of Nix's dialect, version 0x115, to a daemon of that or a later version."""

    def __init__(self, address):
        super().__init__(address, hello=False)
        self.c.settimeout(600)
        self.send(u64(0x6e697863))
        assert self.num() == 0x6478696f
        self.version = self.num()
        self.send(u64(0x115, 0, 0))
        assert self.end() is None

    def get(self, n):
        b = bytearray(n)
        got = 0
        while got < n:
            k = self.c.recv_into(memoryview(b)[got:])
            if not k:
                raise wire.Closed
            got += k
        return bytes(b)

    def fields(self):
        for _ in range(self.num()):
            _ = self.str() if self.num() else self.num()

    def end(self, feed=b""):
        while True:
            tag = self.num()
            if tag == START:
                self.get(24), self.str(), self.fields(), self.num()
            elif tag == STOP:
                self.num()
            elif tag == RESULT:
                self.get(16), self.fields()
            elif tag == wire.NEXT:
                self.str()
            elif tag == wire.LAST:
                return None
            elif tag == wire.ERROR:
                raise AssertionError(self.str().decode())
            else:
                raise AssertionError(f"tag {tag:x}")

    def settings(self, jobs=1):
        """SetOptions of Nix's dialect: quiet, that many builds at once."""
        self.ask(u64(19, 0, 0, 0, 0, jobs, 0, 0, 7, 0, 0, 1, 0) + wire.pairs([]))


class Daemon:
    """What both have in common. before: a command that runs the daemon, as strace does."""

    def __init__(self, name, before, argv, socket, env):
        self.traced, argv = bool(before), [*before, *argv]
        self.group, self.path, self.name = Group(), socket, name
        os.makedirs(os.path.dirname(socket), exist_ok=True)
        with open(f"{TMP}/{name}.log", "a", encoding="utf-8") as log:
            self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, preexec_fn=self.group.enter)
        self.settle()

    def settle(self):
        """Until it answers, has made its database, and what answered is gone."""
        store = NIX_STORE if self.nix else wire.STORE
        for _ in range(1200):
            try:
                c = Conn(self.path) if self.nix else wire.Conn(self.path)
                c.ask(u64(1), s(f"{store}/{'0' * 32}-none"))
                c.close()
                break
            except OSError:
                if self.p.poll() is not None:
                    raise AssertionError(f"{self.name}: no daemon, see {TMP}/{self.name}.log") from None
                time.sleep(0.05)
        self.idle()

    def children(self, pid=None):
        pid = pid or self.p.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
            return f.read().split()

    def idle(self):
        """Until no connection is served; a tracer's child is the daemon."""
        for _ in range(12000):
            kids = self.children()
            if self.traced and kids:
                kids = self.children(kids[0])
            if not kids:
                break
            time.sleep(0.005)

    def conn(self):
        c = Conn(self.path)
        c.settings()
        return c

    def times(self):
        return Times(self.group)

    def command(self, argv):
        """A client's command in the same group."""
        return run(argv, env=self.client, preexec_fn=self.group.enter)

    def stop(self):
        self.p.terminate()
        self.ended()

    def stop_traced(self):
        """The daemon; its tracer goes with it."""
        for p in self.children():
            os.kill(int(p), signal.SIGTERM)
        self.ended()

    def ended(self):
        self.p.wait(60)
        self.group.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


class Ours(Daemon):
    """`cairn daemon` on a private root."""

    def __init__(self, nix=False, root=f"{WORK}/ours", before=()):
        self.root, self.nix = root, nix
        self.store = root + (NIX_STORE if nix else "/gnu/store")
        self.state = root + ("/nix/var/nix" if nix else "/var/guix")
        self.client = {k: v for k, v in os.environ.items() if k != "CAIRN_ROOT"}
        os.makedirs(root, exist_ok=True)
        argv = [CAIRN, "daemon", "--root", root, "-M", "1", *(["--dialect=nix"] if nix else [])]
        super().__init__("cairn", before, argv, f"{self.state}/daemon-socket/socket", self.client)

    def commands(self, kind, *args):
        return [CAIRN, "store", kind, "--socket", self.path, *args]


class Theirs(Daemon):
    """`nix-daemon` on a store below another root."""

    nix = True

    def __init__(self, root=f"{WORK}/theirs", before=()):
        self.root, self.store, self.state = root, root + NIX_STORE, f"{root}/nix/var/nix"
        env = nix_conf()
        socket = f"{TMP}/nix.socket"
        self.client = dict(env, NIX_REMOTE=f"unix://{socket}?root={root}")
        os.makedirs(self.store, exist_ok=True)
        env.update(NIX_REMOTE=f"local?root={root}&state={self.state}&log={root}/nix/var/log/nix", NIX_DAEMON_SOCKET_PATH=socket)
        super().__init__("nix", before, ["nix-daemon"], socket, env)


def peers(**kw):
    """Makers of both daemons, ours first; theirs only where nix is installed."""
    return {"cairn": lambda **more: Ours(**kw, **more), **({"nix": Theirs} if HAVE_NIX else {})}


def traced_calls(make, work, small, large):
    """System calls of one piece of work: the daemon and its children under strace, with few and with many pieces."""
    if not shutil.which("strace"):
        return None
    totals = []
    for n in (small, large):
        log = f"{TMP}/calls"
        d = make(before=("strace", "-f", "-c", "-o", log))
        work(d, n)
        d.stop_traced()
        with open(log, encoding="utf-8") as f:
            totals.append(int([line for line in f if line.rstrip().endswith("total")][-1].split()[2 + 1]))
    return (totals[1] - totals[0]) / (large - small)


def fill(db, rows):
    """Make paths valid, without a daemon: (path, NAR hash in hex, size, references)."""
    con = sqlite3.connect(db, timeout=60)
    with con:
        con.executemany("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 1, ?)",
                        [(p, "sha256:" + h, n) for p, h, n, _ in rows])
        ids = dict(con.execute("select path, id from ValidPaths"))
        con.executemany("insert into Refs (referrer, reference) values (?, ?)",
                        [(ids[p], ids[r]) for p, _, _, refs in rows for r in refs])
    con.close()
