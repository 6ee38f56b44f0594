#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The replay of power cuts (tests/vm/powercut.py) on logs made here: what it must be able to leave, what it must never
# leave, and a program that forgot a flush, which it must find.
exec python3 - <<'END'
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/vm"))
import powercut as p

os.chdir(os.environ["TMP"])
S, DISK = 512, 64
failed = 0
number = 0


def ok(name, good):
    global failed, number
    number += 1
    failed |= not good
    print(("ok" if good else "not ok"), number, "-", name)


def entry(sector, text, flags=0, sectors=1):
    """Sectors that all hold the text."""
    head = struct.pack("<QQQQ", sector, sectors if text else 0, flags, 0).ljust(S, b"\0")
    return head + (text.encode().ljust(S, b".") * sectors if text else b"")


def log(*entries, count=None, magic=p.MAGIC):
    with open("log", "wb") as f:
        f.write(struct.pack("<QQQL", magic, 1, count or 0, S).ljust(S, b"\0") + b"".join(entries))
    return "log"


def disk():
    with open("disk", "wb") as f:
        f.truncate(S * DISK)


def sector(n):
    with open("disk", "rb") as f:
        return f.read()[n * S:(n + 1) * S].rstrip(b".\0").decode()


def states(sectors, subsets=200, **more):
    """All contents of those sectors that cuts of the log left."""
    disk()
    r = p.Replay("disk", p.Log("log"))
    found = set()
    for _name, _at in r.cuts(0, len(r.log.entries), subsets, 1, **more):
        found.add(tuple(sector(n) for n in sectors))
    r.disk.close()
    return found


flush = entry(0, "", p.FLUSH)
log(entry(1, "a"), entry(2, "b"), flush, entry(3, "c"))
ok("any set before the flush, all after it", states([1, 2, 3]) ==
   {("", "", ""), ("a", "", ""), ("", "b", ""), ("a", "b", ""), ("a", "b", "c")})
log(entry(1, "a"), flush, entry(1, "b"), entry(1, "c"), flush)
ok("the newer write stays on top", states([1]) == {("",), ("a",), ("b",), ("c",)})
disk()
r = p.Replay("disk", p.Log("log"))
r.advance(5)
ok("all flushed: the last one", sector(1) == "c" and not r.pending)
log(entry(1, "a"), entry(2, "f", p.FUA), entry(3, "c"))
found = states([1, 2, 3])
ok("FUA is there, the write before it need not be", ("", "f", "") in found and ("a", "f", "c") in found and
   ("", "", "c") not in found)
log(entry(1, "a"), entry(1, "f", p.FUA), flush)
ok("an older write does not come over FUA", {s for s in states([1]) if s[0]} <= {("f",), ("a",)} and sector(1) == "f")
log(entry(1, "a", p.FLUSH), entry(2, "b"))
ok("a flush with data is a flush before it", ("", "b") in states([1, 2]))
log(entry(1, "t", sectors=4))
found = states([1, 2, 3, 4])
ok("torn at any sector", ("t", "", "", "") in found and ("", "t", "", "t") in found and ("t",) * 4 in found)
log(entry(9, "m", p.DISCARD), entry(1, "a"), count=7)
# What follows a discard's head is the next entry: it has no data.
with open("log", "rb") as f:
    text = f.read()
with open("log", "wb") as f:
    f.write(text[:2 * S] + text[3 * S:])
ok("discards are left out", states([1, 9]) == {("", ""), ("a", "")})

# Reproducible, and the disk is put back after each.
log(*[entry(n, f"w{n}") for n in range(20)], flush)
disk()
first = [n for n, _ in p.Replay("disk", p.Log("log")).cuts(0, 21, 5, 7)]
disk()
ok("the same seed, the same cuts", first == [n for n, _ in p.Replay("disk", p.Log("log")).cuts(0, 21, 5, 7)])
disk()
r = p.Replay("disk", p.Log("log"))
for _name, at in r.cuts(0, 20, 20, 1):
    pass
ok("what a set changed is put back", not any(sector(n) for n in range(20)))


# A file is written, then a pointer to it. Without a flush in between the pointer may name what is not there.
def broken(found):
    return [s for s in found if s[1] == "1" and s[0] != "data"]


log(entry(5, "data"), flush, entry(6, "1"), flush)
ok("data, flush, pointer: safe", not broken(states([5, 6])))
log(entry(5, "data"), entry(6, "1"), flush)
ok("the forgotten flush is found", broken(states([5, 6])))
log(entry(6, "1"), flush, entry(5, "data"), flush)
ok("the wrong order is found at a flush, without sets", broken(states([5, 6], subsets=0)))
log(entry(5, "data", sectors=3), entry(4, "x"), flush, entry(6, "1"), flush)
ok("a whole write of three sectors, then the pointer: safe", not [s for s in states([5, 7, 6]) if s[2] == "1" and s[:2] != ("data", "data")])


def refused(path):
    try:
        p.Log(path)
    except p.Bad:
        return True
    return False


open("empty", "wb").close()
ok("an empty file is refused", refused("empty"))
ok("another magic is refused", refused(log(entry(1, "a"), magic=1)))
log(entry(1, "a", 32))
ok("impossible flags are refused", refused("log"))
log(entry(1, "a"), entry(2, "b"))
os.truncate("log", 4 * S)
ok("an entry that is not complete is left out", len(p.Log("log").entries) == 1)
os.truncate("log", S * 4 + 100)
ok("a head that is not complete is left out", len(p.Log("log").entries) == 1)
print(f"1..{number}")
sys.exit(failed)
END
