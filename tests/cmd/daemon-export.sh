#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# ExportPath and ImportPaths between two daemons: nothing comes in that a trusted key has not signed, and nothing goes out changed.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import os, re, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

tmp = os.environ["TMP"]
a, b = Daemon(tmp + "/a").wait(), Daemon(tmp + "/b").wait()
ca, cb = a.conn(), b.conn()
q = "58239E212347D5D1C1AB14410DED63A810A37E061241C6E2FCF2EEF1890705CB"  # a pair of keys for tests alone
public = "(public-key (ecc (curve Ed25519) (q #%s#)))" % q
secret = "(private-key (ecc (curve Ed25519) (q #%s#) (d #5FCFA7011CD9CFA61B7DC3903D5B1E5A6A5A5D298C38A6538424F649DE2E87D0#)))" % q


def conf(d, name, text, mode=0o644):
    os.makedirs(d.root + "/etc/guix", exist_ok=True)
    with open(d.root + "/etc/guix/" + name, "w") as f:
        f.write(text)
    os.chmod(d.root + "/etc/guix/" + name, mode)


def text(c, name, contents, refs=()):
    assert c.ask(u64(8), s(name), s(contents), strings(refs)) is None
    return c.str().decode()


def export(c, path, sign=1):
    e = c.ask(u64(16), s(path), u64(sign))
    return e or (c.num() == 1 and c.got)


def bundle(*parts):
    return b"".join(u64(1) + x for x in parts) + u64(0)


def take(data, c=None):
    c = c or cb
    e = c.ask(u64(27), feed=data)
    return e or c.list()


def valid(path):
    assert cb.ask(u64(1), s(path)) is None
    return cb.num() == 1


one = text(ca, "one", "first\n")
two = text(ca, "two", "refers to %s and %s\n" % (one, one), [one])
e = export(ca, one)
ok("no key, no signature", isinstance(e, str) and "signing-key.sec" in e, e)
conf(a, "signing-key.sec", secret, 0o644)
e = export(ca, one)
ok("a key that others can read is none", isinstance(e, str) and "signing-key.sec" in e, e)
conf(a, "signing-key.sec", secret, 0o400)
x1, x2 = export(ca, one), export(ca, two)
body = file_nar("first\n") + u64(0x4558494E) + s(one) + strings([]) + s("")
ok("an item as it must be", isinstance(x1, bytes) and x1.startswith(body + u64(1)), x1)
hash = hashlib.sha256(body).hexdigest().upper().encode()
ok("the signature is of all that comes before", isinstance(x1, bytes) and b"#" + hash + b"#" in re.sub(rb"\s", b"", x1[len(body) + 16:]), x1)
ok("the same bytes again", export(ca, one) == x1)
ok("an invalid path", "not valid" in export(ca, STORE + "/" + "0" * 32 + "-no"))

# ---- trust ----
e = take(bundle(x1))
ok("who trusts nobody takes nothing", isinstance(e, str) and one in e and not valid(one), e)
conf(b, "acl", "(acl (entry %s (tag (guix import))))" % public.replace("58239E", "68239E"))
e = take(bundle(x1))
ok("nor who trusts another", isinstance(e, str) and not valid(one), e)
conf(b, "acl", "(acl (entry %s (tag (something else))))" % public)
e = take(bundle(x1))
ok("nor for another purpose", isinstance(e, str) and not valid(one), e)
conf(b, "acl", "(acl (entry %s (tag (guix import))))" % public)
unsigned = export(ca, one, 0)
e = take(bundle(unsigned))
ok("unsigned", isinstance(e, str) and "lacks a signature" in e and not valid(one), e)
for name, data in [
    ("another file", x1.replace(b"first\n", b"other\n")),
    ("another name", x1.replace(b"-one", b"-two")),
    ("a deriver that was not signed", x1.replace(s(""), s(STORE + "/" + "0" * 32 + "-x.drv"), 1)),
    ("a signature of something else", body + x2[len(x2) - (len(x1) - len(body)):]),
    ("no facts", file_nar("x") + u64(0) * 9),
    ("a path elsewhere", file_nar("x") + u64(0x4558494E) + s("/etc/passwd") + strings([]) + s("") + x1[len(body):]),
    ("a signature that is none", body + u64(1) + s("(signature)")),
    ("noise as a signature", body + u64(1) + s(b"\0\xff((((")),
    ("a long path", file_nar("x") + u64(0x4558494E, 1 << 40)),
    ("a long list", file_nar("x") + u64(0x4558494E) + s(one) + u64(1 << 40)),
    ("a long signature", body + u64(1, 1 << 40)),
    ("padding", file_nar("x") + u64(0x4558494E, 1) + b"abbbbbbb"),
    ("no archive", s("nix-archive-7") + body),
    ("an end", x1[: len(body) - 3]),
    ("nothing", b""),
]:
    e = take(bundle(data) if data else b"")
    ok("refused: " + name, isinstance(e, str) and not valid(one), e)
e = take(u64(7) + x1)
ok("refused: no bundle", isinstance(e, str) and "bundle" in e and not valid(one), e)
e = take(bundle(x2))
ok("a reference that is not here", isinstance(e, str) and "not valid" in e and not valid(two), e)
ok("nothing is left of all that", not [x for x in os.listdir(b.root + STORE) if not x.startswith(".")], os.listdir(b.root + STORE))

# ---- taken ----
ok("what is signed is taken", take(bundle(x1, x2)) == [one, two] and valid(one) and valid(two))
ok("with its references", cb.ask(u64(5), s(two)) is None and cb.list() == [one])
ok("and its bytes", open(b.root + two).read() == open(a.root + two).read())
ok("again", take(bundle(x2, x1)) == [two, one])
ok("none", take(u64(0)) == [])
many = [text(ca, "many%d" % i, "x" * i * 777) for i in range(40)]
ok("many", take(bundle(*(export(ca, p) for p in many))) == many and all(map(valid, many)))
drv = Drv("made", "/bin/sh").add(ca)
ok("a derivation", take(bundle(export(ca, drv.path))) == [drv.path] and cb.ask(u64(22), s(drv.path)) is None and cb.list() == [drv.out])

# ---- what changed on disk ----
os.chmod(a.root + one, 0o644)
with open(a.root + one, "w") as f:
    f.write("FIRST\n")
e = export(ca, one)
ok("a changed item does not go out", isinstance(e, str) and "has changed" in e and ca.ask(u64(1), s(one)) is None and ca.num() == 1, e)
ok("the daemons end", a.stop() == 0 and b.stop() == 0)
finish()
E
