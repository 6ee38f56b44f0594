# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's wire for tests: numbers, strings, a connection, a daemon of one's own, results as TAP."""
import hashlib, os, socket, struct, subprocess, sys, time

NEXT, READ, WRITE, LAST, ERROR = 0x6f6c6d67, 0x64617461, 0x64617416, 0x616c7473, 0x63787470
count = failed = 0


def ok(name, good, note=""):
    global count, failed
    count += 1
    print(("ok" if good else "not ok"), count, "-", name, flush=True)
    if not good:
        failed = 1
        print("#", str(note).replace("\n", "\n# "), flush=True)


def finish():
    print("1..%d" % count)
    sys.exit(failed)


def u64(*v):
    return b"".join(struct.pack("<Q", x & (2**64 - 1)) for x in v)


def s(v):
    v = v.encode() if isinstance(v, str) else v
    return u64(len(v)) + v + b"\0" * (-len(v) % 8)


def strings(v):
    return u64(len(v)) + b"".join(s(x) for x in v)


def pairs(v):
    return u64(len(v)) + b"".join(s(a) + s(b) for a, b in v)


def options(keep_failed=0, keep_going=0, more=()):
    """Guix's SetOptions; all that builders print, and traces."""
    return u64(19, keep_failed, keep_going, 0, 1, 0, 0, 0, 1, 0) + pairs(more)


def file_node(data, x=False):
    return s("(") + s("type") + s("regular") + (s("executable") + s("") if x else b"") + s("contents") + s(data) + s(")")


def file_nar(data, x=False):
    return s("nix-archive-1") + file_node(data, x)


def dir_nar(name, node):
    return (s("nix-archive-1") + s("(") + s("type") + s("directory") + s("entry") + s("(") + s("name") + s(name)
            + s("node") + node + s(")") + s(")"))


class Closed(Exception):
    pass


class Conn:
    """A connection, after the greeting; address: a path, or (host, port); version: 0x115 for Nix's dialect; source: our address."""

    def __init__(self, address, hello=True, version=0x164, source=None):
        self.c = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if source:
            self.c.bind((source, 0))
        self.c.connect(address)  # waits; with a time limit it would not, when others are in front
        self.c.settimeout(60)
        self.said = b""  # messages of the last request
        self.got = b""  # bytes meant for a file
        if hello:
            self.send(u64(0x6e697863))
            assert self.num() == 0x6478696f
            assert self.num() == version
            self.send(u64(version, 0, 0))
            assert self.num() == LAST

    def send(self, b):
        try:
            self.c.sendall(b)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it hung up: the answer tells why

    def get(self, n):
        b = b""
        while len(b) < n:
            try:
                x = self.c.recv(n - len(b))
            except ConnectionResetError:
                x = b""
            if not x:
                raise Closed
            b += x
        return b

    def num(self):
        return struct.unpack("<Q", self.get(8))[0]

    def str(self):
        n = self.num()
        return self.get(n + -n % 8)[:n]

    def list(self):
        return [self.str().decode() for _ in range(self.num())]

    def end(self, feed=b""):
        """None for LAST, else the text of the error; feed is what is sent when it asks for data."""
        self.said = self.got = b""
        while True:
            tag = self.num()
            if tag == NEXT:
                self.said += self.str()
            elif tag == WRITE:
                self.got += self.str()
            elif tag == READ:
                n = self.num()
                self.send(s(feed[:n]))
                feed = feed[n:]
            elif tag == LAST:
                return None
            elif tag == ERROR:
                text = self.str().decode()
                self.status = self.num()
                assert self.status >= 1
                return text
            else:
                raise AssertionError("tag %x" % tag)

    def ask(self, *parts, feed=b""):
        self.send(b"".join(parts))
        return self.end(feed)

    def closed(self):
        try:
            self.c.recv(1)
        except ConnectionResetError:
            return True
        return not self.c.recv(1)

    def close(self):
        self.c.close()


reserved = []


def tcp_address():
    """One for --listen that nobody else gets meanwhile: bound here, but nobody listens there."""
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    reserved.append(probe)
    return probe.getsockname()


class Daemon:
    """`cairn daemon` on a private root."""

    def __init__(self, root, *args, env=None, before=(), **more):
        self.root = root
        os.makedirs(root, exist_ok=True)
        self.nix = "--dialect=nix" in args
        self.path = root + ("/nix/var/nix" if self.nix else "/var/guix") + "/daemon-socket/socket"
        self.log = root + ".log"
        os.environ.pop("CAIRN_ROOT", None)
        self.p = subprocess.Popen([*before, os.environ["CAIRN"], "daemon", "--root", root, *args],
                                  stderr=open(self.log, "w"), env=env, **more)

    def wait(self, address=None):
        """Until it listens: the socket is there a moment before."""
        address = address or self.path
        for _ in range(1200):
            try:
                socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET).connect(address)
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("no daemon: " + open(self.log).read())

    def conn(self, hello=True):
        return Conn(self.path, hello, 0x115 if self.nix else 0x164)

    def children(self):
        return open("/proc/%d/task/%d/children" % (self.p.pid, self.p.pid)).read().split()

    def children_down_to(self, n):
        for _ in range(1200):
            kids = self.children()
            if len(kids) <= n:
                break
            time.sleep(0.05)
        return kids

    def stop(self):
        self.p.terminate()
        return self.p.wait(60)


# ---- Derivations, computed independently of the program -----------------------------------------

STORE = "/gnu/store"


def base32(b):
    chars, n = "0123456789abcdfghijklmnpqrsvwxyz", int.from_bytes(b, "little")
    return "".join(chars[n >> 5 * k & 31] for k in reversed(range((len(b) * 8 + 4) // 5)))


def store_path(kind, digest, name):
    h = hashlib.sha256(("%s:sha256:%s:%s:%s" % (kind, digest, STORE, name)).encode()).digest()
    short = bytearray(20)
    for i, x in enumerate(h):
        short[i % 20] ^= x
    return "%s/%s-%s" % (STORE, base32(bytes(short)), name)


def quote(v):
    for a, b in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        v = v.replace(a, b)
    return '"%s"' % v


class Drv:
    """A derivation with its paths filled in. inputs: other Drvs, all of their outputs; fixed: (algo, hex)."""

    def __init__(self, name, builder, args=(), env=(), sources=(), inputs=(), outputs=("out",), fixed=None,
                 system="x86_64-linux"):
        self.__dict__.update(name=name, builder=builder, args=args, sources=sources, inputs=inputs, system=system,
                             outputs=sorted(outputs), fixed=fixed, env=dict(env), paths={})
        if fixed:
            algo, digest = fixed
            if algo == "r:sha256":
                self.paths["out"] = store_path("source", digest, name)
            else:
                inner = hashlib.sha256(("fixed:out:%s:%s:" % fixed).encode()).hexdigest()
                self.paths["out"] = store_path("output:out", inner, name)
            self.modulo = hashlib.sha256(("fixed:out:%s:%s:%s" % (algo, digest, self.paths["out"])).encode()).hexdigest()
        else:
            masked = hashlib.sha256(self.format(lambda d: d.modulo).encode()).hexdigest()
            for o in self.outputs:
                self.paths[o] = store_path("output:" + o, masked, name + ("" if o == "out" else "-" + o))
            self.modulo = hashlib.sha256(self.format(lambda d: d.modulo).encode()).hexdigest()
        self.out = self.paths.get("out")
        self.text = self.format(lambda d: d.path)
        refs = sorted(list(self.sources) + [d.path for d in inputs])
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        self.refs = refs
        self.path = store_path(":".join(["text"] + refs), digest, name + ".drv")

    def format(self, input_name):
        algo, digest = self.fixed or ("", "")
        env = dict(self.env, **{o: self.paths.get(o, "") for o in self.outputs})
        lists = lambda v: "[%s]" % ",".join(v)
        outs = lists("(%s)" % ",".join(map(quote, (o, self.paths.get(o, ""), algo, digest))) for o in self.outputs)
        ins = lists("(%s,%s)" % (quote(n), lists(map(quote, o))) for n, o in sorted((input_name(d), d.outputs) for d in self.inputs))
        return "Derive(%s,%s,%s,%s,%s,%s,%s)" % (
            outs, ins, lists(map(quote, sorted(self.sources))), quote(self.system), quote(self.builder), lists(map(quote, self.args)),
            lists("(%s,%s)" % (quote(k), quote(v)) for k, v in sorted(env.items())))

    def add(self, c):
        """To the store by connection c; the path it says must be ours."""
        e = c.ask(u64(8), s(self.name + ".drv"), s(self.text), strings(self.refs))
        path = None if e else c.str().decode()
        assert path == self.path, e or (path, self.path, self.text)
        return self


class Shell:
    """Derivations run by a busybox that lies in the store."""

    def __init__(self, c, busybox):
        self.c, self.n = c, 0
        e = c.ask(u64(7), s("bb"), u64(1, 1), s("sha256"), dir_nar("busybox", file_node(open(busybox, "rb").read(), True)))
        assert e is None, e
        self.item = c.str().decode()
        self.bb = self.item + "/busybox"

    def drv(self, name, script, env=(), sources=(), c=None, **more):
        env = dict({"b": self.bb}, **dict(env))
        d = Drv(name, self.bb, ("sh", "-c", script), env, [self.item, *sources], **more)
        return d.add(c or self.c)
