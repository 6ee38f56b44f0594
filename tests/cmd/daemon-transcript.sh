#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A session with the daemon, byte for byte: tests/cmd/daemon-guix.wire.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import os, re, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

tags = dict(LAST=LAST, ERROR=ERROR, NEXT=NEXT, READ=READ, WRITE=WRITE)
drv = Drv("d", "/bin/sh", outputs=["out", "lib"])
text = open(os.environ["SRC"] + "/tests/cmd/daemon-guix.wire").read().replace("\\\n", " ")
d = Daemon(os.environ["TMP"] + "/root").wait()
c = d.conn(hello=False)


def words(line):
    return re.findall(r'"(?:[^"\\]|\\.)*"|BYTES\(|\)|[^\s()]+', line)


def encode(w):
    if w == "DRV":
        return s(drv.text)
    if w[0] == '"':
        return s(w[1:-1].replace("\\n", "\n"))
    return u64(tags[w] if w in tags else int(w, 0))


def expand(ws):
    """The words with BYTES(…) as one string of bytes."""
    out = []
    while ws:
        w = ws.pop(0)
        if w == "BYTES(":
            b = b""
            while ws[0] != ")":
                b += encode(ws.pop(0))
            ws.pop(0)
            out.append(s(b))
        else:
            out.append(w)
    return out


def expect(w):
    """The bytes that do not fit, or None."""
    if w == "TIME":
        return None if c.num() > 0 else "no time"
    if w == "TEXT":
        c.str()
        return None
    if w == "END":
        return None if c.closed() else "open"
    want = w if isinstance(w, bytes) else encode(w)
    got = c.get(len(want))
    return None if got == want else (want, got)


name, good, note = None, True, ""
for line in text.split("\n") + [": "]:
    if line[:1] == ":":
        if name is not None:
            ok(name, good, note)
        name, good = line[2:], True
    if line[:1] == ">":
        c.send(b"".join(w if isinstance(w, bytes) else encode(w) for w in expand(words(line[1:]))))
    if line[:1] == "<":
        try:
            for w in expand(words(line[1:])):
                wrong = expect(w) if good else None
                if wrong:
                    good, note = False, (line, w, wrong)
        except (Closed, OSError) as e:
            good, note = False, (line, repr(e))
    if not good:
        break
ok("to its end", good, note)
ok("the daemon ends", d.stop() == 0)
finish()
E
