#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Where a daemon listens, whom it trusts, which options it takes; nothing is built here.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import fcntl, os, pwd, re, socket, subprocess, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

cairn, tmp = os.environ["CAIRN"], os.environ["TMP"]
root_user = os.getuid() == 0


def refused(name, args, want, status):
    os.makedirs(tmp + "/refused", exist_ok=True)
    p = subprocess.run([cairn, "daemon", "--root", tmp + "/refused", *args], capture_output=True, text=True, timeout=60)
    ok("refused: " + name, p.returncode == status and want in p.stderr and p.stderr.count("\n") <= 2, (p.returncode, p.stderr))


# ---- options ----
refused("--disable-chroot", ["--disable-chroot"], "without a sandbox", 2)
refused("--discover", ["--discover"], "not looked for", 2)
refused("--discover=maybe", ["--discover=maybe"], "yes or no", 2)
refused("a cache of another kind", ["--substitute-urls=http://a ftp://b"], "ftp://b", 65)
refused("a key that is none", ["--trusted-public-keys=a:b"], "a:b", 65)
refused("bzip2", ["--log-compression=bzip2"], "bzip2", 2)
refused("a log compression that is none", ["--log-compression", "lzma"], "gzip or none", 2)
refused("a log size that is none", ["--max-log-size", "much"], "--max-log-size", 2)
refused("no rounds", ["--rounds=0"], "from 1 to", 2)
refused("a time to drain that is none", ["--drain-timeout=1h"], "--drain-timeout", 2)
refused("a negative time", ["--timeout=-1"], "--timeout", 2)
refused("a time that is none", ["--max-silent-time=1h"], "--max-silent-time", 2)
refused("a relative directory", ["--chroot-directory=a=b"], "absolute", 2)
refused("a directory that is not there", ["--chroot-directory=/x=" + tmp + "/none"], tmp + "/none", 1)
refused("a group that is not there", ["--build-users-group=cairn-none"], "cairn-none" if root_user else "only root", 66 if root_user else 2)
refused("a place that is none", ["--listen", ":123"], "no place to listen", 65)
refused("a port that is none", ["--listen", "localhost:70000"], "no place to listen", 65)
refused("a host that is none", ["--listen", "[::1"], "no place to listen", 65)
refused("too many sockets", ["--listen=localhost:1"] * 17, "at most", 65)
ok("nothing is left of them", os.listdir(tmp + "/refused") == [], os.listdir(tmp + "/refused"))
text = subprocess.run([cairn, "daemon", "--help"], capture_output=True, text=True).stdout
known = """build-users-group no-substitutes substitute-urls no-offload cache-failures cores max-jobs max-silent-time timeout rounds debug chroot-directory
disable-chroot isolate-host-loopback log-compression discover disable-deduplication gc-keep-outputs gc-keep-derivations
impersonate-linux-2.6 lose-logs system listen""".split()
ok("guix-daemon's options have their names", all("--" + x in text for x in known), [x for x in known if "--" + x not in text])

# ---- sockets ----
port = tcp_address()[1]
d = Daemon(tmp + "/a", "--listen", tmp + "/a/one", "--listen", "127.0.0.1:%d" % port, "--listen", tmp + "/a/two", "--debug",
           "--gc-keep-outputs=yes", "--gc-keep-derivations=no", "--log-compression=gzip")
for address in (tmp + "/a/one", tmp + "/a/two", ("127.0.0.1", port)):
    d.wait(address)
    c = Conn(address)
    ok("serves at %s" % (address if isinstance(address, str) else "a TCP port",), c.ask(u64(23)) is None and c.list() == [])
    c.close()
unix, tcp = Conn(tmp + "/a/one"), Conn(("127.0.0.1", port))
assert tcp.ask(u64(8), s("x"), s("y"), strings([])) is None
item = tcp.str().decode()
assert tcp.ask(u64(23)) is None and tcp.list() == [item]
ok("both see one store", unix.ask(u64(1), s(item)) is None and unix.num() == 1)
bad = Drv("bad", "/none").add(tcp)
tcp.ask(options(keep_failed=1))
e = tcp.ask(u64(9), strings([bad.path]), u64(0))
ok("over TCP no failed build is kept", e and b"keeping" not in tcp.said and not os.path.exists(d.root + "/var/guix/failed"), (e, tcp.said))
e = tcp.ask(u64(20, 2), strings([]), u64(0, 2**64 - 1, 0, 0, 0))
ok("over TCP nothing is collected", e and "TCP" in e and unix.ask(u64(1), s(item)) is None and unix.num() == 1, e)
e = unix.ask(u64(20, 0), strings([]), u64(0, 0, 0, 0, 0))
ok("over the other it is", e is None and unix.list() == sorted([item, bad.path]) and [unix.num(), unix.num()] == [0, 0], e)
users = d.root + "/var/guix/profiles/per-user"
me = pwd.getpwuid(os.getuid()).pw_name
ok("a directory for the user's profiles", sorted(os.listdir(users)) == [me] and os.stat(users + "/" + me).st_uid == os.getuid()
   and os.stat(users + "/" + me).st_mode & 0o7777 == 0o755, os.listdir(users))
for name in ("../evil", "evil/x", ".", "", "no-such-user-here"):
    assert tcp.ask(options(more=[("user-name", name)])) is None
ok("a client over TCP cannot make others'", os.listdir(users) == [me] and not os.path.exists(d.root + "/var/guix/profiles/evil"), os.listdir(users))
if root_user:
    assert tcp.ask(options(more=[("user-name", "nobody")])) is None
    nobody = pwd.getpwnam("nobody")
    ok("but that of the user it names", sorted(os.listdir(users)) == sorted([me, "nobody"]) and os.stat(users + "/nobody").st_uid == nobody.pw_uid)
    os.rmdir(users + "/nobody")
    os.chmod(tmp, 0o755)
    os.setegid(nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    c = Conn(tmp + "/a/two")
    os.seteuid(0)
    os.setegid(0)
    ok("another user has his", c.ask(u64(23)) is None and c.list() == sorted([item, bad.path]) and os.stat(users + "/nobody").st_uid == nobody.pw_uid)
    e = c.ask(u64(35, 0, 1))
    ok("but no rights", e and "not allowed to repair" in e, e)
    c.close()
ok("--debug says more", "listening" in open(d.log).read())
for x in (unix, tcp):
    x.close()
ok("ends", d.stop() == 0)

# ---- a socket whose path is longer than an address ----
far = tmp + "/" + "d" * 120
name = "a-name-of-a-socket-that-is-longer-than-forty-bytes"
d = Daemon(far, "--listen", far + "/" + name, "--listen", tmp + "/near").wait(tmp + "/near")
ask = lambda socket: subprocess.run([cairn, "store", "query", "--all", "--socket", far + "/" + socket], capture_output=True, text=True, timeout=60)
p = ask(name)
ok("a client finds it", p.returncode == 0 and not p.stderr, p)
p = ask("n" * 120)
ok("a name that is too long is told", p.returncode != 0 and "too long" in p.stderr, p)
d.stop()

# ---- a client that goes while its store is made smaller ----
d = Daemon(tmp + "/c", "--disable-deduplication").wait()
c = d.conn()
for name in ("one", "two"):
    assert c.ask(u64(7) + s(name) + u64(1, 1) + s("sha256") + file_nar(name * 10000)) is None and c.str()
c.close()
d.children_down_to(0)
links = lambda: [x for x in os.listdir(d.root + STORE + "/.links") if x[0] != "."]
with open(d.root + "/var/guix/gc.lock", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)  # nothing goes on before the client is gone
    c = d.conn()
    c.send(u64(34))
    c.close()
d.children_down_to(0)
ok("what a client that is gone asked for is not gone on with", not os.path.exists(d.root + STORE + "/.links") or len(links()) < 2)
c = d.conn()
ok("OptimiseStore", c.ask(u64(34)) is None and c.num() == 1 and len(links()) == 2)
assert c.ask(u64(7) + s("three") + u64(1, 1) + s("sha256") + file_nar("one" * 10000)) is None
three = c.str().decode()
c.close()
d.children_down_to(0)
optimise = lambda: subprocess.run([cairn, "store", "optimise", "--socket", d.root + "/var/guix/daemon-socket/socket"], capture_output=True, text=True)
ok("an item of its own", os.stat(d.root + three).st_nlink == 1)
p = optimise()
ok("cairn store optimise", p.returncode == 0 and re.fullmatch(r"[1-9][0-9]*\.[0-9] KiB freed .*\n", p.stderr) and os.stat(d.root + three).st_nlink == 3 and not p.stdout, p)
p = optimise()
ok("has nothing to do then", p.returncode == 0 and "0 B freed" in p.stderr, p)
d.stop()

# ---- sockets that somebody else opened ----
given = socket.socket(socket.AF_UNIX)
given.bind(tmp + "/given")
given.listen()
second = socket.socket()
second.bind(("127.0.0.1", 0))
second.listen()
code = """
import os, sys
os.dup2(int(sys.argv[1]), 90); os.dup2(int(sys.argv[2]), 91)
os.dup2(90, 3); os.dup2(91, 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="a:b")
os.execv(sys.argv[3], sys.argv[3:])
"""
fds = [given.fileno(), second.fileno()]
os.makedirs(tmp + "/b")
p = subprocess.Popen([sys.executable, "-c", code, *map(str, fds), cairn, "daemon", "--root", tmp + "/b", "--listen", tmp + "/b/not"],
                     pass_fds=fds, stderr=open(tmp + "/b.log", "w"))
given.close()
for address in (tmp + "/given", second.getsockname()):
    c = Conn(address)
    ok("serves at a socket it was given", c.ask(u64(23)) is None and c.list() == [])
    c.close()
ok("and at no other", not os.path.exists(tmp + "/b/not"))
p.terminate()
ok("ends", p.wait(60) == 0)
finish()
E
