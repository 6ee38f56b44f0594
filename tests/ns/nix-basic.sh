#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# BuildDerivation of Nix's dialect: its results, and whom it believes what.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v busybox >/dev/null || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
exec python3 - <<'E'
import os, pwd, shutil, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
import wire
from wire import *

wire.STORE = STORE = "/nix/store"
tmp = os.environ["TMP"]
d = Daemon(tmp + "/root", "--dialect=nix", "-M", "2").wait()
c = d.conn()
sh = Shell(c, shutil.which("busybox"))
BUILT, VALID, FAILED, TIMEOUT, MISC, DIFFERS = 0, 2, 3, 8, 9, 12


def path(name):
    return STORE + "/" + base32(hashlib.sha256(name.encode()).digest()[:20]) + "-" + name


def request(name, script, outputs=None, sources=None, mode=0, algo="", digest="", env=()):
    outputs = outputs or [("out", path(name))]
    env = dict({o: p for o, p in outputs}, b=sh.bb, **dict(env))
    return (u64(36) + s(path(name + ".drv")) + u64(len(outputs)) + b"".join(s(o) + s(p) + s(algo) + s(digest) for o, p in outputs)
            + strings([sh.item] if sources is None else sources) + s("x86_64-linux") + s(sh.bb) + strings(["sh", "-c", script])
            + pairs(sorted(env.items())) + u64(mode))


def build(*a, conn=None, **k):
    x = conn or c
    e = x.ask(request(*a, **k))
    return e or (x.num(), x.str().decode())


def alive():
    return c.ask(u64(1), s(path("no"))) is None and c.num() == 0


got = build("one", "echo said; echo x >$out")
ok("builds", got == (BUILT, "") and open(d.root + path("one")).read() == "x\n" and c.said == b"said\n", (got, c.said))
ok("is valid then", build("one", "echo x >$out") == (VALID, ""))
ok("checks", build("one", "echo x >$out", mode=2) == (BUILT, ""))
got = build("one", "echo y >$out", mode=2)
ok("a difference", got[0] == DIFFERS and "deterministic" in got[1] and open(d.root + path("one")).read() == "x\n", got)
os.chmod(d.root + path("one"), 0o644)
open(d.root + path("one"), "w").write("damaged\n")
got = build("one", "echo x >$out", mode=1)
ok("repairs", got == (BUILT, "") and open(d.root + path("one")).read() == "x\n", got)
got = build("two", "exit 3")
ok("a failure", got[0] == FAILED and "exit code 3" in got[1], got)
got = build("three", "true")
ok("no output", got[0] == FAILED and "failed to produce" in got[1], got)
assert c.ask(u64(19, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), pairs([("timeout", "1")])) is None
got = build("four", "$b sleep 100")
ok("a time-out", got[0] == TIMEOUT, got)
assert c.ask(u64(19, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), pairs([("timeout", "0")])) is None
got = build("five", "echo x >$out; echo y >$lib", outputs=[("lib", path("five-lib")), ("out", path("five"))])
ok("several outputs", got == (BUILT, "") and open(d.root + path("five-lib")).read() == "y\n", got)
got = build("six", "$b cat $five >$out", sources=[sh.item, path("five")], env={"five": path("five")})
ok("sources", got == (BUILT, "") and c.ask(u64(26), s(path("six"))) is None and c.num() == 1 and c.str().decode() == path("six.drv"), got)
c.close()  # with the rest of that answer
c = d.conn()

for name, kw, want in [
    ("a source that is not valid", dict(sources=[path("nobody")]), "not valid"),
    ("an output elsewhere", dict(outputs=[("out", "/etc/x")]), "/etc/x"),
    ("one output twice", dict(outputs=[("a", path("z")), ("b", path("z"))]), "twice"),
    ("a source elsewhere", dict(sources=["/etc"]), "/etc"),
]:
    got = build("bad", "true", **kw)
    ok("refused: " + name, isinstance(got, str) and want in got and alive(), got)
none = u64(36) + s(path("none.drv")) + u64(0) + strings([]) + s("x86_64-linux") + s(sh.bb) + strings([]) + u64(0) + u64(0)
e = c.ask(none)
ok("refused: no outputs", e and "no outputs" in e and alive(), e)
for name, at in [("outputs", 0), ("sources", 1)]:
    x = d.conn()
    e = x.ask(u64(36) + s(path("x.drv")) + (u64(0) if at else b"") + u64(1 << 40))
    ok("closed: a count of %s" % name, e and x.closed() and alive(), e)
    x.close()

# ---- somebody else ----
if os.getuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.chmod(tmp, 0o755)
    os.setegid(nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    x = d.conn()
    os.seteuid(0)
    os.setegid(0)
    got = build("theirs", "echo x >$out", conn=x)
    ok("an untrusted client is not believed", isinstance(got, str) and "not privileged" in got and not os.path.exists(d.root + path("theirs")), got)
    got = build("one", "echo y >$out", mode=1, conn=x)
    ok("and repairs nothing", isinstance(got, str) and open(d.root + path("one")).read() == "x\n", got)
    digest = hashlib.sha256(b"x\n").hexdigest()
    fixed = Drv("fixed", "/bin/sh", fixed=("sha256", digest))
    got = build("fixed", "echo x >$out", outputs=[("out", fixed.out)], algo="sha256", digest=digest, conn=x)
    ok("but for a fixed output", got == (BUILT, ""), got)
    got = build("wrong", "echo x >$out", outputs=[("out", path("wrong"))], algo="sha256", digest=digest, conn=x)
    ok("at its own path", isinstance(got, str) and "incorrect output" in got, got)
    other = Drv("other", "/bin/sh", fixed=("sha256", digest))
    got = build("other", "echo other >$out", outputs=[("out", other.out)], algo="sha256", digest=digest, conn=x)
    ok("with its own hash", got[0] == FAILED and "hash mismatch" in got[1] and not os.path.exists(d.root + other.out), got)
else:
    ok("an untrusted client # SKIP only root can be somebody else", True)
ok("the daemon ends", d.stop() == 0)
finish()
E
