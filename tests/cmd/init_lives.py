# SPDX-License-Identifier: GPL-3.0-or-later
"""Lives of PID 1: a machine that does the same things each time, with faults at given steps of the
journal (tests/init_faults.c). What it ends in must be what it ends in without any.

The machine is a cairn-init below the first process of an own pid namespace, so that what a failed
trial leaves is gone with that.
"""
import collections
import mmap
import os
import shutil
import socket
import struct
import subprocess
import time

LIST, STATUS, START, STOP, RESTART, RELOAD, LOAD, SHUTDOWN, INFO, REEXEC = range(1, 11)
ROW, CHANGES, INFO_ROW, END = range(1, 5)
WAIT = 1
LIMIT = 20  # seconds: for a machine that is busy; nothing waits for it but what hangs

SET = """
[init]
log-directory = {dir}/log

[service base]
type = notify
notify = fd:3
exec = /bin/sh -c "echo base >>{dir}/events; echo >&3; exec sleep 1001"

[service needs]
type = notify
notify = fd:3
exec = /bin/sh -c "echo needs >>{dir}/events; echo >&3; exec sleep 1002"
requires = base

[service once]
type = oneshot
exec = /bin/sh -c "echo up >>{dir}/events"
stop-exec = /bin/sh -c "echo down >>{dir}/events"

[service ready]
type = notify
notify = fd:3
exec = /bin/sh -c "echo ready >>{dir}/events; echo >&3; exec sleep 1003"
reload-exec = /bin/sh -c "echo reloaded >>{dir}/events"
after = once

[service forks]
type = forking
pid-file = {dir}/pid
exec = /bin/sh -c "echo forks >>{dir}/events; sleep 1004 & echo $! >{dir}/pid.new; mv {dir}/pid.new {dir}/pid"

[service fails]
exec = /bin/sh -c "echo fails >>{dir}/events; exit 3"
restart-limit = 2
restart-delay = 1ms
restart-delay-max = 1ms

[service missing]
exec = /does/not/exist
restart = never

[service simple]
exec = /bin/sh -c "echo simple >>{dir}/events; exec sleep 1007"

[service listens]
exec = /bin/sh -c "echo activated $LISTEN_FDS >>{dir}/events; exec sleep 1005"
listen = stream {dir}/listens
activate = yes

[service stops]
type = notify
notify = fd:3
exec = /bin/sh -c "echo stops >>{dir}/events; echo >&3; exec sleep 1006"
stop-exec = /bin/sh -c "echo asked >>{dir}/events"
stop-timeout = 60s
"""
SET2 = SET.replace("sleep 1001", "sleep 2001").replace("[service missing]", "[service new]").replace(
    "/does/not/exist", '/bin/sh -c "echo new >>{dir}/events; echo >&3; exec sleep 1008"\ntype = notify\nnotify = fd:3')


def text(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data + bytes(-len(data) % 8)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def u64(self):
        self.at += 8
        return struct.unpack_from("<Q", self.data, self.at - 8)[0]

    def text(self):
        n = self.u64()
        value = self.data[self.at:self.at + n].decode()
        self.at += n + -n % 8
        return value

    def more(self):
        return self.at < len(self.data)


class Wrong(Exception):
    pass


class Machine:
    """One run. at, every: steps at which it crashes; 0: none."""

    def __init__(self, program, directory, sets=(SET, SET2), at=0, every=0):
        self.dir = directory
        self.logged = open(os.path.join(directory, "console"), "wb")
        self.steps = os.path.join(directory, "steps")
        for name, content in zip(("set", "set2"), sets):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
                f.write(content.replace("{dir}", directory))
        with open(self.steps, "wb") as f:
            f.write(bytes(8))
        env = dict(os.environ, CAIRN_STEPS=self.steps, CAIRN_CRASH_AT=str(at), CAIRN_CRASH_EVERY=str(every))
        self.path = os.path.join(directory, "run", "init.sock")
        script = '"$@" & echo $! >"$0"; wait $!; exit $?'
        self.process = subprocess.Popen(
            ["unshare", "-Urpf", "--kill-child", "sh", "-c", script, os.path.join(directory, "number"), program,
             "--run-dir", os.path.join(directory, "run"), os.path.join(directory, "set")],
            env=env, stdout=self.logged, stderr=self.logged, stdin=subprocess.DEVNULL)

    def count(self):
        with open(self.steps, "r+b") as f, mmap.mmap(f.fileno(), 8) as m:
            return struct.unpack("<Q", m[:8])[0]

    def connect(self):
        end = time.monotonic() + LIMIT
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(LIMIT)
            try:
                s.connect(self.path)
                return s
            except OSError as e:
                s.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise Wrong(f"no connection: {e}") from e
                time.sleep(0.01)

    def send(self, op, name="", flags=WAIT):
        s = self.connect()
        s.send(struct.pack("<QQQ", 1, op, flags) + text(name))
        return s

    def answer(self, s):
        """(code, rows or changes); each exactly once, but for rows that a crash may repeat."""
        found = []
        while True:
            try:
                r = Reader(s.recv(8192))
            except OSError as e:
                raise Wrong(f"no answer: {e}") from e
            if not r.more():
                raise Wrong("the connection was closed without an answer")
            r.u64()
            kind = r.u64()
            if kind == END:
                s.settimeout(0)
                code = r.u64()
                self.message = r.text()
                s.close()
                return code, found
            while r.more():
                if kind == ROW:
                    row = [r.text() for _ in range(8)] + [r.u64() for _ in range(5)]
                    found.append(tuple(row))
                    break
                if kind == CHANGES:
                    found.append((r.text(), r.text()))
                else:
                    break

    def ask(self, op, name="", flags=WAIT):
        return self.answer(self.send(op, name, flags))

    def rows(self):
        return {r[0]: r for r in self.ask(LIST, flags=0)[1]}

    def wait_for(self, what, test):
        end = time.monotonic() + LIMIT
        while not test():
            if time.monotonic() > end:
                raise Wrong(f"in vain: {what}")
            time.sleep(0.005)

    def events(self):
        try:
            with open(os.path.join(self.dir, "events"), encoding="utf-8") as f:
                return sorted(f.read().split("\n"))
        except FileNotFoundError:
            return []

    def settled(self):
        states = {n: r[2] for n, r in self.rows().items()}
        return all(s in ("up", "down", "done", "failed") for s in states.values())

    def picture(self):
        """All services, without what differs by itself."""
        rows = self.rows().values()
        return sorted((r[0], r[2], r[3], r[4], r[7], r[8], r[9] != 0, r[11], r[12]) for r in rows)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.logged.close()

    def console(self):
        with open(os.path.join(self.dir, "console"), errors="replace", encoding="utf-8") as f:
            return f.read()


def sequence(m):
    """What happens in each trial; a list of what was seen."""
    seen = []

    def note(what, value):
        seen.append((what, value))

    def do(op, name, flags=WAIT):
        code, found = m.ask(op, name, flags)
        note(f"{op} {name.rsplit('/', 1)[-1]}", (code, sorted(set(found)) if op == LOAD else None))

    m.wait_for("boot", m.settled)
    m.wait_for("limit", lambda: m.rows()["fails"][2] == "failed")
    note("boot", m.picture())
    m.wait_for("simple", lambda: "simple" in m.events())
    do(STOP, "base")
    do(START, "needs")
    do(RESTART, "base")
    do(RELOAD, "ready")
    m.wait_for("reload", lambda: "reloaded" in m.events())
    do(RESTART, "once")
    do(RESTART, "forks")
    do(STOP, "stops")
    do(START, "missing")
    do(START, "nobody")
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.path.join(m.dir, "listens"))
    m.wait_for("activation", lambda: any(e.startswith("activated") for e in m.events()))
    note("middle", m.picture())
    do(LOAD, os.path.join(m.dir, "set2"))
    m.wait_for("load", m.settled)
    note("loaded", m.picture())
    do(STOP, "new")
    do(REEXEC, "")
    note("end", m.picture())
    s.close()
    do(SHUTDOWN, "poweroff")
    m.process.wait(LIMIT)
    note("exit", m.process.returncode)
    note("events", m.events())
    return seen


def run(program, directory, at=0, every=0):
    """(what was seen, steps, an error or None)"""
    os.mkdir(directory)
    m = Machine(program, directory, at=at, every=every)
    error, seen = None, []
    try:
        seen = sequence(m)
    except (Wrong, OSError, subprocess.TimeoutExpired, KeyError) as e:
        error = f"{type(e).__name__}: {e}"
    steps = m.count()
    m.end()
    if error:
        error += "\n" + m.console()[-1500:]
    return seen, steps, error


def differences(seen, wanted):
    for (what, got), (_, want) in zip(seen, wanted):
        if got != want:
            if isinstance(got, list):
                got, want = (list((collections.Counter(a) - collections.Counter(b)).elements())
                             for a, b in ((got, want), (want, got)))
            return f"{what}:\n  got    {got}\n  wanted {want}"
    return None if len(seen) == len(wanted) else "it ended early"


class World:
    """Where the same machine runs again and again: the same place each time, which is in its definitions."""

    def __init__(self, program, tmp):
        self.program, self.directory = program, os.path.join(tmp, "machine")
        self.calm, self.steps, error = run(program, self.directory)
        if error:
            raise Wrong(error)

    def trial(self, at=0, every=0):
        """None, or what is wrong."""
        shutil.rmtree(self.directory)
        seen, _steps, error = run(self.program, self.directory, at, every)
        with open(os.path.join(self.directory, "console"), errors="replace", encoding="utf-8") as f:
            console = f.read()
        if not error and "fatal signal" not in console:
            error = "it did not crash"
        return error or differences(seen, self.calm)


def storm_set(services):
    parts = ["[init]\nlog-directory = {dir}/log\n"]
    for i in range(services):
        after = f"requires = s{i - 1}\n" if i % 10 else ""
        parts.append(f"[service s{i}]\nexec = /bin/sleep 1{i:04}\n{after}")
    parts.append('[service talks]\nexec = /bin/sh -c "i=0; while [ ! -e {dir}/quiet ]; do echo line $i; i=$((i + 1)); '
                 '[ $((i % 20)) != 0 ] || sleep 0.01; done; echo last $i; exec sleep 1000"\n')
    parts.append("[service far]\nexec = /bin/false\nrestart-delay = 1h\nrestart-delay-max = 1h\nrestart-limit = 0\n")
    return "\n".join(parts)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return f.read().split()


def storm(program, directory, services, crashes, deadline=None):
    """Faults from outside, one after the other, while services are restarted and one talks. Raises Wrong; returns how
    many there were."""
    os.mkdir(directory)
    m = Machine(program, directory, sets=(storm_set(services),))
    try:
        return storm_in(m, services, crashes, deadline)
    finally:
        m.end()


def storm_in(m, services, crashes, deadline):
    def pids():
        return {n: r[9] for n, r in m.rows().items()}

    m.wait_for("boot", lambda: all(r[2] == ("backoff" if n == "far" else "up") for n, r in m.rows().items()))
    outer = int(children_of(m.process.pid)[0])
    inner = int(children_of(outer)[0])
    before, done = pids(), 0

    def fds():
        return len(os.listdir(f"/proc/{inner}/fd"))

    # A process and two ends of a pipe for each, and the few of PID 1. A client that left is noticed a turn later.
    bound = 3 * (services + 2) + 23
    m.wait_for("few descriptors", lambda: fds() <= bound)
    few = fds()
    for k in range(crashes):
        if deadline and time.time() > deadline:
            break
        name = f"s{(k * 10 + 9) % services}"  # the end of a chain: nobody requires it
        asked = m.send(RESTART, name) if k % 3 == 0 else None
        lives = m.console().count("goes on")
        os.kill(inner, [11, 6, 7, 4, 8][k % 5])
        m.wait_for("another life", lambda: m.console().count("goes on") > lives)
        if asked:
            code, _ = m.answer(asked)
            if code:
                raise Wrong(f"crash {k}: restart of {name} answered {code}")
        now = pids()
        moved = {n for n in before if now.get(n) != before[n]} - ({name} if asked else set())
        if moved or (asked and now[name] == before[name]):
            raise Wrong(f"crash {k}: restarted: {sorted(moved)}, asked for: {name if asked else 'none'}")
        before, done = now, done + 1
    m.wait_for(f"{few} descriptors as before", lambda: fds() <= few)
    far = m.rows()["far"]
    if far[2] != "backoff" or far[11] != 2:  # it was restarted at once, and is to be again
        raise Wrong(f"the one in its back-off: {far}")
    with open(os.path.join(m.dir, "quiet"), "w", encoding="ascii"):
        pass
    log = os.path.join(m.dir, "log", "talks.log")

    def lines():
        with open(log, encoding="ascii") as f:
            return [line.split(" ", 1)[1] for line in f.read().splitlines()]

    def all_lines():
        old = os.path.join(m.dir, "log", "talks.log.")
        found = []
        for i in range(1, 1000):
            if os.path.exists(old + str(i)):
                with open(old + str(i), encoding="ascii") as f:
                    found += [line.split(" ", 1)[1] for line in f.read().splitlines()]
        return found + lines()

    m.wait_for("the last line", lambda: any(line.startswith("last") for line in lines()))
    said = all_lines()
    number = int(said[-1].split()[1])
    first = int(said[0].split()[1])
    if said[:-1] != [f"line {i}" for i in range(first, number)] or (first and done < 200):
        raise Wrong(f"lines are missing or doubled: {len(said)} of {number}")
    code, _ = m.ask(SHUTDOWN, "poweroff")
    if code or m.process.wait(LIMIT) != 0:
        raise Wrong("it did not end well")
    return done
