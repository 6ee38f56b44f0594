#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Derivations that mean harm, by the names of their attacks: refused when they are added, or by themselves.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
exec python3 - <<'E'
import os, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

tmp = os.environ["TMP"]
d = Daemon(tmp + "/root").wait()
c = d.conn()


def add(text, refs=(), name="x.drv"):
    """The error, or None and the path in `added`."""
    global added
    e = c.ask(u64(8), s(name), s(text), strings(refs))
    added = None if e else c.str().decode()
    return e


def alive():
    return c.ask(u64(1), s(STORE + "/" + "0" * 32 + "-x")) is None and c.num() == 0


good = Drv("x", "/bin/sh", args=["-c", "a\"b\\c\nd\te\r\u00e9"], env={"v": "\\n"})
ok("DRV-01 a good one", add(good.text) is None and added == good.path and open(d.root + added).read() == good.text)
t = good.text
for name, text in [
    ("nothing", ""), ("another name", t.replace("Derive", "derive")), ("a version", t.replace("Derive(", "DrvWithVersion(\"x\",")),
    ("an end", t[:-1]), ("an open string", t[: t.index("/bin/sh") + 3]), ("a comma", t.replace(",", "", 1)), ("another comma", t.replace("],[", "],,[", 1)),
    ("a blank", t.replace("Derive(", "Derive( ", 1)), ("more", t + " "), ("a line end", t + "\n"), ("a line end of Windows", t.replace("],[", "],\r\n[", 1)),
    ("a NUL", t.replace("/bin/sh", "/bin/\0sh")), ("an escape", t.replace("\\\\c", "\\xc")), ("an escape at the end", t[: t.index("\\") + 1]),
    ("twice", t + t), ("a list in a list", t.replace("[]", "[[]]", 1)), ("no list", t.replace("[]", "\"\"", 1)),
]:
    e = add(text)
    ok("DRV-01 broken: " + name, e and "x.drv" in e and alive(), e)

other = Drv("other", "/bin/sh")
fixed = Drv("fixed", "/bin/sh", fixed=("sha256", "0" * 64))
for name, text in [
    ("of another derivation", good.text.replace(good.out, other.out)),
    ("of a fixed one", good.text.replace(good.out, fixed.out)),
    ("of a fixed one, claimed by another hash", fixed.text.replace("0" * 64, "1" * 64)),
    ("of a source", good.text.replace(good.out, STORE + "/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt")),
    ("outside the store", good.text.replace(good.out, "/etc/passwd")),
    ("in its variable alone", good.text.replace("(\"out\",\"%s\")" % good.out, "(\"out\",\"%s\")" % other.out)),
    ("none", good.text.replace(good.out, "")),
]:
    e = add(text)
    ok("DRV-03 claims the output " + name, e and alive(), e)
src = add("x", name="s") or added
dep = Drv("dep", "/bin/sh").add(c)
two = Drv("two", "/bin/sh", env={"k": "v"}, sources=[src], inputs=[dep], outputs=["out", "lib"])
t = two.text
ok("DRV-05 a good one", add(t, two.refs, "two.drv") is None and added == two.path)
out = t[t.index("[(") + 1 : t.index("),") + 1]
for name, text in [
    ("a variable", t.replace("(\"k\",\"v\")", "(\"k\",\"v\"),(\"k\",\"w\")")),
    ("the same variable", t.replace("(\"k\",\"v\")", "(\"k\",\"v\"),(\"k\",\"v\")")),
    ("an output", t.replace(out, out + "," + out, 1)),
    ("an input", t.replace("(\"%s\",[\"out\"])" % dep.path, "(\"%s\",[\"out\"]),(\"%s\",[\"out\"])" % (dep.path, dep.path))),
    ("an input's output", t.replace("[\"out\"])]", "[\"out\",\"out\"])]")),
    ("a source", t.replace("\"%s\"" % src, "\"%s\",\"%s\"" % (src, src), 1)),
]:
    e = add(text, two.refs, "two.drv")
    ok("DRV-05 twice: " + name, e and alive() if text != t else False, (e, text == t))
e = add(t.replace("[\"out\"])]", "[])]"), two.refs, "two.drv")
ok("DRV-05 an input without outputs", e and alive(), e)
left = [x for x in os.listdir(d.root + STORE) if x[0] != "." and not x.endswith(".lock")]
ok("nothing of that is in the store", len(left) == 4, left)
ok("the daemon ends", d.stop() == 0)
finish()
E
