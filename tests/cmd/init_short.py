# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 without descriptors, processes or memory (tests/init_faults.c): what was asked of it is refused, with that
reason, what was there stays, and it goes on as soon as there is some again.

Each function is one trial with a machine of its own; it raises lives.Wrong.

Services for whom a clone is to fail have a setting that makes it the one by way of the C library.
"""
import errno
import os
import re
import resource
import signal
import socket
import struct
import time

import init_lives as lives

RUN = 12
SET = """
[init]
log-directory = {dir}/log

[service steady]
exec = /bin/sleep 1001

[service mortal]
environment-file = -/nothing
exec = /bin/sleep 1002
restart = always

[service reloads]
environment-file = -/nothing
exec = /bin/sleep 1003
reload-exec = /bin/true

[service extra]
environment-file = -/nothing
exec = /bin/sleep 1004
enabled = no

[service limited]
environment-file = -/nothing
exec = /bin/sleep 1005
enabled = no
restart-limit = 2
restart-delay = 1ms

[service once]
type = oneshot
exec = /bin/true
stop-exec = /bin/true

[service served]
exec = /bin/echo served
listen = stream {dir}/served
accept = yes
"""
SET2 = SET + """
[service new]
exec = /bin/sleep 1006

[service newer]
exec = /bin/sleep 1007
requires = new
listen = stream {dir}/newer
"""


class Machine(lives.Machine):
    def __init__(self, program, directory):
        os.mkdir(directory)
        self.shortage = os.path.join(directory, "shortage")
        with open(self.shortage, "wb") as f:
            f.write(bytes(24))
        os.environ["CAIRN_SHORTAGE"] = self.shortage
        super().__init__(program, directory, (SET, SET2))
        self.wait_for("boot", self.settled)
        self.pid = self.find(self.process.pid)

    def find(self, parent):
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as f:
            for child in map(int, f.read().split()):
                if os.readlink(f"/proc/{child}/exe").endswith("init-faults"):
                    return child
                found = self.find(child)
                if found:
                    return found
        return None

    def field(self, index, value=None):
        """memory, refused, clone"""
        with open(self.shortage, "r+b", buffering=0) as f:
            f.seek(index * 8)
            if value is None:
                return struct.unpack("<Q", f.read(8))[0]
            return f.write(struct.pack("<Q", value))

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            return [int(n) for n in f.read().split()]

    def kill(self, command):
        """The process of a service, which has an end that its number inside does not tell."""
        for child in self.children():
            with open(f"/proc/{child}/cmdline", "rb") as f:
                if f.read() == command.replace(" ", "\0").encode() + b"\0":
                    os.kill(child, signal.SIGKILL)
                    return
        raise lives.Wrong(f"no process: {command}")

    def row(self, name):
        return self.rows()[name]

    def is_now(self, name, state, why=""):
        r = self.row(name)
        return r[2] == state and why in r[3]

    def expect(self, what, name, state, why=""):
        try:
            self.wait_for(what, lambda: self.is_now(name, state, why))
        except lives.Wrong as e:
            raise lives.Wrong(f"{e}: {self.row(name)}") from e

    def close(self):
        """It shuts down, and crashed never."""
        code, _ = self.ask(lives.SHUTDOWN, "poweroff")
        try:
            self.process.wait(lives.LIMIT)
        except Exception as e:
            raise lives.Wrong("no shutdown") from e
        if code or self.process.returncode or re.search("crash|signal 11", self.console()):
            raise lives.Wrong(f"shutdown {code}, {self.process.returncode}")

    def no_descriptors(self):
        """Once: what it holds back must lie below the limit."""
        used = {int(n) for n in os.listdir(f"/proc/{self.pid}/fd")}
        free = next(n for n in range(65536) if n not in used)
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (free, hard))

    def descriptors(self):
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (hard, hard))

    def processor_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_slowly(self, what, test):
        end = time.monotonic() + lives.LIMIT
        while not test():
            if time.monotonic() > end:
                raise lives.Wrong(f"in vain: {what}")
            time.sleep(0.1)


def descriptors(m):
    reason = os.strerror(errno.EMFILE)
    m.no_descriptors()
    m.rows()
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(lives.LIMIT)
    caller.connect(os.path.join(m.dir, "served"))
    code, _ = m.ask(lives.START, "extra")
    if not code or not m.is_now("extra", "backoff", reason):
        raise lives.Wrong(f"start: {code} {m.row('extra')}")
    begin = m.processor_seconds()
    tries = m.row("extra")[11]
    m.wait_slowly("tries", lambda: m.row("extra")[11] > tries + 3)
    if m.processor_seconds() - begin > 0.2:
        raise lives.Wrong(f"it is busy: {m.processor_seconds() - begin} s")
    idle = [m.connect() for _ in range(200)]
    m.rows()
    if m.ask(lives.LOAD, os.path.join(m.dir, "set2"))[0] != errno.EMFILE:
        raise lives.Wrong("a load without descriptors")
    m.kill("/bin/sleep 1002")
    m.wait_for("a death is noticed", lambda: m.row("mortal")[11] > 0)
    m.descriptors()
    m.expect("a try that can succeed", "extra", "up")
    if caller.recv(100) != b"served\n":
        raise lives.Wrong("a connection was lost")
    for s in idle:
        s.close()


def shutdown(m):
    m.no_descriptors()
    if m.ask(lives.STOP, "once")[0] or "command failed" in m.console():
        raise lives.Wrong("a stop command without descriptors")


def processes(m):
    m.field(2, errno.EAGAIN)
    code, _ = m.ask(lives.START, "extra")
    if not code or not m.is_now("extra", "backoff", os.strerror(errno.EAGAIN)):
        raise lives.Wrong(f"start: {code} {m.row('extra')}")
    m.ask(lives.START, "limited")
    m.expect("the limit", "limited", "failed", f"restart limit reached; last: clone: {os.strerror(errno.EAGAIN)}")
    m.kill("/bin/sleep 1002")
    m.expect("one that died", "mortal", "backoff", os.strerror(errno.EAGAIN))
    if m.ask(lives.RELOAD, "reloads")[0] != errno.EAGAIN:
        raise lives.Wrong("a command without processes")
    m.field(2, errno.ENOMEM)
    m.expect("another reason", "extra", "backoff", os.strerror(errno.ENOMEM))
    if m.row("steady")[2] != "up":
        raise lives.Wrong("one that ran stopped")
    m.field(2, 0)
    m.expect("a try that can succeed", "extra", "up")
    m.expect("a try that can succeed", "mortal", "up")


def memory(m):
    """Each request, with no memory from the n-th allocation on, for all n; the number of them."""
    done = 0
    added = "[service added]\nexec = /bin/sleep 1008\n"
    there = set(m.rows())
    more = there | {"new", "newer"}
    steps = [
        ("list", lives.LIST, "", None), ("info", lives.INFO, "", None), ("status", lives.STATUS, "steady", None),
        ("stop", lives.STOP, "mortal", ("mortal", "down", "up")), ("start", lives.START, "mortal", ("mortal", "up", "down")),
        ("restart", lives.RESTART, "mortal", ("mortal", "up", "up")), ("reload", lives.RELOAD, "reloads", None),
        ("load", lives.LOAD, os.path.join(m.dir, "set2"), (more, there)),
        ("load back", lives.LOAD, os.path.join(m.dir, "set"), (there, more)),
        ("add", RUN, added, (there | {"added"}, there)), ("re-exec", lives.REEXEC, "", None)]
    steady = m.row("steady")[9]
    for what, op, name, change in steps:
        n = 0
        while True:
            n += 1
            m.field(1, 0)
            m.field(0, n + 1)
            code, _ = m.ask(op, name, 0 if op == RUN else lives.WAIT)
            said = m.message
            m.field(0, 0)
            refused = m.field(1)
            where = f"{what}, allocation {n}: answer {code}"
            rows = m.rows()
            if rows["steady"][9] != steady or rows["steady"][2] != "up":
                raise lives.Wrong(f"{where}: a service was lost")
            if code and not refused:
                raise lives.Wrong(f"{where} with all memory")
            if change:
                now = rows[change[0]][2] if len(change) == 3 else set(rows)
                if now != change[-2 if code == 0 else -1]:
                    raise lives.Wrong(f"{where}: {now}")
            done += 1
            if not code:
                break
            if code != errno.ENOMEM and "memory" not in said:
                raise lives.Wrong(f"{where}: {said}")
    return done
