#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 240
# Databases that a disk, a power cut or a copy has damaged, by the names of their attacks: what is wrong with them is said, and
# nothing that a root keeps is ever deleted. DATABASE_DAMAGES: how many; SEED.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
export HOME="$TMP"
exec python3 - "${DATABASE_DAMAGES:-12}" "${SEED:-1}" <<'EOF'
import os
import random
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
import session
from session import CAIRN, TMP, check, finish

DAMAGES, SEED = int(sys.argv[1]), int(sys.argv[2])
PAGE = 4096


def run(*argv, root, before=()):
    return session.run("store", *argv, "--root", root, before=before, timeout=120)


def crashed(p):
    return p.returncode < 0 or p.returncode >= 128


def content(path):
    with open(path, "rb") as f:
        return f.read()


class Store:
    """Thirty texts in chains of three; of every other chain the last is kept by a root."""

    def __init__(self, name):
        self.root = f"{TMP}/{name}"
        self.paths, self.texts = [], {}
        for i in range(30):
            text = f"{name} item {i}\n" + (self.paths[-1] if i % 3 else "")
            with open(TMP + "/text", "w") as f:
                f.write(text)
            refs = ["--reference", self.paths[-1]] if i % 3 else []
            p = run("add", "--text", "--name", f"item{i}", *refs, TMP + "/text", root=self.root)
            assert p.returncode == 0, p.stderr
            self.paths.append(p.stdout.strip())
            self.texts[self.paths[-1]] = text.encode()
        self.kept = [p for i, p in enumerate(self.paths) if i // 3 % 2 == 0]
        for i in range(2, 30, 6):
            os.symlink(self.paths[i], f"{self.root}/var/guix/gcroots/{i}")
        db = sqlite3.connect(self.db())
        db.execute("pragma wal_checkpoint(truncate)")
        db.close()
        self.rest("-wal", "-shm")

    def db(self, root=None):
        return (root or self.root) + "/var/guix/db/db.sqlite"

    def rest(self, *suffixes):
        for s in suffixes:
            if os.path.exists(self.db() + s):
                os.unlink(self.db() + s)

    def copy(self):
        root = TMP + "/copy"
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return root

    def lost(self, root, of):
        return [p for p in of if not os.path.lexists(root + p) or content(root + p) != self.texts[p]]

    def judge(self, root, text=None, more=()):
        """None, or what is wrong after every command was run on a damaged copy."""
        ends = {}
        for name, argv in ("verify", ["verify"]), ("query", ["query", "--all"]), ("gc", ["gc"]), ("dead", ["delete", self.paths[3]]):
            p = ends[name] = run(*argv, root=root)
            if crashed(p):
                return f"{name} crashed: {p.stderr}"
            if p.returncode and not p.stderr.strip():
                return f"{name} failed and said nothing"
        if self.lost(root, self.kept):
            return f"{len(self.lost(root, self.kept))} kept items are gone: {ends['gc'].stderr}"
        if ends["gc"].returncode and self.lost(root, self.paths[4:]):
            return f"a collection that failed deleted something: {ends['gc'].stderr}"
        if ends["verify"].returncode == 0 and set(ends["query"].stdout.split()) - set(more) != set(self.paths):
            return "what is missing from the database was not noticed"
        if text and text not in ends["gc"].stderr:
            return f"it does not say '{text}': {ends['gc'].stderr}"
        return None


one, two = Store("one"), Store("two")
sound = content(one.db())
check(one.judge(one.copy()) is None, "the sound one", one.judge(one.copy()))

# ---- Bytes that change --------------------------------------------------------------------------------------------------
rnd = random.Random(SEED)


def flip(d):
    d[rnd.randrange(len(d))] ^= 1 << rnd.randrange(8)


def garbage(d):
    at = rnd.randrange(len(d) - 8)
    d[at:at + 8] = rnd.randbytes(8)


def zero_page(d):
    at = rnd.randrange(len(d) // PAGE) * PAGE
    d[at:at + PAGE] = bytes(PAGE)


def cut(d):
    del d[rnd.randrange(len(d)):]


def swap(d):
    a, b = (n * PAGE for n in rnd.sample(range(len(d) // PAGE), 2))
    d[a:a + PAGE], d[b:b + PAGE] = d[b:b + PAGE], d[a:a + PAGE]


def head(d):
    d[:100] = rnd.randbytes(100)


for kind in flip, garbage, zero_page, cut, swap, head:
    bad = []
    for n in range(max(1, DAMAGES // 6)):
        root = one.copy()
        data = bytearray(sound)
        kind(data)
        with open(one.db(root), "wb") as f:
            f.write(data)
        wrong = one.judge(root)
        if wrong:
            bad.append(f"{n}: {wrong}")
    check(not bad, f"DB-04 damage by {kind.__name__}, SEED={SEED}", "\n".join(bad))
root = one.copy()
data = bytearray(sound)
at = sound.index(os.path.basename(one.kept[0]).encode())
data[at] ^= 1
with open(one.db(root), "wb") as f:
    f.write(data)
check(one.judge(root, "is damaged") is None, "DB-04 one letter of one path", one.judge(root, "is damaged"))
for what, data in ("that is empty", b""), ("that is gone", None):
    root = one.copy()
    if data is None:
        os.unlink(one.db(root))
    else:
        with open(one.db(root), "wb") as f:
            f.write(data)
    wrong = one.judge(root, "is empty, but there are items")
    check(wrong is None, "DB-04 a database " + what, wrong)
    p = run("add", "--text", TMP + "/text", root=root)
    check(p.returncode != 0 and not one.lost(root, one.paths), "DB-04 and nothing is added to it", p.stderr)

# ---- Logs that do not belong --------------------------------------------------------------------------------------------
# What a daemon that was killed leaves: the last additions are in the log alone.
late = one.copy()
shutil.move(late, TMP + "/late")
late = TMP + "/late"
with open(TMP + "/text", "w") as f:
    f.write("added late\n")
last = run("add", "--text", "--name", "last", TMP + "/text", root=late).stdout.strip()
os.symlink(last, late + "/var/guix/gcroots/last")
wal = content(one.db(late) + "-wal")
check(len(wal) > 0 and last.encode() not in sound, "the last addition is in the log")
foreign = TMP + "/foreign"
shutil.copytree(two.root, foreign, symlinks=True)
run("add", "--text", TMP + "/text", root=foreign)


def late_copy():
    root = TMP + "/copy"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", late, root], check=True)
    return root


def put(name, data):
    with open(name, "wb") as f:
        f.write(data)


for what, change in (
    ("is cut", lambda d: put(d + "-wal", wal[:len(wal) // 2])),
    ("is damaged", lambda d: put(d + "-wal", wal[:200] + b"x" * 50 + wal[250:])),
    ("is gone", lambda d: os.unlink(d + "-wal")),
    ("has no index", lambda d: os.unlink(d + "-shm")),
    ("has an index that is garbage", lambda d: put(d + "-shm", b"garbage!" * 4096)),
    ("is that of another database", lambda d: (put(d + "-wal", content(two.db(foreign) + "-wal")), os.unlink(d + "-shm"))),
):
    root = late_copy()
    change(one.db(root))
    wrong = one.judge(root, more=[last])
    gone = not os.path.lexists(root + last)
    check(wrong is None and not gone, "DB-05 a log that " + what, (wrong, gone))
root = late_copy()
p = run("verify", root=root)
check(p.returncode == 0 and run("query", last, root=root).returncode == 0, "DB-05 the log that belongs is taken", p.stderr)
if os.getuid() == 0:
    root = late_copy()
    os.chmod(TMP, 0o711)
    for d, dirs, files in os.walk(root + "/var"):
        os.chmod(d, 0o755)
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "HOME=/nonexistent"]
    p = run("gc", root=root, before=drop)
    check(not crashed(p) and p.returncode != 0 and p.stderr and not one.lost(root, one.paths), "DB-05 a database of somebody else", p)

# ---- Schemas ------------------------------------------------------------------------------------------------------------
root = one.copy()
put(root + "/var/guix/db/schema", b"")
wrong = one.judge(root, "db/schema is empty")
check(wrong is None, "DB-02 an empty schema file", wrong)
put(root + "/var/guix/db/schema", b"7")
check(run("verify", root=root).returncode == 0, "DB-02 which can be written again")
for text in b"6", b"11", b"7\n8", b"\0" * 50:
    put(root + "/var/guix/db/schema", text)
    p = run("gc", root=root)
    check(p.returncode == 1 and "only 7 (Guix) and 10 (Nix)" in p.stderr, f"DB-09 schema {text[:3]}", p.stderr)
    if one.lost(root, one.paths):
        check(False, "DB-09 and nothing is lost")
if shutil.which("strace"):
    # At each change of the disk while the first command makes a store: the next one must find it sound.
    calls = "openat,mkdirat,mkdir,fsync,fdatasync,renameat,renameat2,rename,write,pwrite64,ftruncate,linkat,unlinkat"
    bad, hits = [], 0
    total = subprocess.run(["strace", "-f", "-qq", "-e", "trace=" + calls, CAIRN, "store", "query", "--all", "--root", TMP + "/fresh0"],
                           capture_output=True, text=True, check=False).stderr.count("\n")
    for call in "mkdirat", "fsync", "renameat", "pwrite64", "write", "openat":
        for n in range(1, 4):
            root = f"{TMP}/fresh-{call}-{n}"
            p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={n}", CAIRN,
                                "store", "query", "--all", "--root", root], capture_output=True, check=False)
            hits += p.returncode != 0
            p = run("verify", root=root)
            q = run("add", "--text", TMP + "/text", root=root)
            if p.returncode or q.returncode:
                bad.append(f"{call} {n}: {p.stderr} {q.stderr}")
    check(hits > 6 and not bad, f"DB-02 a store whose making ends early ({hits} times)", "\n".join(bad))

# ---- What cannot be read is no change -----------------------------------------------------------------------------------
if shutil.which("strace"):
    root = one.copy()
    victim = root + one.kept[0]
    for what, argv in ("a check", ["verify"]), ("a repair", ["verify", "--repair"]):
        p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-P", victim, "-e", "inject=read,pread64:error=EIO", CAIRN,
                            "store", *argv, "--root", root], capture_output=True, text=True, check=False)
        check(p.returncode == 65 and "cannot be read" in p.stderr and "Input/output error" in p.stderr and "was modified" not in p.stderr
              and not one.lost(root, one.paths), f"CR-03 {what} of a file that cannot be read", p.stderr)
    p = run("verify", root=root)
    check(p.returncode == 0, "CR-03 and that is all", p.stderr)
    for argv in ["gc"], ["verify", "--repair"], ["query", "--all"]:
        p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-P", one.db(root), "-e", "inject=pread64:error=EIO:when=2+", CAIRN,
                            "store", *argv, "--root", root], capture_output=True, text=True, check=False)
        check(p.returncode != 0 and not crashed(p) and "disk I/O error" in p.stderr and not one.lost(root, one.paths),
              f"CR-03 {argv[0]} with a database that cannot be read", (p.returncode, p.stderr))

# ---- Values ---------------------------------------------------------------------------------------------------------------
root = one.copy()
db = sqlite3.connect(one.db(root))
db.execute("update ValidPaths set narSize = -5, registrationTime = -7 where path = ?", (one.kept[0],))
db.execute("update ValidPaths set hash = 'sha256:''x' where path = ?", (one.kept[1],))
db.execute("update ValidPaths set narSize = 9223372036854775807, deriver = 'x'' or 1' where path = ?", (one.kept[2],))
db.execute("insert into ValidPaths (path, hash, registrationTime) values ('/gnu/store/../../etc/passwd', 'sha256:', 1)")
db.execute("insert into ValidPaths (path, hash, registrationTime) values ('x'';drop table Refs', 'sha256:', 1)")
db.commit()
db.close()
for argv in ["verify"], ["gc"], ["query", "--all"], ["verify", "--repair"]:
    p = run(*argv, root=root)
    check(not crashed(p) and not one.lost(root, one.kept) and os.path.exists("/etc/passwd"), f"DB-10 odd values and {' '.join(argv)}", p)

# ---- Others that hold the lock ------------------------------------------------------------------------------------------
root = one.copy()
db = sqlite3.connect(one.db(root), isolation_level=None)
db.execute("begin immediate")
p = run("query", "--all", root=root)
check(p.returncode == 0 and len(p.stdout.split()) == 30, "DB-08 who only asks does not wait for a writer", p.stderr)
db.execute("rollback")
db.close()
finish()
EOF
