#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a daemon of Guix's dialect answers to questions about substitutes, and whose caches it asks.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
exec python3 - <<'E'
import os, subprocess, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from publisher import publish
from wire import *

cairn, tmp = os.environ["CAIRN"], os.environ["TMP"]
os.environ.pop("CAIRN_ROOT", None)
NOTHING = "/gnu/store/" + "0" * 32 + "-nothing"


def run(*argv, **kw):
    p = subprocess.run([cairn, *argv], capture_output=True, text=True, timeout=60, **kw)
    assert p.returncode == 0, p.stderr
    return p.stdout.strip()


origin = tmp + "/origin"
with open(tmp + "/low", "w") as f:
    f.write("low")
low = run("store", "add", "--root", origin, "--text", tmp + "/low")
with open(tmp + "/top", "w") as f:
    f.write("top " + low)
top = run("store", "add", "--root", origin, "--text", "--reference", low, tmp + "/top")
run("archive", "--generate-key", "--root", origin)
PUBLISHER, url = publish(origin)
tcp = tcp_address()
root = tmp + "/d"
run("archive", "--authorize", "--root", root, input=open(origin + "/etc/guix/signing-key.pub").read())
d = Daemon(root, "--substitute-urls", url, "--listen", root + "/socket", "--listen", "127.0.0.1:%d" % tcp[1]).wait(root + "/socket")


def options(fallback=0, use=1, more=()):
    return u64(19, 0, 0, fallback, 1, 0, 0, 0, 1, use) + pairs(more)


def info(c):
    return c.str().decode(), c.list(), c.num(), c.num()


size = len(file_nar(("top " + low).encode()))
c = Conn(root + "/socket")
ok("SubstituteURLs", c.ask(u64(81)) is None and c.list() == [url])
ok("HasSubstitutes", c.ask(u64(3), s(top)) is None and c.num() == 1)
ok("of what nobody has", c.ask(u64(3), s(NOTHING)) is None and c.num() == 0)
ok("QuerySubstitutablePathInfo", c.ask(u64(21), s(top)) is None and c.num() == 1 and info(c) == ("", [low], 0, size))
ok("of what nobody has", c.ask(u64(21), s(NOTHING)) is None and c.num() == 0)
ok("QuerySubstitutablePathInfos", c.ask(u64(30), strings([top, NOTHING, low])) is None and c.num() == 2
   and [(c.str().decode(), info(c)[1]) for _ in range(2)] == [(x, [low] if x == top else []) for x in sorted([low, top])])
ok("QuerySubstitutablePaths", c.ask(u64(32), strings([top, NOTHING, low])) is None and c.list() == sorted([low, top]))
ok("a path that is none", "/etc/passwd" in (c.ask(u64(32), strings(["/etc/passwd"])) or ""))
ok("no substitutes wanted", c.ask(options(use=0)) is None and c.ask(u64(81)) is None and c.list() == [])
ok("then there are none", c.ask(u64(32), strings([top])) is None and c.list() == [])
ok("and EnsurePath has nothing", "cannot be created" in (c.ask(u64(10), s(top)) or ""))
e = c.ask(options(more=[("substitute-urls", "gopher://x")]))
ok("a URL of another kind is refused", e and "gopher://x" in e, e)
ok("a client's own caches", c.ask(options(more=[("substitute-urls", "http://127.0.0.1:1/ " + url + "/")])) is None
   and c.ask(u64(81)) is None and c.list() == ["http://127.0.0.1:1", url])
ok("a directory, of a trusted client", c.ask(options(more=[("substitute-urls", "file://" + tmp)])) is None)
n = Conn(tcp)
e = n.ask(options(more=[("substitute-urls", "file:///etc")]))
ok("a directory, of another, is refused", e and "no URL of substitutes" in e, e)
ok("its caches over http are asked", n.ask(options(more=[("substitute-urls", url)])) is None and n.ask(u64(32), strings([top])) is None
   and n.list() == [top])
ok("EnsurePath fetches", n.ask(u64(10), s(top)) is None and n.num() == 1 and n.ask(u64(1), s(top)) is None and n.num() == 1)
m = Conn(root + "/socket")
assert m.ask(options()) is None
ok("with what it refers to", m.ask(u64(5), s(top)) is None and m.list() == [low] and m.ask(u64(1), s(low)) is None and m.num() == 1)
d.stop()
declared = tmp + "/k/etc/guix/authorized-keys"
os.makedirs(os.path.dirname(declared))
k = Daemon(tmp + "/k", "--substitute-urls", url).wait()
c = k.conn()
ok("nobody's signature counts", c.ask(options()) is None and c.ask(u64(32), strings([top])) is None and c.list() == [])
with open(origin + "/etc/guix/signing-key.pub") as key, open(declared, "w") as f:
    f.write("# of the configuration\n" + key.read())
ok("one that is declared does", c.ask(u64(32), strings([top])) is None and c.list() == [top])
ok("and is fetched", c.ask(u64(10), s(low)) is None and c.num() == 1)
os.unlink(declared)
ok("until it is not declared", c.ask(u64(32), strings([top])) is None and c.list() == [])
e = c.ask(u64(10), s(top))
ok("then nothing is fetched, the connection notwithstanding", e and "cannot be created" in e, e)
k.stop()
f = Daemon(tmp + "/f", "--substitute-urls", url, "--no-substitutes").wait()
c = f.conn()
ok("--no-substitutes", c.ask(options()) is None and c.ask(u64(81)) is None and c.list() == [])
f.stop()
PUBLISHER.terminate()
PUBLISHER.wait()
finish()
E
