#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Clients that mean harm, by the names of their attacks. Nothing they do may reach other clients or the listener.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import array, os, pwd, resource, signal, socket, struct, sys, time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from daemon_load import fds, rss
from wire import *

tmp = os.environ["TMP"]
root_user = os.getuid() == 0
os.chmod(tmp, 0o755)
d = Daemon(tmp + "/root").wait()
none = STORE + "/" + "0" * 32 + "-none"


class somebody:
    """Inside: another user, if we are root."""

    def __init__(self, name="nobody"):
        self.pw = pwd.getpwnam(name)

    def __enter__(self):
        if root_user:
            os.setegid(self.pw.pw_gid)
            os.seteuid(self.pw.pw_uid)

    def __exit__(self, *_):
        if root_user:
            os.seteuid(0)
            os.setegid(0)


def served(c=None):
    try:
        c = c or d.conn()
        good = c.ask(u64(1), s(none)) is None and c.num() == 0
        c.close()
        return good
    except (Closed, OSError, AssertionError):
        return False


def connect():
    """A connection and the process that serves it."""
    d.children_down_to(0)
    c = d.conn()
    return c, int(d.children()[0])


def until(f, seconds=60):
    end = time.monotonic() + seconds
    while not f():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def cpu(pid):
    f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


served()
d.children_down_to(0)
base_fds, base_rss = fds(d.p.pid), rss(d.p.pid)

# ---- lengths ----
grown = []
for req in (u64(8) + s("x") + u64(60 << 20), u64(8, 4095), u64(31, 1 << 20), u64(19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1000) + s("x") + u64(1 << 20),
            u64(7) + s("x") + u64(1, 1) + s("sha256") + s("nix-archive-1") + s("(") + s("type") + s("regular") + s("contents") + u64(2**62)):
    c, pid = connect()
    c.ask(u64(1), s(none)), c.num()
    before = rss(pid)
    c.send(req)
    # it is waiting for the rest when it sleeps in poll
    until(lambda: open("/proc/%d/wchan" % pid).read() in ("0", "") or "poll" in open("/proc/%d/wchan" % pid).read(), 5)
    grown.append(rss(pid) - before)
    c.close()
ok("WP-01 an announced length takes no memory", max(grown) < 1024, grown)
bad = []
for n in (0xFFFFFFFF, 2**64 - 1, 2**64 - 7, 2**64 - 8, 2**63, 2**32, 2**32 + 1):
    for req in (u64(1), u64(8), u64(8) + s("x"), u64(31), u64(31, 1), u64(9), u64(19, 0, 0, 0, 0, 0, 0, 0, 0, 0), u64(29), u64(25), u64(20, 0)):
        c = d.conn()
        e = c.ask(req + u64(n))
        if not e or not c.closed():
            bad.append((hex(n), req, e))
        c.close()
ok("WP-02 lengths that wrap", not bad, bad)
bad = []
for n in range(1, 8):
    for k in range(8 - n):
        c = d.conn()
        pad = bytearray(8 - n)
        pad[k] = 1
        e = c.ask(u64(1, n) + b"a" * n + bytes(pad))
        if not e or not c.closed():
            bad.append((n, k, e))
        c.close()
ok("WP-04 padding", not bad, bad)
c, pid = connect()
c.send(u64(31, (1 << 20) - 1))
try:
    c.c.sendall(u64(0) * ((1 << 20) - 1))
    e = c.end()
except OSError as x:
    e = repr(x)
ok("WP-05 a long list of empty strings", e is not None and rss(pid) < 64 << 10 and served(), (e, rss(pid)))
c.close()
c = d.conn()
e = c.ask(u64(31, 2**32 - 1) + u64(0) * 1000)
ok("WP-05 a count beyond all", e and c.closed(), e)
for op in (0, 2, 15, 17, 36, 47, 79, 82, 255, 2**31, 2**63):
    c = d.conn()
    e = c.ask(u64(op) + s("x") * 20)
    ok("WP-06 operation %d" % op, e and "invalid operation" in e and c.closed(), e)
c = d.conn(hello=False)
c.send(u64(8) + s("before") + s("x") + strings([]))
ok("WP-06 an operation before the greeting", c.end() and c.closed())
left = [x for x in os.listdir(d.root + STORE) if not x.startswith(".")]
ok("WP-06 did nothing", left == [], left)
for name, req in [("build mode 77", u64(9) + strings([]) + u64(77)), ("collector action 9", u64(20, 9) + strings([]) + u64(0, 0, 0, 0, 0)),
                  ("verbosity -1", u64(19, 0, 0, 0, 2**64 - 1, 0, 0, 0, 0, 0) + pairs([])), ("a truth of 2", u64(7) + s("x") + u64(2, 0) + s("sha256"))]:
    c = d.conn()
    e = c.ask(req)
    ok("WP-08 " + name, e and c.closed() and served(), e)
for name, pair in [("cores 2^31", ("build-cores", str(2**31))), ("jobs", ("build-max-jobs", str(2**32))), ("negative", ("build-timeout", "-5"))]:
    c = d.conn()
    e = c.ask(options(more=[pair]))
    ok("WP-08 " + name, e and served(c), e)

# ---- crowds ----
d.children_down_to(0)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(1500, hard), hard))
held, before = [], cpu(d.p.pid)
with somebody():
    for _ in range(1000):
        x = socket.socket(socket.AF_UNIX)
        x.connect(d.path)
        held.append(x)
alive = len(d.children())
ok("WP-09 a user's silent connections are few", alive <= 64, alive)
if root_user:
    ok("WP-09 root is served beside them", served())
    with somebody("daemon"):
        good = served()
    ok("WP-09 and another user", good)
ok("WP-09 the greeting has a deadline", until(lambda: len(d.children()) == 0, 30), len(d.children()))
ok("WP-09 the listener does not spin", cpu(d.p.pid) - before < 3, cpu(d.p.pid) - before)
for x in held:
    x.close()
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
slow = d.conn(hello=False)
slow.c.settimeout(0.4)
gone = False
for byte in u64(0x6e697863, 0x164, 0, 0):  # 13 seconds long
    slow.send(bytes([byte]))
    try:
        gone = slow.c.recv(100) == b""
    except socket.timeout:
        pass
    except OSError:
        gone = True
    if gone:
        break
ok("WP-10 a greeting that trickles", gone)
slow = d.conn()
nar = file_nar("slow" * 10000)
slow.send(u64(7) + s("slow") + u64(1, 1) + s("sha256") + nar[:20000])
c = d.conn()
e = c.ask(u64(7) + s("slow") + u64(1, 1) + s("sha256") + nar)
fast = e or c.str().decode()
e = c.ask(u64(20, 2) + strings([]) + u64(0, 0, 0, 0, 0)) or (c.list(), c.num(), c.num())
ok("WP-10 an upload that pauses keeps nobody waiting", "-slow" in fast and not isinstance(e, str), (fast, e))
slow.send(nar[20000:])
ok("WP-10 and can go on", slow.end() is None and slow.str().decode() == fast)
slow.close(), c.close()

# ---- descriptors, identity ----
c, pid = connect()
assert c.ask(u64(1), s(none)) is None and c.num() == 0  # which opens the database
before, r = fds(pid), open("/dev/null")
for byte in u64(1) + s(none):
    c.c.sendmsg([bytes([byte])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [r.fileno()] * 253))])
ok("WP-13 descriptors sent along are dropped", c.end() is None and c.num() == 0 and fds(pid) == before, (before, fds(pid)))
c.close()
if root_user:
    x = Conn.__new__(Conn)
    x.c = socket.socket(socket.AF_UNIX)
    with somebody():
        x.c.bind("\0x;uid=0;" + str(os.getpid()))
        x.c.connect(d.path)
    x.c.settimeout(60)
    x.send(u64(0x6e697863)), x.num(), x.num(), x.send(u64(0x164, 0, 0)), x.num()
    e = x.ask(u64(9), strings([]), u64(1))
    ok("WP-14 a name is no identity", e and "not allowed" in e, e)
    x.close()
    with somebody():
        x = d.conn()
    try:
        x.c.sendmsg([u64(9) + strings([]) + u64(1)], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), 0, 0))])
    except OSError:
        x.send(u64(9) + strings([]) + u64(1))
    e = x.end()
    ok("WP-14 nor are credentials that are sent", e and "not allowed" in e, e)
    x.close()

# ---- a flood of requests, unread answers ----
c, pid = connect()
c.c.setblocking(False)
flood, sent = (u64(1) + s(none)) * 20000, 0
try:
    while sent < len(flood):
        sent += c.c.send(flood[sent:])
except BlockingIOError:
    pass
size = rss(pid)
c.c.setblocking(True)
whole, n = sent // (8 + len(s(none))), 0
for n in range(whole):
    if c.end() is not None or c.num() != 0:
        break
ok("WP-20 answers that are not read take no memory", size < 8 << 10 and n == whole - 1, (size, n, whole))
c.close()

# ---- the listener without descriptors ----
def low_served():
    try:
        return served(low.conn())
    except (Closed, OSError):
        return False


d.children_down_to(0)
low = Daemon(tmp + "/low").wait()
low.children_down_to(0)
resource.prlimit(low.p.pid, resource.RLIMIT_NOFILE, (120, 120))
before, many = cpu(low.p.pid), []
for _ in range(200):
    x = socket.socket(socket.AF_UNIX)
    x.connect(low.path)
    many.append(x)
until(lambda: len(low.children()) >= 60, 5)
for x in many:
    x.close()
low.children_down_to(0)
ok("WP-22 a listener without descriptors lives", until(lambda: low_served()) and low.p.poll() is None and cpu(low.p.pid) - before < 3, cpu(low.p.pid) - before)
low.stop()

# ---- crashes ----
def crashes(d, connect):
    """How many connections can be made to crash before none is served."""
    for n in range(80):
        try:
            x = connect()
        except (Closed, OSError, AssertionError):
            return n
        uid = os.geteuid()
        os.setreuid(-1, os.getuid())
        for kid in d.children():
            os.kill(int(kid), signal.SIGSEGV)
        d.children_down_to(0)
        os.setreuid(-1, uid)
    return 80


def is_served(**kw):
    try:
        return Conn(tcp, **kw).ask(u64(23)) is None
    except (Closed, OSError, AssertionError):
        return False


if root_user:
    with somebody():
        n = crashes(d, d.conn)
    ok("WP-18 who crashes connections again and again is not served", n == 64, n)
    ok("WP-18 which is said", "crashed too often" in open(d.log).read())
    ok("WP-18 others are", served())
tcp = tcp_address()
far = Daemon(tmp + "/far", "--listen", "127.0.0.1:%d" % tcp[1]).wait(tcp)
n = crashes(far, lambda: Conn(tcp))
ok("WP-18 over TCP nor is an address", n == 64 and not is_served() and "address=127.0.0.1" in open(far.log).read(), n)
ok("WP-18 other addresses are", is_served(source="127.0.0.2"))
many = []
for _ in range(80):
    try:
        many.append(Conn(tcp, source="127.0.0.2"))
    except (Closed, OSError, AssertionError):
        break
ok("an address has its share of connections", len(many) == 64, len(many))
ok("and leaves others theirs", is_served(source="127.0.0.3"))
for x in many:
    x.close()
far.stop()

d.children_down_to(0)
ok("the listener is as it was", until(lambda: fds(d.p.pid) == base_fds, 10) and rss(d.p.pid) - base_rss < 512, (base_fds, fds(d.p.pid), base_rss, rss(d.p.pid)))
ok("and ends", d.stop() == 0)
finish()
E
