#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Clients that mean harm, by the names of their attacks. Nothing they do may reach other clients or the listener.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import array, fcntl, os, pwd, re, resource, signal, socket, stat, struct, subprocess, sys, termios, time

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


def refused(req):
    """The error of a request that is refused at once, and ends its connection; None: it is waited for the rest."""
    c = d.conn()
    c.c.settimeout(20)
    try:
        e = c.ask(req)
        return e if c.closed() else None
    except OSError:
        return None
    finally:
        c.close()


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


def settled(c, pid):
    """It has read all that was sent, and waits for more."""
    return until(lambda: struct.unpack("i", fcntl.ioctl(c.c, termios.TIOCOUTQ, b"    "))[0] == 0
                 and open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] == "S")


def claimed(pid):
    """Memory in KiB that it asked for, used or not."""
    return int([x for x in open("/proc/%d/status" % pid) if x.startswith("VmData:")][0].split()[1])


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
    before = rss(pid), claimed(pid)
    c.send(req)
    waits = settled(c, pid)
    grown.append(max(rss(pid) - before[0], claimed(pid) - before[1]) if waits else 1 << 30)
    c.close()
for name, req in ("path", u64(1) + s("x" * 4097)), ("list", u64(31, 1) + s("x" * 4097)):
    e = refused(req)
    ok("WP-01 a %s has its own limit" % name, e and "too large" in e, e)
ok("WP-01 an announced length takes no memory", max(grown) < 1024, grown)
bad = None
for n in (0xFFFFFFFF, 2**64 - 1, 2**64 - 7, 2**64 - 8, 2**63, 2**32, 2**32 + 1):
    for req in (u64(1), u64(8), u64(8) + s("x"), u64(31), u64(31, 1), u64(9), u64(19, 0, 0, 0, 0, 0, 0, 0, 0, 0), u64(29), u64(25), u64(20, 0)):
        if not bad and not refused(req + u64(n)):
            bad = hex(n), req
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
ok("WP-05 a count beyond all", refused(u64(31, 2**32 - 1) + u64(0) * 1000))
c, sent = d.conn(), 0
c.send(u64(31, 2**32 - 1))
try:
    while sent < 128 << 20:
        c.c.sendall(u64(0) * 65536)
        sent += 8 * 65536
except OSError:
    pass  # it hung up
ok("WP-05 empty strings without end", sent < 128 << 20 and served(), sent)
c.close()
c, sent = d.conn(), 0
c.send(u64(31, 1 << 20))
piece = s("x" * 4088) * 512
try:
    while sent < 1 << 30:
        c.c.sendall(piece)
        sent += len(piece)
except OSError:
    pass  # it hung up
ok("WP-05 a long list of long strings ends at 256 MiB", 250 << 20 < sent < 300 << 20 and served(), sent)
c.close()
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

# ---- names ----
c = d.conn()
assert c.ask(u64(8), s("named"), s("x"), strings([])) is None
named = c.str().decode()
part = named[len(STORE) + 1:][:32]
for text in "", "%", "_", "%" * 32, "_" * 32, part[:31] + "%", part[:31] + "_", part[:31], part + "-", part[:16], part.upper(), part[:31] + "\n", part[:31] + "'":
    e = c.ask(u64(29), s(text))
    got = None if e else c.str().decode()
    ok("SP-04 the hash part '%s'" % text.strip(), e or not got, got)
ok("SP-04 and the right one", c.ask(u64(29), s(part)) is None and c.str().decode() == named)
os.mkdir(tmp + "/round")
for n, to in ("a", "b"), ("b", "a"), ("deep", "a/x"):
    os.symlink(to, tmp + "/round/" + n)
for argv in ["query"], ["realise"], ["delete"], ["add-root", tmp + "/round/a/root"], ["add-root", tmp + "/round/deep/root"]:
    what = [named] if "add-root" in argv else [tmp + "/round/a"]
    try:
        p = subprocess.run([os.environ["CAIRN"], "store", *argv, *what, "--root", d.root, "--socket", d.path], capture_output=True, text=True, timeout=100)
        e = p.returncode, p.stderr
    except subprocess.TimeoutExpired:
        e = 0, "it does not end"
    ok("SP-03 %s by way of links in a circle" % " ".join(argv).replace(tmp, ""), e[0] in (1, 65) and e[1], e)
e = c.ask(u64(12), s(tmp + "/round/a")) or c.num()
e = c.ask(u64(14)) or [(c.str(), c.str()) for _ in range(c.num())]
ok("SP-03 a root that is one", isinstance(e, list), e)
e = c.ask(u64(20, 2) + strings([]) + u64(0, 0, 0, 0, 0)) or (c.list(), c.num(), c.num())
ok("SP-03 and a collection", not isinstance(e, str) and served(), e)
c.close()

# ---- crowds ----
def tell_children(sig):
    for kid in d.children():
        try:
            os.kill(int(kid), sig)
        except ProcessLookupError:
            pass  # it ended meanwhile


d.children_down_to(0)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(2000, hard), hard))
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
    crowd = []
    try:
        for uid in range(61000, 61008):  # as many as have a place all together; stopped, so that none reaches its deadline
            os.seteuid(uid)
            for _ in range(64):
                x = socket.socket(socket.AF_UNIX)
                x.connect(d.path)
                crowd.append(x)
            os.seteuid(0)
            tell_children(signal.SIGSTOP)
        good = served()
        alive = len(d.children())
    finally:
        os.seteuid(0)
        tell_children(signal.SIGCONT)
    for x in crowd:
        x.close()
    ok("WP-09 and root beside as many of many users as there may be", good and 450 < alive < 512, (good, alive))
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

if root_user:
    with somebody():
        x = d.conn()
    e = x.ask(options(more=[("cairn-busy", "1")])) or x.ask(u64(14))
    ok("what processes use is not told to everybody", e and "not privileged" in e, e)
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
ok("WP-22 a listener with few descriptors lives", until(lambda: low_served()) and low.p.poll() is None and cpu(low.p.pid) - before < 3, cpu(low.p.pid) - before)
low.children_down_to(0)
taken = {int(n) for n in os.listdir("/proc/%d/fd" % low.p.pid)}
free = next(n for n in range(1000) if n not in taken)


def rests():
    """How often it slept of its own accord."""
    return int([x for x in open("/proc/%d/status" % low.p.pid) if x.startswith("voluntary_")][0].split()[1])


resource.prlimit(low.p.pid, resource.RLIMIT_NOFILE, (free, 120))
x = socket.socket(socket.AF_UNIX)
x.connect(low.path)  # which it now sees again and again, and cannot take
slept, before = rests(), cpu(low.p.pid)
until(lambda: rests() - slept >= 20 or cpu(low.p.pid) - before >= 3)
ok("WP-22 one with none waits until there are", rests() - slept >= 20 and cpu(low.p.pid) - before < 3, (rests() - slept, cpu(low.p.pid) - before))
resource.prlimit(low.p.pid, resource.RLIMIT_NOFILE, (120, 120))
x.settimeout(60)
x.sendall(u64(0x6e697863))
ok("WP-22 and goes on", x.recv(8) == u64(0x6478696f) and low_served())
x.close()
low.stop()
if root_user:  # whom no limit of processes holds
    user = 61000 + os.getpid() % 1000
    os.mkdir(tmp + "/poor")
    os.chown(tmp + "/poor", user, user)
    become = ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups"]
    poor = Daemon(tmp + "/poor", before=become).wait()
    poor.children_down_to(0)
    before = fds(poor.p.pid)
    allow = lambda n: subprocess.run([*become, "prlimit", "--pid=%d" % poor.p.pid, "--nproc=%d:" % n], check=True)
    allow(0)

    def ends():
        with socket.socket(socket.AF_UNIX) as x:
            x.settimeout(60)
            try:
                x.connect(poor.path)
                return x.recv(1) == b""
            except OSError:
                return False

    ok("WP-22 without processes connections end", all([ends() for _ in range(20)]) and poor.p.poll() is None)
    ok("WP-22 and leave no descriptors", until(lambda: fds(poor.p.pid) <= before), (fds(poor.p.pid), before))
    allow(1000)
    ok("WP-22 until there are some again", served(poor.conn()))
    poor.stop()

# ---- answers to what it asks for ----
nix = Daemon(tmp + "/nix", "--dialect=nix").wait()
target = "/nix/store/" + "3" * 32 + "-asked"
inside = u64(8) + s("smuggled") + s("x") + strings([])  # an operation, where an archive should be
nar = file_nar(b"asked" * 30000)


def upload(*pieces, hash=None, then=b""):
    """The error of an addition whose data are these pieces, each sent when it asks; and the connection."""
    x = nix.conn()
    digest = hash or hashlib.sha256(nar).hexdigest()
    x.send(u64(39) + s(target) + s("") + s(digest) + strings([]) + u64(0, len(nar), 0) + strings([]) + s("") + u64(0, 1))
    pieces = [*pieces, s(""), s("")]
    while True:
        tag = x.num()
        if tag == READ:
            x.num()
            if not pieces:
                return None, x  # it asks on and on
            x.send(pieces.pop(0))
        elif tag == NEXT:
            x.str()
        elif tag == ERROR:
            e = x.str().decode()
            x.num()
            return e, x
        else:
            return None, x


def pieces_of(data):
    return [s(data[i:i + 60000]) for i in range(0, len(data), 60000)]


def in_step(x):
    return x.ask(u64(1), s(target)) is None and x.num() == 0


def smuggled(where):
    return [n for n in os.listdir(where) if "smuggled" in n]


third = len(nar) // 3 // 8 * 8
e, x = upload(s(nar[:third]), s(""))
ok("WP-21 an end that comes early", e and "less than it announced" in e and in_step(x), e)
e, x = upload(u64(1 << 20) + nar + b"\0" * ((1 << 20) - len(nar)))
ok("WP-21 a piece larger than was asked for", e and x.closed(), e)
e, x = upload(u64(2**64 - 1))
ok("WP-21 one of all bytes there are", e and x.closed(), e)
e, x = upload(u64(5) + nar[:5] + b"\0\0\1", *pieces_of(nar[5:]))
ok("WP-21 padding of a piece", e and x.closed(), e)
e, x = upload(*pieces_of(nar[:third] + inside * 20 + nar[third:]))
ok("WP-21 an operation inside", e and in_step(x) and not smuggled(nix.root + "/nix/store"), e)
e, x = upload(*pieces_of(nar + inside), hash="0" * 64)
ok("WP-21 one behind an archive that is refused", e and in_step(x) and not smuggled(nix.root + "/nix/store"), e)
x = d.conn()
broken = bytearray(file_nar(b"12345"))
broken[-17] = 1  # of the padding of the contents
x.send(u64(7) + s("broken") + u64(1, 1) + s("sha256") + bytes(broken) + inside * 3)
e = x.end()
ok("WP-21 one behind an archive without frames", e and x.closed() and not smuggled(d.root + STORE), e)
x = nix.conn()
x.send(u64(39) + s(target) + s("") + s(hashlib.sha256(nar).hexdigest()) + strings([]) + u64(0, len(nar), 0) + strings([]) + s("") + u64(0, 1))
assert x.num() == READ
x.send(u64(60000) + nar[:30000])
x.close()
nix.children_down_to(0)
ok("WP-21 an upload that ends with its connection leaves nothing", [n for n in os.listdir(nix.root + "/nix/store") if n[0] != "."] == [],
   os.listdir(nix.root + "/nix/store"))
e, x = upload(*pieces_of(nar))
ok("WP-21 and the right one is taken", e is None, e)
nix.stop()

# ---- where it listens ----
def start(socket_path):
    """How a daemon that is to listen there ends, or "listens"."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind("\0cairn-test-%d" % os.getpid())
    told.settimeout(0.05)
    p = subprocess.Popen([os.environ["CAIRN"], "daemon", "--root", tmp + "/listen", "--listen", socket_path], stderr=subprocess.PIPE,
                         text=True, env={**os.environ, "NOTIFY_SOCKET": "@cairn-test-%d" % os.getpid()})
    e = None
    while e is None and p.poll() is None:
        try:
            e = "listens" if told.recv(100) == b"READY=1" else None
        except socket.timeout:
            pass
    told.close()
    p.terminate()
    said = p.communicate(timeout=60)[1]
    return e or said


os.mkdir(tmp + "/open", 0o755)
os.chmod(tmp + "/open", 0o775)
e = start(tmp + "/open/s")
ok("WP-16 a directory that a group may write to", "is writable by others" in e and not os.path.exists(tmp + "/open/s"), e)
os.chmod(tmp + "/open", 0o757)
e = start(tmp + "/open/s")
ok("WP-16 one that everybody may write to", "is writable by others" in e, e)
os.chmod(tmp + "/open", 0o755)
os.symlink("open", tmp + "/alias")
e = start(tmp + "/alias/s")
ok("WP-16 a directory that is a link", "cannot open the directory" in e and not os.path.exists(tmp + "/open/s"), e)
if root_user:
    os.chown(tmp + "/open", 65534, 65534)
    e = start(tmp + "/open/s")
    ok("WP-16 somebody else's directory", "belongs to somebody else" in e, e)
    os.chown(tmp + "/open", 0, 0)
x = socket.socket(socket.AF_UNIX)
x.bind(tmp + "/open/s")
x.close()
ok("WP-16 a socket that nobody serves is replaced", start(tmp + "/open/s") == "listens")
e = start(d.path)
ok("WP-16 one that somebody serves is not", "is listening at" in e and served(), e)
os.mkdir(tmp + "/open/dir")
e = start(tmp + "/open/dir")
ok("WP-16 what is no socket stays", "cannot remove the old socket" in e and os.path.isdir(tmp + "/open/dir"), e)
deep = tmp + "/open/" + "/".join(["d" * 60] * 3)
os.umask(0)
e = start(deep + "/s")
os.umask(0o022)
modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (os.path.dirname(deep), deep, deep + "/s")] if e == "listens" else e
ok("WP-16 a long path, and no umask", modes == [0o755, 0o755, 0o666], modes)

# ---- many descriptors ----
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard >= 4000:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, hard), hard))
    null = os.open("/dev/null", os.O_RDONLY)
    more = [os.dup(null) for _ in range(1500)]
    for fd in more:
        os.set_inheritable(fd, True)
    full = Daemon(tmp + "/full", close_fds=False).wait()
    good = max(int(n) for n in os.listdir("/proc/%d/fd" % full.p.pid)) > 1500
    ok("WP-17 a daemon with 1500 descriptors more", good and served(full.conn()))
    held = [full.conn() for _ in range(60)]
    ok("WP-17 and with sixty connections", all(served(x) for x in held) and full.p.poll() is None)
    with open(tmp + "/many", "w") as f:
        f.write("many\n")
    for args in ["--socket", full.path], ["--root", tmp + "/alone"]:
        p = subprocess.run([os.environ["CAIRN"], "store", "add", *args, tmp + "/many"], close_fds=False, capture_output=True, text=True)
        ok("WP-17 a client with as many (%s)" % args[0], p.returncode == 0 and p.stdout.endswith("-many\n"), p.stderr)
    for fd in more:
        os.close(fd)
    ok("WP-17 and it ends", full.stop() == 0)
    p = subprocess.run(["nm", "-D", "--undefined-only", os.environ["CAIRN"]], capture_output=True, text=True)
    if re.search(r"\bpoll\b", p.stdout):  # a static program names nothing
        ok("WP-17 nothing of ours keeps descriptors in sets", not re.search(r"\b(p?select|__fdelt_chk)\b", p.stdout), p.stdout)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

# ---- crashes ----
def crashes(d, connect):
    """How many connections can be made to crash before none is served."""
    connect().c.close()  # who asked before whether it listens is served by now; he would count
    d.children_down_to(0)
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
