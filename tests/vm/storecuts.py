# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations of the store in a machine whose disk is recorded, and what must be true of that store after a power cut in them:
each valid item has its hash, all it refers to is valid, a root holds something valid, and an operation that is one transaction is
seen whole or not at all. doc/durability.md says why. The items' hashes are taken by a second implementation, here.

What the machine needs comes on a disk of its own and is unpacked into memory, so that the log has the store's writes alone."""
import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
import urllib.request

import cuts
import medium
import powercut
import vm

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import wire  # noqa: E402

STORE, STATE = "/gnu/store", "/var/guix"
OPTIMISE = 34
NEW = "/root/new"  # a store of its own, which does not exist before
KEPT = STATE + "/profiles/kept-"  # links that are roots, in what is looked at
BUILD = """local busybox = require("packages.busybox") .. "/bin/busybox"
return derivation {
	name = "cut", builder = busybox, outputs = { "out", "lib", "doc" },
	args = { "sh", "-c", "$0 mkdir $out $lib && echo $lib >$out/lib && $0 head -c 300000 $0 >$out/x && " ..
		"$0 head -c 70000 $0 >$lib/y && echo $out >$doc", busybox },
}
"""
# Its connection must last until the answer is complete.
OPTIMISED = """rm -f /tmp/answer /tmp/closed; touch /tmp/answer
{ cat /tmp/w/session; until tail -c 16 /tmp/answer | cmp -s - /tmp/w/answer || [ -e /tmp/closed ]; do usleep 50000; done; } |
	{ cairn daemon --stdio >/tmp/answer; touch /tmp/closed; }
tail -c 16 /tmp/answer | cmp - /tmp/w/answer"""
TWINS = """cairn daemon --disable-deduplication --listen /run/twins.socket 2>/tmp/twins.log & d=$!
n=0; until [ -S /run/twins.socket ]; do n=$((n+1)); [ $n -lt 600 ] || exit 1; usleep 100000; done
cairn store add --socket /run/twins.socket /tmp/w/twin /tmp/w/twin-tree; s=$?; kill $d; wait $d; exit $s"""

# The log of the database is put into the database when it has 1000 pages, which is to happen in what is recorded.
FILL = f"""i=0; until [ $(stat -c %s {STATE}/db/db.sqlite-wal 2>/dev/null || echo 0) -ge 3900000 ]; do i=$((i+1)); [ $i -lt 2000 ] || exit 1
echo $i >/tmp/w/fill; cairn store add --name fill-$i /tmp/w/fill >/dev/null || exit 1; done; sync"""


def operations(top):
    """(name, command, whether it is one transaction, whether it is on the disk when it is reported)."""
    return [
        ("add a file", f"cairn store add --link {KEPT}file /tmp/w/file", True, True),
        ("add trees", "cairn store add /tmp/w/small /tmp/w/tree", False, False),
        ("build", f"cairn build -q -r {KEPT}build -f /tmp/w/build.lua", False, True),
        ("import", "cairn archive --import </tmp/w/bundle", False, True),
        ("substitute", f"cairn store realise --substitute-urls file:///tmp/w/cache {top}", False, True),
        ("twins", TWINS, False, False),
        ("optimise", OPTIMISED, True, True),
        ("new store", f"cairn store add --root {NEW} /tmp/w/small", True, True),
        ("collect", "cairn store gc", True, True),
    ]


# ---- what the machine gets -----------------------------------------------------------------------


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def trees(w):
    """Of a few files, which are waited for one by one, and of many."""
    rng = random.Random(cuts.SEED)
    one = rng.randbytes(100000)
    write(w + "/file", one)
    write(w + "/twin", one)
    for i in range(3):
        write(f"{w}/small/{i}", rng.randbytes(20000 * i + 7))
    for i in range(24):
        write(f"{w}/tree/{i % 3}/{i}", rng.randbytes(rng.choice([10, 5000, 30000])))
    write(w + "/tree/again", one)
    os.symlink("0/" + "x" * 80, w + "/tree/link")
    os.chmod(w + "/tree/0/0", 0o755)
    shutil.copytree(w + "/tree/0", w + "/twin-tree")


def origin(w, directory):
    """Another store, of which there is a bundle and a cache; returns what is to be had from the cache."""
    def run(*argv, **more):
        return subprocess.run([os.environ["CAIRN"], *argv, "--root", directory], check=True, stdout=subprocess.PIPE, **more).stdout

    def items(kind):
        paths = []
        for i in range(2):
            write(f"{w}/{kind}{i}/x", random.Random(f"{kind} {i}").randbytes(60000))
            paths.append(run("store", "add", f"{w}/{kind}{i}").decode().strip())
            shutil.rmtree(f"{w}/{kind}{i}")
        write(w + "/top", "\n".join(paths).encode())
        top = run("store", "add", "--name", kind, "--text", *[x for p in paths for x in ("--reference", p)], w + "/top")
        return top.decode().strip(), paths

    run("archive", "--generate-key")
    shutil.copy(directory + "/etc/guix/signing-key.pub", w + "/key")
    write(w + "/bundle", run("archive", "--export", "-r", items("bundled")[0]))
    top, paths = items("cached")
    cache(w + "/cache", directory, [top, *paths])
    return top


def cache(out, root, paths):
    """The files of a cache, as a server gives them."""
    with subprocess.Popen([os.environ["CAIRN"], "publish", "--root", root, "--listen", "127.0.0.1", "--port", "0", "-C", "zstd"],
                          stderr=subprocess.PIPE, text=True) as server:
        try:
            port = next(filter(None, (re.search(r"port=(\d+)", line) for line in server.stderr)))[1]
            threading.Thread(target=server.stderr.read, daemon=True).start()
            for path in paths:
                base = os.path.basename(path)
                for name in "nix-cache-info", base[:32] + ".narinfo", "nar/zstd/" + base:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
                        write(f"{out}/{name}", answer.read())
        finally:
            server.kill()


class Guest:
    """The operations, on a machine that is recorded."""

    def __init__(self, directory, fill=False):
        """Makes the disk with all that they need. fill: have many additions before."""
        self.fill = fill
        w = os.path.join(directory, "w")
        os.makedirs(w)
        trees(w)
        self.operations = operations(origin(w, os.path.join(directory, "origin")))
        write(w + "/build.lua", BUILD.encode())
        write(w + "/session", wire.u64(0x6e697863, 0x164, 0, 0, OPTIMISE))
        write(w + "/answer", wire.u64(wire.LAST, 1))
        subprocess.run(["gcc", "-static", "-O1", "-o", w + "/nosync", os.path.join(os.environ["SRC"], "tests/vm/nosync.c")],
                       check=True)
        self.disk = os.path.join(directory, "w.raw")
        with tarfile.open(self.disk, "w", format=tarfile.USTAR_FORMAT) as tar:
            tar.add(w, "w")
        shutil.rmtree(w)
        self.windows, self.controls = [], []

    def drive(self):
        return medium.drive("w", self.disk, serial="cuts", addr="0x1c")

    def run(self, m, now):
        """In the machine m; now() is the number of entries in the log."""
        m.check("d=$(grep -lx cuts /sys/block/vd*/serial); d=${d#/sys/block/}; tar x -f /dev/${d%%/*} -C /tmp && "
                "cairn archive --authorize </tmp/w/key && sync")
        if self.fill:
            m.check(FILL, 900)
        for name, command, _one, _durable in self.operations:
            begin = now()
            said = m.check(command, 900)
            end = now()
            # What has been added may become valid a moment later; who asks for it waits.
            made = re.findall(rf"(?m)^{STORE}/\S+$", said) if name not in ("new store", "collect") else []
            m.check((f"cairn store query {' '.join(made)} && " if made else "") + "sync")
            self.windows.append((name, begin, end, now()))
        self.control(m, now)

    def control(self, m, now):
        """The same without a wait for the disk, which then gets first what a store must write last."""
        for command in (
                # Rows without files: the database is written, the files are not.
                f"/tmp/w/nosync cairn store add --root / /tmp/w/small && for f in db.sqlite db.sqlite-wal; do "
                f"dd if=/dev/null of={STATE}/db/$f oflag=append conv=notrunc,fsync; done",
                # And rows whose files are gone: names are removed from the disk, the database is not written.
                "/tmp/w/nosync cairn store gc --root / && echo x >/root/x && dd if=/dev/null of=/root/x oflag=append conv=notrunc,fsync"):
            m.check("sync")
            begin = now()
            m.check(command)
            self.controls.append((begin, now()))


def record(image, directory):
    """One boot of a machine for them alone; returns the guest and the log of its disk."""
    guest, log = Guest(directory, fill=True), os.path.join(directory, "log")
    with vm.VM(image, os.path.join(directory, "vm"), write_log=log, extra=guest.drive()) as m:
        m.start()
        m.login()
        vm.settled(m)
        guest.run(m, lambda: len(powercut.Log(log).entries))
    return guest, log


# ---- what must be true --------------------------------------------------------------------------


def nar(path):
    """The archive of a tree, in pieces; the tree must be canonical."""
    def node(path):
        canonical(path)
        yield wire.s("(") + wire.s("type")
        if os.path.islink(path):
            yield wire.s("symlink") + wire.s("target") + wire.s(os.readlink(path))
        elif os.path.isdir(path):
            yield wire.s("directory")
            for name in sorted(os.listdir(path)):
                yield wire.s("entry") + wire.s("(") + wire.s("name") + wire.s(name) + wire.s("node")
                yield from node(os.path.join(path, name))
                yield wire.s(")")
        else:
            with open(path, "rb") as f:
                more = wire.s("executable") + wire.s("") if os.stat(path).st_mode & 0o100 else b""
                yield wire.s("regular") + more + wire.s("contents") + wire.s(f.read())
        yield wire.s(")")

    yield wire.s("nix-archive-1")
    yield from node(path)


class Database:
    """What a store's database says, of a copy."""

    def __init__(self, directory):
        with sqlite3.connect(os.path.join(directory, "db.sqlite")) as db:
            fine = db.execute("pragma integrity_check").fetchall()
            cuts.need(f"the database is damaged: {fine[:3]}", fine == [("ok",)])
            self.valid = {path: (value, size) for path, value, size in db.execute("select path, hash, narSize from ValidPaths")}
            lost = db.execute("select referrer, reference from Refs where reference not in (select id from ValidPaths) or "
                              "referrer not in (select id from ValidPaths)").fetchall()
        db.close()
        cuts.need(f"references to what is not valid: {lost[:3]}", not lost)


def canonical(path):
    """Nobody may write, and all is of one time, which is no part of an archive. Of a link debugfs gives only the text."""
    st = os.lstat(path)
    cuts.need(f"{path}: mode {st.st_mode & 0o7777:o}, time {st.st_mtime}",
              os.path.islink(path) or (st.st_mtime == 1 and st.st_mode & 0o7777 in (0o444, 0o555)))


def whole(tree, path, hash_and_size):
    """An item is as it was when it became valid."""
    cuts.need(f"{path} is valid, and not there", os.path.lexists(tree + path))
    digest, size = hashlib.sha256(), 0
    for piece in nar(tree + path):
        digest.update(piece)
        size += len(piece)
    cuts.need(f"{path} is valid, and has other contents", ("sha256:" + digest.hexdigest(), size) == hash_and_size)


def rooted(tree, valid):
    """Links that keep an item, also through a second link, keep one that is valid."""
    for directory in "/gcroots", "/profiles":
        for link in (os.path.join(at, name) for at, dirs, files in os.walk(tree + STATE + directory) for name in dirs + files):
            target = os.readlink(link) if os.path.islink(link) else ""
            if target.startswith(STATE + "/profiles/") and os.path.islink(tree + target):
                target = os.readlink(tree + target)
            if target.startswith(STORE + "/"):
                item = "/".join(target.split("/")[:4])
                cuts.need(f"{link[len(tree):]} is a root and keeps {item}, which is not valid", item in valid)


def begun(root):
    """A store of which perhaps only a part was made goes on."""
    if os.path.exists(root):
        cuts.tool(os.environ["CAIRN"], "store", "verify", "--root", root)
        cuts.tool(os.environ["CAIRN"], "store", "add", "--root", root, os.path.abspath(__file__))
        cuts.tool(os.environ["CAIRN"], "store", "verify", "--root", root)


class Stores(cuts.Recorded):
    """guest: what was run, and when; the machine's disk was image, and its log is log."""
    sample = False  # look closely only at what is there after an operation

    def __init__(self, image, log, guest, directory):
        self.guest = guest
        super().__init__(image, log, guest.windows[0][1], [settled for *_, settled in guest.windows], directory)
        del self.log.entries[self.marks[-1]:]
        self.states = []  # what was valid before, and after each operation
        self.at_marks([self.begin, *self.marks], lambda: self.states.append(self.found(everything=not self.states)))
        for (name, *_), before, after in zip(guest.windows, self.states, self.states[1:]):
            cuts.need(f"'{name}' changed nothing", before != after or name in ("optimise", "new store"))

    def found(self, everything=False):
        """The valid paths; all that must be true in any case is. Unless everything is read, items from before the operations are
        taken to be as they were."""
        top = os.path.join(self.directory, "look")
        wanted = [STATE, *([STORE] if everything else [])]
        root = cuts.Root(self.work, top, wanted, keep=not everything)
        copy = os.path.join(top, "db")
        shutil.copytree(root.tree + STATE + "/db", copy)
        valid = Database(copy).valid
        old = {} if everything else self.states[0]
        if not everything:
            root.extract([NEW, *[path for path in sorted(valid) if path not in old]])
            begun(root.tree + NEW)
        for path, value in valid.items():
            if path not in old:
                whole(root.tree, path, value)
        rooted(root.tree, valid)
        shutil.rmtree(top)
        return valid

    def look(self, at):
        """The operation that was cut, and what is seen of it."""
        n = next(i for i, (*_, settled) in enumerate(self.guest.windows) if at <= settled)
        name, _begin, end, _settled = self.guest.windows[n]
        _name, _command, one, durable = self.guest.operations[n]
        before, after = set(self.states[n]), set(self.states[n + 1])
        now = set(self.found(everything=name in ("optimise", "collect")))
        cuts.need(f"{name}: no longer valid: {sorted((before & after) - now)}", before & after <= now)
        cuts.need(f"{name}: valid, and nobody made it: {sorted(now - before - after)}", now <= before | after)
        state = "before" if now == before else "after" if now == after else "part"
        cuts.need(f"{name}: a part of it is seen: {sorted(now ^ before)}", not (one and state == "part"))
        cuts.need(f"{name}: it was reported as done, and is not seen", not (durable and at >= end and now != after))
        outputs = [p for p in now if re.search(r"-cut(-lib|-doc)?$", p)]
        cuts.need(f"some outputs of a build: {outputs}", len(outputs) in (0, 3) or name == "collect")
        return f"{name}: {state}"

    def examine(self, _at, kind):
        """Everything, as the programs of the store see it; they go on with it."""
        if self.sample and kind.endswith(": before"):
            return kind
        root = self.root()
        root.verify()
        cairn, tree = os.environ["CAIRN"], root.tree
        cuts.tool(cairn, "store", "gc", "--root", tree)
        again = cuts.tool(cairn, "store", "add", "--root", tree, os.environ["SRC"] + "/lib").strip()
        root.verify()
        valid = Database(tree + STATE + "/db").valid
        cuts.need("what is added then is not valid", again in valid)
        left = {STORE + "/" + name for name in os.listdir(tree + STORE)} - set(valid) - {STORE + "/.links"}
        left = {path for path in left if not os.path.basename(path).startswith(".tmp-link-")}
        cuts.need(f"a collection left {sorted(left)[:5]}", not left)
        rooted(tree, valid)
        return kind

    def controls(self, image, log):
        """What is found where nothing waited for the disk."""
        found = []
        for begin, end in self.guest.controls:
            c = Control(image, log, begin, [end], os.path.join(self.directory, "control"))
            found.append(c.fault())
        return found


class Control(cuts.Recorded):
    def fault(self):
        del self.log.entries[self.marks[0]:]
        replay = self.replay()
        replay.advance(self.marks[0])
        try:
            top = os.path.join(self.directory, "look")
            root = cuts.Root(self.work, top, [STATE, STORE])
            for path, value in Database(root.tree + STATE + "/db").valid.items():
                whole(root.tree, path, value)
        except vm.Failure as why:
            return str(why)
        finally:
            replay.disk.close()
        raise vm.Failure("a store that does not wait for the disk is not found to be broken")
