#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a client of Guix's dialect can ask of builds, and what the daemon's options do to them.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v busybox >/dev/null || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
exec python3 - <<'E'
import glob, gzip, os, re, shutil, subprocess, sys, time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

tmp, busybox = os.environ["TMP"], shutil.which("busybox")
running = []


def start(name, *args):
    d = Daemon(tmp + "/" + name, *args).wait()
    running.append(d)
    c = d.conn()
    return d, c, Shell(c, busybox)


def build(c, *drvs, mode=0):
    e = c.ask(u64(9), strings([d if isinstance(d, str) else d.path for d in drvs]), u64(mode))
    return e or (c.num() != 1) or None


def lines(c, what):
    return [x for x in c.said.decode(errors="replace").split("\n") if x.startswith("@ " + what + " ")]


def read(d, path):
    return open(d.root + path).read()


def items(d, part):
    return [x for x in os.listdir(d.root + STORE) if part in x]


RANDOM = "$b cat /proc/sys/kernel/random/uuid >$out"
d, c, sh = start("one", "-M", "2")

# ---- traces ----
assert c.ask(options()) is None
one = sh.drv("one", "echo said; echo made >$out")
e = build(c, one)
log = "/var/log/guix/drvs/%s//%s.gz" % (one.path[11:13], one.path[13:])
ok("builds", e is None and read(d, one.out) == "made\n", e)
m = re.fullmatch("@ build-started %s - x86_64-linux %s ([0-9]+)" % (re.escape(one.path), re.escape(log)), "".join(lines(c, "build-started")))
ok("trace of the start", m, c.said)
ok("trace of the end", lines(c, "build-succeeded") == ["@ build-succeeded %s -" % one.path], c.said)
ok("output as it is", b"\nsaid\n" in c.said and b"build-log" not in c.said, c.said)
ok("the log", gzip.open(d.root + log).read() == b"said\n")
bad = sh.drv("bad", "exit 3")
e = build(c, bad)
ok("trace of a failure", lines(c, "build-failed") == ["@ build-failed %s - 1 builder for `%s' failed with exit code 3" % (bad.path, bad.path)]
   and e.startswith("build of `%s' failed" % bad.path) and c.status == 100, (e, c.said))
foreign = sh.drv("foreign", "echo >$out", system="mips64el-linux")
e = build(c, foreign)
ok("trace of a foreign system", lines(c, "unsupported-platform") == ["@ unsupported-platform %s mips64el-linux" % foreign.path]
   and lines(c, "build-failed")[0].startswith("@ build-failed %s - 0 " % foreign.path) and c.status == 100, (e, c.said))
wrong = sh.drv("wrong", "echo x >$out", fixed=("sha256", "0" * 64))
e = build(c, wrong)
ok("trace of a wrong hash", lines(c, "hash-mismatch") == ["@ hash-mismatch %s sha256 %s %s" % (
    wrong.out, "0" * 52, base32(hashlib.sha256(b"x\n").digest()))], (e, c.said))
for algo, digest in [("md5", "0" * 32), ("r:sha256", "0" * 64)]:
    wrong = sh.drv("wrong", "echo x >$out", fixed=(algo, digest))
    e = build(c, wrong)
    got = hashlib.md5(b"x\n").hexdigest() if algo == "md5" else base32(hashlib.sha256(file_nar("x\n")).digest())
    ok("of a wrong %s" % algo, lines(c, "hash-mismatch") == ["@ hash-mismatch %s %s %s %s" % (wrong.out, algo, "0" * (32 if algo == "md5" else 52), got)],
       (e, c.said))
two = sh.drv("two", "echo >$out; echo >$lib", outputs=["out", "lib"])
ok("an output by name", build(c, two.path + "!lib") is None and os.path.exists(d.root + two.paths["lib"]))
ok("several", build(c, two.path + "!out,lib", two.path) is None and c.said == b"", c.said)
e = build(c, two.path + "!doc")
ok("one that it has not", e and "no output `doc'" in e, e)
c.ask(options(more=[("multiplexed-build-output", "true")]))
many = [sh.drv("many%d" % i, "echo out %d; echo >$out" % i) for i in range(3)]
e = build(c, *many)
ok("multiplexed output", e is None and sorted(re.findall(rb"@ build-log ([0-9]+) 6\n(out [012]\n)", c.said))
   == sorted((x.split()[-1].encode(), b"out %d\n" % i) for i in range(3) for x in lines(c, "build-started") if "many%d" % i in x), c.said)
c.ask(u64(19, 0, 0, 0, 1, 0, 0, 0, 0, 0), pairs([("multiplexed-build-output", "false")]))
e = build(c, sh.drv("untraced", "echo only this; echo >$out"))
ok("no traces unless wanted", e is None and c.said == b"only this\n", c.said)
c.ask(u64(19, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0))
e = build(c, sh.drv("quiet", "echo not this; echo >$out"))
ok("no output when it is more than asked for", e is None and c.said == b"", c.said)

# ---- options of a connection ----
c.ask(options(more=[("build-timeout", "1")]))
e = build(c, sh.drv("slow", "$b sleep 100"))
ok("build-timeout", e and "timed out after 1 seconds" in e and c.status == 101 and lines(c, "build-failed")[0].endswith(" - timeout"), e)
c.ask(options(more=[("build-timeout", "0"), ("build-max-silent-time", "1")]))
e = build(c, sh.drv("silent", "echo x; $b sleep 100"))
ok("build-max-silent-time", e and "1 seconds of silence" in e and c.status == 101, e)
c.ask(options(more=[("build-max-silent-time", "0"), ("build-cores", "5")]))
cores = sh.drv("cores", "echo $NIX_BUILD_CORES >$out")
ok("build-cores", build(c, cores) is None and read(d, cores.out) == "5\n")
c.ask(options(keep_failed=1, more=[("build-repeat", "2")]))
thrice = sh.drv("thrice", "echo x >$out; echo y >$lib", outputs=["out", "lib"])
e = build(c, thrice)
ok("build-repeat", e is None and len(lines(c, "build-started")) == 3 and len(lines(c, "build-succeeded")) == 1, (e, c.said))
ok("leaves nothing beside it", items(d, "-thrice") and not items(d, "-check"), items(d, "-check"))
rand = sh.drv("rand", RANDOM)
e = build(c, rand)
kept = items(d, rand.out[11:] + "-check")
ok("rounds that differ", e and "differs from previous round" in e and c.status == 104 and not os.path.exists(d.root + rand.out), e)
ok("are kept to be compared", len(kept) == 2 and len({read(d, STORE + "/" + x) for x in kept}) == 2, kept)
once = sh.drv("once", "echo x >$out", fixed=("sha256", hashlib.sha256(b"x\n").hexdigest()))
e = build(c, once)
ok("a fixed output is built once", e is None and len(lines(c, "build-started")) == 1, (e, c.said))
e = c.ask(options(more=[("build-repeat", "1000000")]))
ok("too many rounds", e and "build-repeat" in e, e)
c.ask(options(more=[("build-repeat", "0")]))
e = build(c, rand)
ok("one round again", e is None and read(d, rand.out), e)
first = read(d, rand.out)
e = build(c, rand, mode=2)
ok("check", e and "may not be deterministic" in e and c.status == 104 and read(d, rand.out) == first, e)
ok("no failures are remembered", c.ask(u64(24)) is None and c.list() == [])

# ---- options of the daemon ----
os.makedirs(tmp + "/shown")
open(tmp + "/shown/file", "w").write("of the host\n")
d, c, sh = start("two", "--cache-failures", "--log-compression=none", "--max-log-size=4K", "--rounds=2", "--timeout=1",
                 "--max-silent-time=0", "--chroot-directory=/opt/shown=" + tmp + "/shown", "--impersonate-linux-2.6", "--cores=3",
                 "--disable-deduplication", "--system=mips64el-linux", "--no-offload", "--isolate-host-loopback", "--discover=no")
os.chmod(tmp, 0o755)
c.ask(options())
e = build(c, sh.drv("slow", "$b sleep 100"))
ok("--timeout", e and "after 1 seconds" in e, e)
c.ask(options(more=[("build-timeout", "60")]))
ok("is not remembered as a failure", c.ask(u64(24)) is None and c.list() == [])
loud = sh.drv("loud", "i=0; while [ $i -lt 999 ]; do echo $i and more; i=$((i + 1)); done; echo >$out")
e = build(c, loud)
ok("--max-log-size", e and "wrote more than 4096 bytes" in e, e)
plain = sh.drv("plain", "echo said; $b uname -r >$out; $b cat /opt/shown/file >>$out; echo $NIX_BUILD_CORES >>$out")
e = build(c, plain)
ok("--log-compression=none", e is None and read(d, "/var/log/guix/drvs/%s/%s" % (plain.path[11:13], plain.path[13:])) == "said\n", e)
ok("--rounds", len(lines(c, "build-started")) == 2, c.said)
got = read(d, plain.out).split("\n")
ok("--impersonate-linux-2.6", got[0].startswith("2.6."), got)
ok("--chroot-directory", got[1] == "of the host", got)
ok("--cores", got[2] == "3", got)
e = build(c, sh.drv("foreign", "echo >$out", system="mips64el-linux"))
ok("--system", e is None, e)
big = [sh.drv("big%d" % i, "$b head -c 20000 /dev/zero >$out; : %d" % i) for i in range(2)]
e = build(c, *big)
ok("--disable-deduplication", e is None and os.stat(d.root + big[0].out).st_nlink == 1, e)

fails = sh.drv("fails", "echo now >&2; exit 1", outputs=["out", "lib"])
needs = sh.drv("needs", "echo >$out", inputs=[fails])
dep = sh.drv("dep", "echo >$out")
both = sh.drv("both", "exit 1", inputs=[dep])
e = build(c, fails)
ok("a failure", e and c.status == 100 and b"now\n" in c.said, e)
ok("--cache-failures: QueryFailedPaths", c.ask(u64(24)) is None and c.list() == sorted(fails.paths.values()))
e = build(c, fails)
ok("it is not tried again", e and c.status == 100 and b"now\n" not in c.said and lines(c, "build-failed") == ["@ build-failed %s - cached" % fails.path],
   (e, c.said))
e = build(c, needs)
ok("nor what needs it", e and b"now\n" not in c.said, e)
x = d.conn()
e = build(x, both)
x.close()
d.children_down_to(1)
gone = c.ask(u64(20, 3), strings([dep.out]), u64(0, 2**64 - 1, 0, 0, 0)) is None and c.list() == [dep.out] and [c.num(), c.num()]
e = build(c, both)
ok("and needs no inputs for that", gone and e and not lines(c, "build-started"), (gone, c.said))
cli = lambda *a: subprocess.run([os.environ["CAIRN"], "store", "failures", "--socket", d.path, *a], capture_output=True, text=True)
p = cli()
ok("cairn store failures", p.returncode == 0 and p.stdout.split() == sorted(list(fails.paths.values()) + [both.out]), p)
p = cli(both.out)
ok("names nothing to forget without --clear", p.returncode == 2 and "--clear" in p.stderr, p)
p = cli("--clear", both.out)
ok("cairn store failures --clear", p.returncode == 0 and cli().stdout.split() == sorted(fails.paths.values()), p)
p = cli("--clear", "/etc/passwd")
ok("of what is no path", p.returncode != 0 and "/etc/passwd" in p.stderr and cli().stdout, p)
build(c, both)
ok("ClearFailedPaths of a derivation", c.ask(u64(25), strings([fails.path])) is None and c.num() == 1
   and c.ask(u64(24)) is None and c.list() == [both.out])
e = build(c, fails)
ok("and it is tried", e and b"now\n" in c.said, e)
ok("ClearFailedPaths *", c.ask(u64(25), strings(["*"])) is None and c.num() == 1 and c.ask(u64(24)) is None and c.list() == [])
e = c.ask(u64(25), strings(["/etc/passwd"]))
ok("of what is no path", e and "/etc/passwd" in e and c.ask(u64(24)) is None and c.list() == [], e)

d, c, sh = start("three", "--lose-logs")
c.ask(options())
lost = sh.drv("lost", "echo said; echo >$out")
e = build(c, lost)
ok("--lose-logs", e is None and lines(c, "build-started")[0].startswith("@ build-started %s - x86_64-linux  " % lost.path)
   and not os.path.exists(d.root + "/var/log/guix/drvs"), c.said)
# ---- build users ----
if os.getuid() == 0:
    for name, more in [("passwd", "cb1:x:61001:61999::/:/bin/false\ncb2:x:61002:61999::/:/bin/false\n"), ("group", "cb:x:61999:cb1,cb2,cb-none\nce:x:61998:\n")]:
        open(tmp + "/" + name, "w").write(open("/etc/" + name).read().rstrip("\n") + "\n" + more)
    inside = ["unshare", "-m", "sh", "-c", "mount --bind %s/passwd /etc/passwd && mount --bind %s/group /etc/group && exec \"$@\"" % (tmp, tmp), "sh"]
    p = subprocess.run([*inside, os.environ["CAIRN"], "daemon", "--root", tmp + "/none", "--build-users-group=ce"], capture_output=True, text=True)
    ok("a group without members", p.returncode == 65 and "no members" in p.stderr, p)
    d = Daemon(tmp + "/users", "--build-users-group=cb", "-M", "4", before=inside).wait()
    running.append(d)
    c = d.conn()
    sh = Shell(c, busybox)
    c.ask(options())
    mark = "cairn-users-%d" % os.getpid()
    five = [sh.drv("user%d" % i, "$b stat -c %%u:%%g . >$out; until [ -e go ]; do echo >here; $b usleep 20000; done; : %s" % mark) for i in range(5)]
    c.send(u64(9) + strings([x.path for x in five]) + u64(0))
    seen, done = set(), set()
    end = time.monotonic() + 60
    while len(done) < 5 and time.monotonic() < end:
        here = [h for h in glob.glob(d.root + "/var/guix/builds/*/*/*/here") if h not in done]
        owners = {(os.stat(h).st_uid, os.stat(h).st_gid) for h in here}
        seen |= owners | ({"too many"} if len(here) > 2 else set())
        for h in here if len(here) == 2 or len(done) == 4 else []:
            open(h[:-4] + "go", "w").close()
            done.add(h)
        time.sleep(0.02)
    e = c.end() or c.num() != 1
    ok("--build-users-group: its members' ids, each for one build", not e and seen == {(61001, 61999), (61002, 61999)}, (e, seen))
else:
    ok("--build-users-group # SKIP only root can build as others", True)
ok("the daemons end", all(x.stop() == 0 for x in running))
finish()
E
