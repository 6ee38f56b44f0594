#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 120
# Who waits at a terminal sees what for; who does not, sees nothing of it.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT
exec python3 - <<'E'
import fcntl, os, pty, subprocess

cairn, root = os.environ["CAIRN"], os.environ["TMP"] + "/root"
n = failed = 0


def ok(what, good, got=None):
    global n, failed
    n += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {n} - {what}" + ("" if good else f"\n# {got!r}"))


def store(*args, **more):
    return subprocess.Popen([cairn, "store", *args, "--root", root], stdout=subprocess.PIPE, **more)


p = store("add", "/etc/passwd")
item = p.communicate()[0].decode().strip()
assert p.returncode == 0
for args, line in (["verify"], "reading the store"), (["verify", "--quick"], "checking the store"), (["gc"], "collecting garbage"):
    what = " ".join(args)
    master, slave = pty.openpty()
    with open(root + "/var/guix/gc.lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # it goes on when this was seen
        p = store(*args, stderr=slave)
        os.close(slave)
        seen = b""
        while line.encode() not in seen:
            seen += os.read(master, 4096)  # the test's time limit ends it
        ok(f"{what}: is said", b"\r\x1b[K[" in seen, seen)
    out = p.communicate()[0].decode().strip()
    try:
        while piece := os.read(master, 4096):
            seen += piece
    except OSError:  # nobody has the other end any more
        pass
    last = seen.decode().split("\r\x1b[K")[-1]
    ok(f"{what}: and taken away in the end", p.returncode == 0 and line not in last and "deleting" not in seen.decode(), seen)
    os.close(master)
ok("the answer stands alone", out == item, out)
p = store("verify", stderr=subprocess.PIPE)
ok("without a terminal nothing is said", p.communicate() == (b"", b"") and p.returncode == 0)
print(f"1..{n}")
raise SystemExit(failed != 0)
E
