#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What somebody who is not trusted (a client over TCP) may add to a store of Nix's family: what a trusted key signed, and no more.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
cd "$SRC/tests/cmd" || exit 1
PYTHONDONTWRITEBYTECODE=1 exec python3 - "$TMP" <<'EOF'
import hashlib, sys
sys.path.insert(0, ".")
import wire
from wire import *

tmp = sys.argv[1]
port = tcp_address()[1]
# Key and signature are nix 2.8's.
KEY = "test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw="
SIG = "test-1:SAXK6y2fIRKniObn8hAiP1KYb+bsBS2bd9tKvXIwFosLZQjaarvCa1eQcyeVwn7uZo1tDCTxOSgxDdeWL6DrCQ=="
SRC = "/nix/store/86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt"
REF = "/nix/store/xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt"
nar = file_nar(b"refers to " + SRC.encode() + b"\n")
good = hashlib.sha256(nar).hexdigest()
d = Daemon(tmp + "/d", "--dialect=nix", "--listen", tmp + "/d/socket", "--listen", "127.0.0.1:%d" % port,
           "--trusted-public-keys", KEY).wait(("127.0.0.1", port))
c = Conn(("127.0.0.1", port), version=0x115)
assert c.ask(u64(8), s("src.txt"), s("source\n"), strings([])) is None and c.str().decode() == SRC


def add(path=REF, hash=good, refs=(SRC,), size=len(nar), sigs=(SIG,), ca="", unchecked=0, data=nar):
    return c.ask(u64(39), s(path), s(""), s(hash), strings(refs), u64(0, size, 0), strings(sigs), s(ca), u64(0, unchecked), feed=data)


def valid(path):
    return c.ask(u64(1), s(path)) is None and c.num() == 1


for name, change in [
    ("nothing signed", {"sigs": ()}),
    ("another key", {"sigs": (SIG.replace("test-1", "test-2"),)}),
    ("another signature", {"sigs": (SIG.replace("SAXK", "SAXL"),)}),
    ("another path", {"path": REF.replace("xa29", "xb29")}),
    ("another hash", {"hash": "0" * 64}),
    ("another size", {"size": len(nar) + 8}),
    ("no size", {"size": 0}),
    ("no references", {"refs": ()}),
    ("more references", {"refs": (SRC, REF)}),
    ("a content address that is none of it", {"sigs": (), "ca": "text:sha256:" + "0" * 52}),
    ("not to be checked", {"sigs": (), "unchecked": 1}),
]:
    e = add(**change)
    ok("SUB-13 refused: " + name, e and "lacks a valid signature" in e and not valid(REF), e)
e = add(data=nar.replace(b"refers", b"Refers"))
ok("SUB-13 refused: other contents", e and not valid(REF), e)
c = Conn(("127.0.0.1", port), version=0x115)
# `cairn publish` writes them into lines
for name, sig in ("a line end", "other-1:AAAA\nURL: x"), ("a blank", "other-1:AA AA"), ("no name", ":AAAA"), ("no key", "other-1"):
    e = add(sigs=(sig, SIG))
    ok("SUB-13 refused: a signature with " + name, e and "is no signature" in e and not valid(REF), e)
c = Conn(("127.0.0.1", port), version=0x115)
e = add(sigs=("other-1:AAAA", SIG))
ok("what is signed is added", e is None and valid(REF), e)

# What anybody may add, as its path follows from the contents; who begins with it and goes no further keeps nobody waiting.
nar = file_nar(b"anybody's\n")
hashed = hashlib.sha256(nar)
ca = "fixed:r:sha256:" + base32(hashed.digest())
wire.STORE = "/nix/store"
path = store_path("source", hashed.hexdigest(), "anybody")
slow = Conn(("127.0.0.1", port), version=0x115)
slow.send(u64(39) + s(path) + s("") + s(hashed.hexdigest()) + strings([]) + u64(0, len(nar), 0) + strings([]) + s(ca) + u64(0, 0))
assert slow.num() == READ and slow.num() > 40
slow.send(s(nar[:40]))
c.c.settimeout(50)  # before the daemon gives the silent one up
try:
    e = add(path=path, hash=hashed.hexdigest(), refs=(), size=len(nar), sigs=(), ca=ca, data=nar)
except OSError as x:
    e = x
ok("WP-10 an addition that pauses keeps nobody waiting", e is None and valid(path), e)
e = slow.end(nar[40:])
ok("WP-10 and can go on", e is None, e)
d.stop()
finish()
EOF
