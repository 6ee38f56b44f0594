#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon's wire: what Guix's dialect asks for, and what it must refuse without harm to anybody.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'END'
import os, random, signal, socket, struct, subprocess, sys, threading, time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *
import wire

tmp = os.environ["TMP"]
root = tmp + "/root"
d = Daemon(root, "-M", "2").wait()
daemon, path = d.p, d.path


def Conn(hello=True):
    return wire.Conn(path, hello)


def fresh():
    c = Conn()
    good = c.ask(u64(1), s("/gnu/store/" + "0" * 32 + "-x")) is None and c.num() == 0
    c.c.close()
    return good


children_down_to = d.children_down_to
ok("greets", fresh())

# ---- what it does ----
c = Conn()
e = c.ask(u64(8), s("hello.txt"), s("hello world\n"), strings([]))
text = c.str().decode()
ok("adds a text", e is None and text == "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt", e or text)
nar = file_nar("hello world\n")
e = c.ask(u64(7), s("hello.txt"), u64(1, 0), s("sha256"), nar)
flat = c.str().decode()
ok("adds a flat file", e is None and flat == "/gnu/store/f6djnxadqm7b28g9f14i7q53fj9lavs1-hello.txt", e or flat)
e = c.ask(u64(8), s("ref.txt"), s(text), strings([text]))
ref = c.str().decode()
ok("adds a reference", e is None)
ok("says what is valid", c.ask(u64(1), s(text)) is None and c.num() == 1)
ok("references", c.ask(u64(5), s(ref)) is None and c.list() == [text])
ok("referrers", c.ask(u64(6), s(text)) is None and c.list() == [ref])
ok("all valid", c.ask(u64(23)) is None and c.list() == sorted([text, flat, ref]))
e = c.ask(u64(26), s(ref))
info = (c.str(), c.str(), c.list(), c.num(), c.num())
ok("information", e is None and info[0] == b"" and len(info[1]) == 64 and info[2] == [text] and info[4] % 8 == 0, info)
ok("hash of a path", c.ask(u64(4), s(ref)) is None and c.str() == info[1])
ok("valid subset", c.ask(u64(31), strings([ref, text, "/gnu/store/" + "1" * 32 + "-no"])) is None and c.list() == sorted([ref, text]))
ok("by hash part", c.ask(u64(29), s("3qfa38x5ns7r5wn2mjnd2vnrsj1wircv")) is None and c.str().decode() == text)
ok("by a hash part nobody has", c.ask(u64(29), s("0" * 32)) is None and c.str() == b"")
ok("temporary root", c.ask(u64(11), s(text)) is None and c.num() == 1)
ok("ensures", c.ask(u64(10), s(text)) is None and c.num() == 1)
ok("builtins", c.ask(u64(80)) is None and c.list() == ["download", "git-download"])
ok("substitute URLs", c.ask(u64(81)) is None and c.list() == [])
pairs = [("print-extended-build-trace", "1"), ("multiplexed-build-output", "true"), ("build-max-jobs", "3"), ("locale", "C")]
# Several questions at once: the answers come together, in order, and none waits for what is not complete.
asked = b"".join([u64(5) + s(ref), u64(5) + s("/gnu/store/" + "1" * 32 + "-no"), u64(26) + s("/etc/passwd"), u64(5) + s(ref)])
c.send(asked + u64(5) + s(text)[:20])
got = [(c.end() or c.list()) for _ in range(4)]
ok("answers what was asked before", got[0] == got[3] == [text] and "is not valid" in got[1] and "not lie in the store" in got[2], got)
c.send(s(text)[20:])
ok("and then the rest", c.end() is None and c.list() == [])
c.send(u64(5) + s(ref) + u64(8) + s("late.txt") + s("late")[:9])  # the beginning of what changes something
ok("also before a change", c.end() is None and c.list() == [text])
c.send(s("late")[9:] + strings([]) + u64(5) + s(ref))
late = [c.end() or c.str().decode(), c.end() or c.list()]
ok("and after it", late[0].endswith("-late.txt") and late[1] == [text], late)
ok("an error is told although more was sent", c.ask(u64(99) + u64(5) + s(ref)) == "invalid operation 99" and c.closed())
c = Conn()
ok("Guix's options", c.ask(u64(19, 1, 0, 0, 0, 1, 0, 0, 1, 0, len(pairs)), b"".join(s(a) + s(b) for a, b in pairs)) is None)
ok("a bytewise split request", [c.send(bytes([b])) for b in u64(1) + s(text)] and c.end() is None and c.num() == 1)
ok("requests sent ahead", c.ask((u64(1) + s(text)) * 50) is None and c.num() == 1 and all(c.end() is None and c.num() == 1 for _ in range(49)))

ok("a build that repairs what is sound", c.ask(u64(9) + strings([text]) + u64(1)) is None and c.num() == 1)
ok("a check that repairs", c.ask(u64(35, 1, 1)) is None and c.num() == 0)

other, good = Conn(), []
for i in range(60):  # what one connection was told another one finds
    good.append(c.ask(u64(8), s("told%d" % i), s("x" * i), strings([])) is None)
    told = c.str()
    if i % 3 == 0:
        good.append(other.ask(u64(1), s(told)) is None and other.num() == 1)
    elif i % 3 == 1:
        good.append(other.ask(u64(5), s(told)) is None and other.list() == [])
    else:
        good.append(other.ask(u64(8), s("teller%d" % i), s(told), strings([told])) is None and other.str())
ok("what one connection adds another one finds at once", all(good), good)
other.c.close()

# ---- errors that leave the connection as it is ----
for name, req, want in [
    ("a path that is none", u64(1) + s("/etc/passwd"), "/etc/passwd"),
    ("information of an invalid path", u64(26) + s("/gnu/store/" + "0" * 32 + "-x"), "is not valid"),
    ("a short hash part", u64(29) + s("abc"), "invalid hash part"),
    ("an unknown reference", u64(8) + s("x") + s("x") + strings(["/gnu/store/" + "0" * 32 + "-x"]), "is not valid"),
    ("a bad name", u64(8) + s("a/b") + s("x") + strings([]), "a/b"),
    ("a malformed derivation", u64(8) + s("x.drv") + s("Derive(") + strings([]), "x.drv"),
    ("building what is not there", u64(9) + strings(["/gnu/store/" + "0" * 32 + "-x.drv"]) + u64(0), "cannot be created"),
    ("ignoring liveness", u64(20, 2, 0, 1, 0, 0, 0, 0), "not allowed"),
    ("a relative root", u64(12) + s("x"), "absolute"),
    ("a number that is none", u64(19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) + s("build-cores") + s("-1"), "build-cores"),
]:
    e = c.ask(req)
    alive = c.ask(u64(1), s(text)) is None and c.num() == 1
    ok("refused: " + name, e and want in e and alive, (e, alive))
c.c.close()

# ---- errors that end the connection, after one message ----
big = [2**64 - 1, 2**64 - 7, 2**64 - 8, 2**63, 2**32, 2**32 + 1, 2**31]
cases = [("operation %d" % op, u64(op)) for op in (0, 2, 15, 255, 2**31, 2**63)]
cases += [("a path of %d bytes" % n, u64(1, n)) for n in big]
cases += [("a text of %d bytes" % n, u64(8) + s("x") + u64(n)) for n in big]
cases += [("a list of %d" % n, u64(31, n)) for n in big]
cases += [
    ("padding", u64(1, 1) + b"a\0\0\0\0\0\0\1"),
    ("a NUL in a path", u64(1) + s("/gnu/store/" + "0" * 32 + "-x\0y")),
    ("build mode 77", u64(9) + strings([]) + u64(77)),
    ("collector action 9", u64(20, 9, 0, 0, 0, 0, 0, 0)),
    ("a truth of 2", u64(7) + s("x") + u64(2, 0) + s("sha256")),
    ("an unknown algorithm", u64(7) + s("x") + u64(1, 1) + s("crc32")),
    ("no NAR", u64(7) + s("x") + u64(1, 1) + s("sha256") + s("nix-archive-9")),
    ("a name with a slash in a NAR", u64(7) + s("x") + u64(1, 1) + s("sha256") + s("nix-archive-1") + s("(") + s("type") + s("directory")
     + s("entry") + s("(") + s("name") + s("../x") + s("node") + s("(") + s("type") + s("regular") + s(")") + s(")") + s(")")),
]
for name, req in cases:
    c = Conn()
    try:
        e = c.ask(req)
        good = bool(e) and c.closed()
    except Closed:
        e, good = "closed without a word", False
    except socket.timeout:
        e, good = "nothing happened", False
    ok("closed: " + name, good and fresh(), e)
    c.c.close()

# ---- greetings ----
c = Conn(hello=False)
e = c.ask(u64(1))
ok("a wrong magic number", "mismatch" in (e or "") and c.closed(), e)
for version in (0x100, 0x115, 0x160, 0x122, 0x264):
    c = Conn(hello=False)
    c.send(u64(0x6e697863))
    c.num(), c.num()
    if version == 0x122:  # Nix's own form: the daemon's version, then an error with level, position and trace
        c.send(u64(version, 0, 0))
        good = c.str() == b"cairn" and c.num() == ERROR and c.str() == b"Error" and c.num() == 0 and c.str() == b"Error"
        e = c.str().decode() if good else "out of step"
        c.num(), c.num()
    else:
        e = c.ask(u64(version, 0, 0))
    ok("client version %x" % version, "version" in (e or "") and c.closed(), e)
c = Conn(hello=False)
ok("a silent client is sent away", c.closed())

# ---- noise, with a fixed seed; whatever happens to it, the daemon lives on ----
rnd = random.Random(20)
good = True
for i in range(150):
    c = Conn(hello=i % 3 > 0)
    kind = rnd.random()
    if kind < 0.5:
        c.send(bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 200))))
    else:
        b = bytearray(u64(rnd.choice([1, 5, 7, 8, 9, 19, 20, 26, 31])) + s(text) + u64(rnd.randrange(3), rnd.randrange(3)) + s("sha256") + nar)
        for _ in range(rnd.randrange(1, 6)):
            b[rnd.randrange(len(b))] = rnd.randrange(256)
        c.send(bytes(b[: rnd.randrange(1, len(b))]))
    c.c.close()
good = fresh()
ok("noise", good and daemon.poll() is None)
many = [Conn() for _ in range(40)]
ok("forty connections at once", all(x.ask(u64(1), s(text)) is None and x.num() == 1 for x in many))
for x in many:
    x.c.close()
kids = children_down_to(0)
ok("no process is left of them", not kids, kids)
for _ in range(1200):  # its turn, after that in which their ends were seen
    if len(os.listdir("/proc/%d/fd" % daemon.pid)) < 10:
        break
    time.sleep(0.05)
ok("no descriptor is left of them", len(os.listdir("/proc/%d/fd" % daemon.pid)) < 10)
left = sorted(x for x in os.listdir(root + "/gnu/store") if x != ".links")
ok("only what was added is in the store", sorted("/gnu/store/" + x for x in left if "-tell" not in x and "-told" not in x) == sorted([text, flat, ref, late[0]]), left)

# ---- a client that does not read what a collection tells it, while another goes on ----
c, other = Conn(), Conn()
for i in range(40):
    c.send(b"".join(u64(8) + s("%s-%04d" % ("x" * 150, 100 * i + k)) + s("x") + strings([]) for k in range(100)))
    assert all(c.end() is None and c.str() for k in range(100))
c.c.close()
children_down_to(1)  # its temporary roots end with it
deaf = Conn()
deaf.send(u64(20, 2, 0, 0, 2**64 - 1, 0, 0, 0))
for _ in range(1200):  # until it is at it
    if len(os.listdir(root + "/gnu/store")) < 3900:
        break
    time.sleep(0.05)
try:
    e = other.ask(u64(8), s("after"), s("x"), strings([])) or other.str()
except socket.timeout:
    e = "nothing happened"
ok("a client that does not listen keeps nobody waiting", e[-6:] == b"-after", e)
ok("and loses nothing", deaf.end() is None and len(deaf.list()) > 4000)
deaf.c.close()

# ---- a daemon whose answers to a closure's questions are an error between others ----
def lie(listener):
    x, _ = listener.accept()
    f, paths = x.makefile("rb"), []
    take = lambda: struct.unpack("<Q", f.read(8))[0]
    text = lambda: (lambda n: f.read(n + -n % 8)[:n])(take())
    take()
    x.sendall(u64(0x6478696f, 0x164))
    f.read(24)
    x.sendall(u64(LAST))
    assert take() == 5
    paths.append(text())
    x.sendall(u64(LAST) + strings(["/gnu/store/%s-%d" % (str(i) * 32, i) for i in range(1, 5)]))
    for _ in range(4):
        assert take() == 5
        paths.append(text())
    x.sendall(u64(LAST) + strings([]) + u64(ERROR) + s("no such thing") + u64(1) + u64(LAST) + strings([ref]) + u64(ERROR) + s("other") + u64(1))
    paths.append((take(), text()))
    x.sendall(u64(LAST, 0))
    lies.append(paths)


lies, listener = [], socket.socket(socket.AF_UNIX)
listener.bind(tmp + "/lying")
listener.listen()
thread = threading.Thread(target=lie, args=[listener], daemon=True)
thread.start()
p = subprocess.run([os.environ["CAIRN"], "store", "query", "--requisites", "--socket", tmp + "/lying", "/gnu/store/" + "0" * 32 + "-0"],
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
thread.join(60)
ok("a closure that is not whole", p.returncode and not p.stdout and "`/gnu/store/%s-2' is not valid" % ("2" * 32) in p.stderr, p)
ok("is asked about again after all answers came", lies and lies[0][5] == (1, b"/gnu/store/" + b"2" * 32 + b"-2"), lies)

daemon.send_signal(signal.SIGTERM)
ok("ends", daemon.wait(60) == 0)
finish()
END
