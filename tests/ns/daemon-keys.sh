#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Variables of derivations that mean something to the daemon: each row of the table in store/format/dialect.c, in both dialects.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v busybox >/dev/null || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
exec python3 - <<'E'
import os, re, shutil, sys

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
import wire
from wire import *

tmp, busybox = os.environ["TMP"], shutil.which("busybox")
os.environ.update(CAIRN_TEST_IMPURE="from outside", LD_CAIRN_TEST="evil")
tested = set()


class Store:
    def __init__(self, dialect):
        self.dialect = dialect
        wire.STORE = "/gnu/store" if dialect == "guix" else "/nix/store"
        self.d = Daemon(tmp + "/" + dialect, "--dialect=" + dialect, "-M", "2").wait()
        self.c = self.d.conn()
        self.sh = Shell(self.c, busybox)
        self.dep, self.dep2 = [self.text(n) for n in ("dep", "dep2")]
        self.far = self.text("far", [self.dep2])  # what refers to dep2

    def text(self, name, refs=()):
        assert self.c.ask(u64(8), s(name), s(name + "\n".join(refs)), strings(refs)) is None
        return self.c.str().decode()

    def build(self, name, script, env=(), sources=None, **more):
        """The contents of out, or an error in a list."""
        drv = self.sh.drv(name, script, env, [self.dep, self.far] if sources is None else sources, **more)
        e = self.c.ask(u64(9), strings([drv.path]), u64(0))
        if e:
            return [e]
        self.c.num()
        self.drv = drv
        return open(self.d.root + drv.out).read()

    def row(self, key, what, good, note=""):
        tested.add(key)
        ok("%s: %s: %s" % (self.dialect, key, what), good, note)


for dialect in ("guix", "nix"):
    st = Store(dialect)
    nix = st.dialect == "nix"
    dep, dep2, far = st.dep, st.dep2, st.far
    write = "echo %s >$out" % far  # refers to far, and by way of that to dep2
    error = lambda got, text: isinstance(got, list) and text in got[0]

    for key, cases in {
        "allowedReferences": [("a", far, True), ("b", dep2 + " " + dep, False), ("c", "", False), ("d", "out " + far + "\n", True), ("e", "nonsense", None)],
        "disallowedReferences": [("a", far, False), ("b", dep2, True), ("c", "", True), ("d", "out", True), ("e", "/etc", None)],
        "allowedRequisites": [("a", far, False), ("b", far + " " + dep2, True), ("c", "", False)],
        "disallowedRequisites": [("a", dep2, False), ("b", far, False), ("c", dep, True)],
    }.items():
        for n, value, good in cases:
            got = st.build(key + n, write, {key: value})
            what = "%s the reference (%s)" % ("allows" if good else "forbids", n) if good is not None else "a word that is none"
            st.row(key, what, got == far + "\n" if good else error(got, "invalid reference" if good is None else "not allowed to refer"), got)
    got = st.build("self", "echo $out >$out", {"allowedReferences": ""})
    st.row("allowedReferences", "a reference to itself must be allowed, too", error(got, "not allowed to refer"), got)

    got = st.build("graph", "$b cat one two >$out", {"exportReferencesGraph": "one %s two %s" % (dep, far)})
    want = dep + "\n\n0\n" + "".join(p + "\n\n" + r for p, r in sorted([(far, "1\n" + dep2 + "\n"), (dep2, "0\n")]))
    st.row("exportReferencesGraph", "the closures as text", got == want, (got, want))
    for n, value, want in [("a", "one", "odd number"), ("b", "../x " + dep, "bad file name"), ("c", "x /etc", "")]:
        got = st.build("graph" + n, "echo >$out", {"exportReferencesGraph": value})
        st.row("exportReferencesGraph", "refused (%s)" % n, error(got, want), got)
    got = st.build("graphe", "echo >$out", {"exportReferencesGraph": "x " + dep}, sources=[])
    st.row("exportReferencesGraph", "of what is no input", error(got, "not in the input closure"), got)

    h = lambda text: ("sha256", hashlib.sha256(text.encode()).hexdigest())
    impure = {"impureEnvVars": "CAIRN_TEST_IMPURE LD_CAIRN_TEST CAIRN_TEST_UNSET"}
    say = "echo \"[$CAIRN_TEST_IMPURE][$LD_CAIRN_TEST][${CAIRN_TEST_UNSET-no}]\" >$out"
    got = st.build("impure", say, impure, fixed=h("[from outside][][]\n"))
    st.row("impureEnvVars", "from the daemon's environment, for fixed outputs", got == "[from outside][][]\n", got)
    got = st.build("pure", say, impure)
    st.row("impureEnvVars", "for no others", got == "[][][no]\n", got)

    got = st.build("file", "echo \"[$text][$other]\" >$out; [ -z \"$textPath\" ] || $b cat $textPath >>$out",
                   {"passAsFile": "text", "text": "long\ntext", "other": "short"})
    st.row("passAsFile", "as a file" if nix else "a variable like others",
           got == ("[][short]\nlong\ntext" if nix else "[long\ntext][short]\n"), got)
    got = st.build("features", "echo \"[$requiredSystemFeatures]\" >$out", {"requiredSystemFeatures": "big-parallel"})
    st.row("requiredSystemFeatures", "one that is there", got == "[big-parallel]\n", got)
    got = st.build("quantum", "echo \"[$requiredSystemFeatures]\" >$out", {"requiredSystemFeatures": "quantum"})
    st.row("requiredSystemFeatures", "one that is not" if nix else "a variable like others",
           error(got, "quantum") if nix else got == "[quantum]\n", got)

    # The placeholder of the language, for a builder without $out.
    got = st.build("json", "echo \"[$x][$__json]\" >${out-/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9}", {"__json": '{"x":1}', "x": "2"})
    st.row("__json", "instead of all variables" if nix else "a variable like others", got == ("[][]\n" if nix else '[2][{"x":1}]\n'), got)

    for key in ("preferLocalBuild", "allowSubstitutes"):  # what they keep off is in tests of other machines and of substitutes
        got = st.build(key, "echo \"[$%s]\" >$out" % key, {key: "1" if key[0] == "p" else ""})
        st.row(key, "is built here", got == ("[1]\n" if key[0] == "p" else "[]\n"), got)
    for key in ("__structuredAttrs", "__noChroot", "__impureHostDeps"):  # without a meaning
        got = st.build(key.strip("_"), "echo \"[$%s]\" >$out; [ ! -e /bin ] || echo host >>$out" % key, {key: "1"})
        ok("%s: %s changes nothing" % (st.dialect, key), got == "[1]\n", got)
    ok(st.dialect + ": the daemon ends", st.d.stop() == 0)

rows = set(re.findall(r'\[KEY_\w+\] = \{ "(\w+)"', open(os.environ["SRC"] + "/store/format/dialect.c").read()))
ok("every row has its test", rows and rows <= tested, rows - tested)
finish()
E
