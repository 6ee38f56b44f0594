#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Builders and clients that mean harm, by the names of their attacks.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v busybox >/dev/null || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
exec python3 - <<'E'
import ctypes, glob, os, pwd, random, shutil, signal, stat, subprocess, sys, threading, time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from daemon_load import rss
from wire import *

tmp, busybox, cairn = os.environ["TMP"], shutil.which("busybox"), os.environ["CAIRN"]
root_user = os.getuid() == 0
mark = "cairn-attack-%d" % os.getpid()
SLEEP = str(10**6 + os.getpid())  # seconds; other tests have sleepers, too
os.chmod(tmp, 0o755)
canary = tmp + "/canary"
open(canary, "w").write("canary\n")
os.chmod(canary, 0o600)
d = Daemon(tmp + "/root", "-M", "4", "--max-log-size=256K").wait()
c = d.conn()
sh = Shell(c, busybox)
c.ask(options())


def until(f, seconds=60):
    end = time.monotonic() + seconds
    while not f():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def send(conn, *drvs):
    conn.send(u64(9) + strings([x.path for x in drvs]) + u64(0))


def end(conn):
    try:
        return conn.end() or (conn.num() != 1) or None
    except (OSError, Closed) as x:
        return "no answer: %r" % x


def build(*drvs, conn=None):
    send(conn or c, *drvs)
    return end(conn or c)


def processes(text=mark):
    """Of builders whose arguments have the text."""
    found = []
    for p in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if text.encode() in open(p, "rb").read() and len([x for x in open(p[:-7] + "status") if x.startswith("NSpid")][0].split()) > 2:
                found.append(int(p.split("/")[2]))
        except OSError:
            pass
    return found


def uid_of(pid):
    """None when it is gone: a shell about to become a program for a moment looks like its builder."""
    try:
        return [x for x in open("/proc/%d/status" % pid) if x.startswith("Uid:")][0].split()[1]
    except OSError:
        return None


def left(name):
    """What lies in the store under that name."""
    return [x for x in os.listdir(d.root + STORE) if x.endswith("-" + name) or x.endswith("-" + name + ".lock")]


def rubbish():
    """What builds left where they are made, or before they have a name; other than the connections' own, empty directories."""
    return [p for p in glob.glob(d.root + STORE + "/.tmp-*/*") + glob.glob(d.root + "/var/guix/builds/*/*") if not p.endswith("/lock")]


def clean(drv):
    return not left(drv.name) and not rubbish() and c.ask(u64(1), s(drv.out)) is None and c.num() == 0


def untouched():
    st = os.stat(canary)
    return st.st_mode & 0o7777 == 0o600 and st.st_uid == os.getuid() and open(canary).read() == "canary\n" and st.st_nlink == 1


go = "until [ -e go ]; do echo >here; $b usleep 20000; done; "


class traced:
    """Inside: strace meddles with the system calls of a process, if none is named of the daemon and of what it starts from now on."""

    def __init__(self, *inject, pid=None):
        calls = ",".join(x.split(":")[0] for x in inject)
        self.argv = ["strace", *(["-p", str(pid)] if pid else ["-f", "-p", str(d.p.pid)]), "-o", tmp + "/trace", "-e", "trace=" + calls,
                     *(y for x in inject for y in ("-e", "inject=" + x))]

    def __enter__(self):
        self.p = subprocess.Popen(self.argv, stderr=subprocess.PIPE, text=True)
        self.p.stderr.readline()  # it is attached

    def __exit__(self, *_):
        self.p.terminate()
        self.p.communicate()


# ---- outputs ----
for n, script in enumerate(["$b mkfifo $out", "$b mkdir $out; $b mkfifo $out/x",
                            "$b mkfifo $lib; echo >$out"]):
    x = sh.drv("special%d" % n, script, outputs=["out", "lib"] if "lib" in script else ["out"])
    e = build(x)
    ok("SBX-02 a special file (%d)" % n, e and c.status == 100 and clean(x), (e, left(x.name)))
digest = hashlib.sha256(b"x\n").hexdigest()
for n, (script, want) in enumerate([("echo y >$out", "hash mismatch"), ("echo x >$out; $b chmod 755 $out", "non-executable"), ("$b mkdir $out; echo x >$out/x", "regular file"),
                                    ("echo x >f; $b ln -s $PWD/f $out", "regular file"), ("$b mkfifo $out", "special file")]):
    x = sh.drv("fixed%d" % n, script, fixed=("sha256", digest))
    e = build(x)
    ok("FOD-01 a wrong fixed output (%d)" % n, e and want in e and c.status == 100 and clean(x), (e, left(x.name)))
x = sh.drv("fixed9", "echo x >$out", fixed=("sha256", digest))
ok("FOD-01 the right one", build(x) is None)
x = sh.drv("link", "echo >$out; $b rm $out; $b ln -s %s $out" % canary)
e = build(x)
ok("OUT-02 an output that is a link", e is None and os.readlink(d.root + x.out) == canary and untouched(), e)
x = sh.drv("links", "$b mkdir $out; $b ln -s / $out/a; $b ln -s %s $out/b; $b ln -s ../../.. $out/c" % canary)
e = build(x)
ok("OUT-02 links in an output", e is None and sorted(os.listdir(d.root + x.out)) == ["a", "b", "c"] and untouched(), e)
x = sh.drv("modes", "$b mkdir -p $out/d; echo >$out/d/f; echo >$out/x; $b chmod 700 $out/x; $b chmod 500 $out/d; $b chmod 755 $out")
e = build(x)
modes = [os.stat(d.root + x.out + p).st_mode & 0o7777 for p in ("", "/d", "/d/f", "/x")]
ok("OUT-07 the modes that an item has", e is None and modes == [0o555, 0o555, 0o444, 0o555], (e, modes))
for n, mode in enumerate(["777", "755"]):
    x = sh.drv("failed%d" % n, "$b mkdir -m %s $out; echo >$out/x; $b chmod 777 $out/x; exit 1" % mode)
    e = build(x)
    ok("OUT-11 a failed output of mode " + mode, e and "exit code 1" in e and clean(x), (e, left(x.name), rubbish()))
x = sh.drv("open", "$b mkdir $out; $b chmod 777 $out")
e = build(x)
ok("OUT-11 one that others may write to", e and "suspicious" in e and clean(x), (e, left(x.name), rubbish()))

for n, (script, outputs) in enumerate([(":", ["out"]), ("echo >$out", ["out", "lib"]), ("echo >$NIX_STORE/other", ["out"])]):
    x = sh.drv("missing%d" % n, script, outputs=outputs)
    e = build(x)
    ok("OUT-10 a missing output (%d)" % n, e and "failed to produce output path" in e and c.status == 100 and clean(x), e)
x = sh.drv("more", "echo >$out; echo >$out-more; echo >$NIX_STORE/other")
e = build(x)
ok("OUT-10 what is no output goes", e is None and not left("more-more") and not os.path.exists(d.root + STORE + "/other") and not rubbish(), (e, rubbish()))

# Across each border of what is read at once, at each place: of 64 KiB of the file, and of 256 KiB of its archive.
chunk, head = 1 << 18, len(dir_nar("file", file_node(b""))) - len(s(")")) * 3
places = [65536 * (n + 1) - 40 + n for n in range(46)] + [chunk * (n + 1) - head - 31 + n for n in range(31)]
deps, big = [], bytearray(b"." * (chunk * 32))
for n, at in enumerate(places + [len(big)] * 2):  # of the last two one is in a name, one in the target of a link
    assert c.ask(u64(8), s("dep%d" % n), s("dep"), strings([])) is None
    deps.append(c.str().decode())
    big[at : at + 32] = deps[-1][11:43].encode()[: len(big) - at]
assert c.ask(u64(7), s("big"), u64(1, 1), s("sha256"), file_nar(bytes(big))) is None
big = c.str().decode()
name, target = deps[-2][11:43], deps[-1]
x = sh.drv("scanned", "$b mkdir $out; $b cat %s >$out/file; echo >$out/x-%s-x; $b ln -s %s/none $out/link" % (big, name, target), sources=[big, *deps])
e = build(x)
refs = c.list() if e is None and c.ask(u64(5), s(x.out)) is None else e
ok("OUT-04 references across borders, in names and in targets", refs == sorted(deps), [n for n, p in enumerate(deps) if p not in (refs or [])])

# ---- derivations ----
for n, (kw, want) in enumerate([
    (dict(builder="busybox"), ""), (dict(builder="/proc/self/exe"), "outside the store"), (dict(builder="/proc/1/exe"), ""), (dict(builder="/bin/sh"), ""),
    (dict(builder=sh.item), ""), (dict(builder="builtin:nothing"), "unsupported builtin"), (dict(builder=""), ""), (dict(builder=STORE + "/../../bin/sh"), ""),
]):
    x = Drv("builder%d" % n, kw["builder"], ("sh", "-c", "echo >$out"), {}, [sh.item]).add(c)
    e = build(x)
    ok("DRV-06 the builder '%s'" % kw["builder"], e and want in e and c.status == 100 and clean(x), e)
for n, name in enumerate(["", "a=b", "=x", "LD_PRELOAD=/x"]):
    x = sh.drv("name%d" % n, "echo >$out", env={name: "x"})
    e = build(x)
    ok("DRV-07 a variable '%s'" % name, e and "malformed entry" in e and c.status == 100, e)
x = sh.drv("env", "echo \"$LD_PRELOAD $PATH $HOME\" >$out", env={"LD_PRELOAD": "/evil.so", "BASH_FUNC_x%%": "() { echo evil; }", "PATH": "/evil", "HOME": "/evil"})
e = build(x)
ok("DRV-07 variables reach the builder alone", e is None and open(d.root + x.out).read() == "/evil.so /evil /evil\n", (e, c.said))
program = "(begin (system \"touch %s/evil\") (lambda args (system* \"touch\" \"%s/evil\") \"http://127.0.0.1:1/\"))" % (tmp, tmp)
assert c.ask(u64(8), s("mirrors"), s(program), strings([])) is None
mirrors = c.str().decode()
x = Drv("fetched", "builtin:download", (), {"url": '"http://127.0.0.1:1/x"', "content-addressed-mirrors": mirrors, "mirrors": mirrors}, [mirrors],
        fixed=("sha256", "0" * 64)).add(c)
e = build(x)
ok("DRV-10 data that are a program", e and not os.path.exists(tmp + "/evil") and clean(x), e)

# ---- processes ----
x = sh.drv("writer", "echo 1 >$out; (trap '' TERM HUP; $b setsid $b sh -c 'while :; do echo %s; done >>$out 2>/dev/null' &) ; $b usleep 20000" % mark)
e = build(x)
size = os.stat(d.root + x.out).st_size if not e else 0
ok("SBX-04 what goes on after the builder's end", e is None and not processes() and size == os.stat(d.root + x.out).st_size
   and c.ask(u64(35, 1, 0)) is None and c.num() == 0, (e, processes()))
x = sh.drv("limit", "$b grep processes /proc/self/limits >$out; ulimit -u 40; i=0; while [ $i -lt 100 ]; do $b sleep %s & i=$((i + 1)); done" % SLEEP)
e = build(x)
ok("SBX-05 processes have a limit", e and "ork" in c.said.decode() and not processes(SLEEP), (e, c.said, processes(SLEEP)))
x = sh.drv("count", "$b grep processes /proc/self/limits >$out")
e = build(x)
ok("SBX-05 which is 8192", e is None and open(d.root + x.out).read().split()[2:4] == ["8192", "8192"], e)
kid = int(d.children()[0])
before = rss(kid)
for n, script in enumerate(["$b yes", "$b head -c 4000000 /dev/zero", "$b head -c 4000000 /dev/urandom", "while :; do echo -ne '\\377\\r'; done"]):
    x = sh.drv("loud%d" % n, script + "; echo >$out")
    e = build(x)
    ok("SBX-08 a flood of output (%d)" % n, e and "more than 262144 bytes" in e and clean(x), e)
ok("SBX-08 takes no memory", rss(kid) - before < 4096, rss(kid) - before)
c.ask(options(more=[("build-max-silent-time", "1")]))
for n, script in enumerate(["$b sleep 100", "exec >&- 2>&-; $b sleep 100", "trap '' TERM INT HUP; while :; do :; done", "$b kill -STOP $$"]):
    x = sh.drv("hang%d" % n, script)
    e = build(x)
    ok("SBX-09 a builder that hangs (%d)" % n, e and "silence" in e and c.status == 101 and clean(x), e)
c.ask(options(more=[("build-max-silent-time", "60")]))
x = sh.drv("holder", "$b sleep 1000 & echo >$out")
e = build(x)
ok("SBX-09 a child that holds the pipe", e is None, e)

# ---- clients that go ----
wait = "echo started; while :; do $b sleep 1; done; : %s" % mark
rnd, bad = random.Random(12), 0
for n in range(12):
    x = d.conn()
    before = set(d.children())
    x.ask(options())
    victim = sh.drv("killed%d" % (n % 3), wait + " %d" % (n % 3), c=x)
    send(x, victim)
    time.sleep(rnd.random() / 10)  # anywhere between the request and the builder at work
    x.close()
    bad += not until(lambda: len(d.children()) <= 1) or not until(lambda: not processes()) or bool(left("killed%d" % (n % 3)))
ok("WP-12 a client that is gone takes its builders along", bad == 0, bad)
ok("WP-12 and their directories", until(lambda: not glob.glob(d.root + "/var/guix/builds/*/*.drv")), glob.glob(d.root + "/var/guix/builds/*/*.drv"))
x, y = d.conn(), d.conn()
x.ask(options()), y.ask(options())
both = sh.drv("both", go + "echo >$out", c=x)
send(x, both)
here = lambda: glob.glob(d.root + "/var/guix/builds/*/*-both.drv/*/here")
until(here)
send(y, both)
while b"waiting" not in y.said:  # it says so when it waits
    assert y.num() == NEXT
    y.said += y.str()
x.close()
until(lambda: len(here()) == 1 and len(d.children()) == 2)
until(lambda: here())
for f in here():
    open(f[:-4] + "go", "w")
e = end(y)
ok("WP-12 unless another client wants the same", e is None and os.path.exists(d.root + both.out), e)
y.close()
x, y = d.conn(), d.conn()
pids = d.children()
one, two = sh.drv("one", go + "echo >$out", c=x), sh.drv("two", go + "echo >$out; : %s" % mark, c=y)
send(x, one), send(y, two)
until(lambda: len(glob.glob(d.root + "/var/guix/builds/*/*/*/here")) == 2)
owner = [p for p in processes() if p]
serving = None
for p in pids:
    kids = subprocess.run(["pgrep", "-P", p], capture_output=True, text=True).stdout.split()
    if any(set(subprocess.run(["pgrep", "-P", k], capture_output=True, text=True).stdout.split()) & {str(o) for o in owner} for k in kids):
        serving = p
os.kill(int(serving), signal.SIGSEGV)
gone = y.closed()
for f in glob.glob(d.root + "/var/guix/builds/*/*-one.drv/*/here"):
    open(f[:-4] + "go", "w")
e = end(x)
ok("a crash of one connection ends its build alone", gone and e is None and os.path.exists(d.root + one.out) and until(lambda: not processes()), e)
x.close(), y.close()

# ---- neighbours, and what can be seen from outside ----
if root_user:
    x, y = d.conn(), d.conn()
    hold = [sh.drv("uid%d" % i, go + "echo >$out; : %s" % mark, c=x) for i in range(3)]
    send(x, *hold)
    until(lambda: len(glob.glob(d.root + "/var/guix/builds/*/*/*/here")) == 3)
    uids = [u for u in map(uid_of, processes()) if u]
    ok("SBX-14 builders at the same time have different ids", len(set(uids)) >= 3 and "0" not in uids, uids)
    here = glob.glob(d.root + "/var/guix/builds/*/*/*/here")
    nobody = pwd.getpwnam("nobody")
    seen = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", "ls %s" % " ".join(
        set(os.path.dirname(h) for h in here) | set(glob.glob(d.root + "/gnu/store/.tmp-*"))) + "; :"], capture_output=True, text=True).stdout
    ok("SBX-16 nobody sees their directories", len(here) == 3 and not seen, seen)
    for h in here:
        open(h[:-4] + "go", "w")
    e = end(x)
    ok("SBX-14 and end well", e is None, e)
    x.close(), y.close()
    x = sh.drv("opened", "$b chmod 777 . ..; $b chmod 777 /tmp; " + go + "echo >$out")
    y = d.conn()
    send(y, x)
    until(lambda: glob.glob(d.root + "/var/guix/builds/*/*-opened.drv/*/here"))
    h = glob.glob(d.root + "/var/guix/builds/*/*-opened.drv/*/here")[0]
    seen = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "touch", h[:-4] + "go"], capture_output=True).returncode
    ok("SBX-16 not even when the builder opens them", seen != 0, seen)
    open(h[:-4] + "go", "w")
    ok("SBX-16 and ends well", end(y) is None)
    y.close()
    os.setegid(nobody.pw_gid), os.seteuid(nobody.pw_uid)
    y = d.conn()
    os.seteuid(0), os.setegid(0)
    y.ask(options(keep_failed=1))
    x = sh.drv("kept", "$b ln -s %s link; echo mine >file; $b ln file hard; $b mkdir -p sub/dir; $b mkfifo fifo; $b chmod 777 .; exit 1" % canary, c=y)
    e = build(x, conn=y)
    tree = y.said.decode().split("keeping build directory `")[-1].split("'")[0]
    stats = {n: os.lstat(tree + "/" + n) for n in os.listdir(tree)} if os.path.isdir(tree) else {}
    ok("SBX-18 a kept tree is its client's", e and {"link", "file", "sub"} <= set(stats) and os.stat(tree).st_uid == nobody.pw_uid
       and stats["sub"].st_uid == nobody.pw_uid and stats["link"].st_uid == nobody.pw_uid, (tree, e))
    ok("SBX-18 what has other links keeps its owner", stats and stats["file"].st_uid not in (0, nobody.pw_uid) or stats["file"].st_nlink == 1, stats)
    ok("SBX-18 nothing else changes hands", untouched())
    y.close()

# ---- two that make the same, and three that wait for each other ----
x, y = d.conn(), d.conn()
x.ask(options()), y.ask(options())
digest = hashlib.sha256(b"same\n").hexdigest()
slow = sh.drv("same", go + "echo same >$out", c=x, fixed=("sha256", digest))
fast = sh.drv("same", "echo other >$out", c=y, fixed=("sha256", digest))
here = lambda: glob.glob(d.root + "/var/guix/builds/*/*-same.drv/*/here")
send(x, slow)
until(here)
send(y, fast)
waits = True
while waits and b"waiting" not in y.said:  # for the one that has the lock
    waits = y.num() == NEXT
    y.said += y.str() if waits else b""
open(here()[0][:-4] + "go", "w")
e = end(x), waits and end(y)
ok("FOD-10 a good and a bad derivation of one output", slow.out == fast.out and e == (None, None) and open(d.root + slow.out).read() == "same\n", e)
ok("FOD-10 and the second is not made at all", b"build-started" not in y.said, y.said)
x.close(), y.close()
three = [d.conn() for _ in range(3)]
for x in three:
    x.ask(options())
for n in range(3):
    fixed = [sh.drv("ring%d-%d" % (n, k), "$b usleep 20000; echo %d >$out" % k, c=three[0],
                    fixed=("sha256", hashlib.sha256(b"%d\n" % k).hexdigest())) for k in range(3)]
    for k, x in enumerate(three):
        send(x, fixed[k], fixed[(k + 1) % 3])
    e = [end(x) for x in three]
    ok("FOD-10 three that wait for each other (%d)" % n, e == [None] * 3, e)
for x in three:
    x.close()

# ---- what can be seen of an item before it is one ----
class watcher(threading.Thread):
    """Looks at what appears in the store, at once and all of it; as somebody else if we are root."""

    def __init__(self):
        super().__init__(daemon=True)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init()
        # what is made, moved in, or gets another mode
        assert self.libc.inotify_add_watch(self.fd, (d.root + STORE).encode(), 0x100 | 0x80 | 0x4) >= 0
        self.seen, self.bad, self.end = 0, [], False

    def look(self, path):
        try:
            st = os.lstat(path)
            self.seen += 1
            if not stat.S_ISLNK(st.st_mode) and st.st_mode & 0o7022:
                self.bad.append((path[-60:], oct(st.st_mode)))
            if stat.S_ISDIR(st.st_mode):
                for n in os.listdir(path):
                    self.look(path + "/" + n)
        except OSError:
            pass  # gone, or not for us

    def run(self):
        if root_user:  # this thread alone
            self.libc.syscall(119, 65534, 65534, 65534)
            self.libc.syscall(117, 65534, 65534, 65534)
        while not self.end:
            data = os.read(self.fd, 65536)
            while data:
                n = int.from_bytes(data[12:16], "little")
                name = data[16:16 + n].rstrip(b"\0").decode()
                data = data[16 + n:]
                if name and not name.endswith(".lock"):
                    self.look(d.root + STORE + "/" + name)


if os.uname().machine == "x86_64":
    w = watcher()
    w.start()
    show = "i=0; while [ $i -lt 60 ]; do $b mkdir $out/d$i; echo $i >$out/d$i/f; $b chmod 666 $out/d$i/f; $b chmod 777 $out/d$i; i=$((i + 1)); done"
    errors = [build(sh.drv("shown%d" % i, "$b mkdir $out; " + show)) for i in range(6)]
    errors += [build(sh.drv("open%d" % i, "$b mkdir $out; $b chmod 777 $out; " + show)) is None for i in range(2)]
    for i in range(4):
        errors.append(c.ask(u64(7), s("added%d" % i), u64(1, 1), s("sha256"), dir_nar("x", file_node(b"x" * i, True))))
        c.str()
    fixed = hashlib.sha256(dir_nar("f", file_node(b"x\n"))).hexdigest()
    errors.append(build(sh.drv("fixeddir", "$b mkdir $out; echo x >$out/f; $b chmod 777 $out; $b chmod 666 $out/f; $b chmod 755 $out", fixed=("r:sha256", fixed))))
    w.end = True
    assert c.ask(u64(8), s("end"), s("end"), strings([])) is None and c.str()
    w.join(60)
    ok("OUT-03 nothing is writable from the moment that it is seen", not w.bad and w.seen > 300 and not any(errors), (w.seen, w.bad[:5], errors))


# ---- a build's directory that is another each time one looks ----
class swapper(threading.Thread):
    """Inside: the entries of a directory are exchanged with links to the canaries, again and again."""

    def __init__(self, fd, names, to):
        super().__init__(daemon=True)
        self.libc, self.fd, self.names, self.end, self.n, self.dir = ctypes.CDLL(None), fd, [x.encode() for x in names], False, 0, tmp + "/swap"
        os.mkdir(self.dir)
        for x in names:
            os.symlink(to, self.dir + "/" + x)

    def run(self):
        links = os.open(self.dir, os.O_RDONLY | os.O_DIRECTORY)
        names = self.names[::2]  # at first these alone, so that never all of them are links
        while not self.end:
            for x in names:
                self.n += self.libc.renameat2(self.fd, x, links, x, 2) == 0
            names = self.names
        os.close(links)

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.end = True
        self.join(60)
        os.close(self.fd)
        shutil.rmtree(self.dir)


def opened(path):
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def as_somebody():
    """A connection of theirs, if we are root, and its process."""
    before = set(d.children())
    if root_user:
        os.setegid(65534), os.seteuid(65534)
    y = d.conn()
    os.seteuid(os.getuid()), os.setegid(os.getgid())
    y.ask(options(keep_failed=1))
    return y, int((set(d.children()) - before).pop())


def swap_new(count):
    """While they are made."""
    swaps = 0
    with traced("mkdirat:delay_exit=20000", "fchown,fchownat:delay_enter=20000"):
        y, pid = as_somebody()
        build(sh.drv("unswapped", "echo >$out", c=y), conn=y)
        for i in range(count):
            x = sh.drv("new%d" % i, "echo >$out", c=y)
            with (w := swapper(opened(d.root + "/var/guix/builds/%d.0" % pid), [os.path.basename(x.path)], nest)):
                build(x, conn=y)  # what comes of it is of no matter
            swaps += w.n
        y.close()
        d.children_down_to(1)
    return swaps


def swap_old(level, status):
    """While they are handed over, or deleted. level: 0 what is in the builder's directory, 1 that, 2 the one around it."""
    y, pid = as_somebody()
    x = sh.drv("old%d-%d-%d" % (level, status, pid), "i=0; while [ $i -lt 8 ]; do $b mkdir -m 1777 d$i; echo >d$i/x; echo >a$i; [ $((i % 2)) = 0 ] || $b chmod 1666 a$i; i=$((i + 1)); done; "
               + go + "echo >$out; exit %d" % status, c=y)
    send(y, x)
    tree = "%s/var/guix/builds/%d.0/%s/guix-build-%s.drv-0" % (d.root, pid, os.path.basename(x.path), x.name)
    until(lambda: os.path.exists(tree + "/here"))
    fd = opened(tree)
    names = ["%s%d" % (k, i) for k in "ad" for i in range(8)]
    for _ in range(level):
        names, tree = [os.path.basename(tree)], os.path.dirname(tree)
    with traced("fchownat,fchmodat,openat,unlinkat:delay_enter=20000", pid=pid), (w := swapper(opened(tree), names, nest)):
        os.close(os.open("go", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        try:
            end(y)
        except Closed:
            pass
        y.close()
        d.children_down_to(1)
    os.close(fd)
    return w.n


# The harness is the owner: nobody else could do it. What the daemon does with a name is held up, so that it can be exchanged
# after the last look at it.
if shutil.which("strace"):
    nest = tmp + "/nest"
    os.makedirs(nest + "/sub", 0o750)
    for n in ("egg", "sub/egg"):
        open(nest + "/" + n, "w").write("egg\n")
    os.symlink("egg", nest + "/way")
    os.chmod(nest, 0o711)
    facts = lambda: [(p[len(nest):], os.lstat(p).st_mode, os.lstat(p).st_uid, os.lstat(p).st_nlink, os.lstat(p).st_mtime_ns)
                     if os.path.lexists(p) else (p, "gone") for p in (nest, nest + "/egg", nest + "/sub", nest + "/sub/egg", nest + "/way")]
    d.children_down_to(1)
    before = facts()
    swaps = [swap_new(4)]
    ok("SBX-17 directories that are exchanged when they are made lead nowhere", facts() == before and min(swaps) > 10, (swaps, facts(), before))
    for status, what in (1, "handed over"), (0, "deleted"):
        before = facts()
        swaps = [swap_old(level, status) for level in (0, 1, 1, 1, 2)]
        ok("SBX-17 nor when they are " + what, facts() == before and min(swaps) > 10, (swaps, facts(), before))
    ok("SBX-17 and the daemon goes on", build(sh.drv("after", "echo >$out")) is None)

# ---- a machine without ----
# A builder that runs nowhere but on the machine itself finds the file.
with open(tmp + "/x.lua", "w") as f:
    f.write('local script = [[[ ! -e %s ] || echo >%s/escaped; echo >$out]]\nreturn derivation { name = "x", builder = "/bin/sh", args = { "-c", script } }'
            % (canary, tmp))
lone = tmp + "/none"
# In a namespace that has no more of them, as a user of it: its root could have no users of its own for builders.
for what, left_over in ("user", 1), *((x, 0) for x in ("mnt", "pid", "ipc", "uts", "net", "cgroup")):
    p = subprocess.run(["unshare", "-U", "-r", "sh", "-c", "echo %d >/proc/sys/user/max_%s_namespaces; exec unshare -U --map-user=1000 --map-group=1000 "
                        "%s build --root %s -f %s/x.lua" % (left_over, what, cairn, lone, tmp)], capture_output=True, text=True)
    ok("SBX-25 without %s namespaces nothing is built" % what, p.returncode not in (0, 2) and "namespaces of a build" in p.stderr
       and not os.path.exists(tmp + "/escaped"), (p.returncode, p.stderr))


def alone(name):
    """A build that no other one stands for; its error."""
    x = d.conn()
    x.ask(options())
    try:
        return build(sh.drv(name, "[ ! -e %s ] || echo >%s/escaped; echo >$out" % (canary, tmp), c=x), conn=x)
    finally:
        x.close()


ok("SBX-25 with all of it there is", alone("whole") is None and not os.path.exists(tmp + "/escaped"))
if shutil.which("strace"):
    for call, error, when in ("clone3", "ENOSYS", "1+"), ("unshare", "EPERM", "1"), ("setresuid", "EPERM", "1"), ("pivot_root", "EPERM", "1"), \
            ("umount2", "EPERM", "1"), ("fsopen", "ENOSYS", "1"), ("mount_setattr", "ENOSYS", "1"), ("setrlimit,prlimit64", "EPERM", "1+"), \
            *(("prctl", "EINVAL", str(n)) for n in range(1, 6)):  # those of the first process, and of the builder's: rights, filters
        with traced("%s:error=%s:when=%s" % (call, error, when)):
            e = alone("lacking-%s-%s" % (call[:9], when))
        hits = open(tmp + "/trace").read().count("INJECTED")
        ok("SBX-25 without %s (%s) nothing is built" % (call, when), hits and e and ("sandbox" in e or "namespaces of a build" in e)
           and not os.path.exists(tmp + "/escaped"), (hits, e))
ok("the store is whole", c.ask(u64(35, 1, 0)) is None and c.num() == 0)
ok("the daemon ends", d.stop() == 0 and until(lambda: not processes()))
finish()
E
