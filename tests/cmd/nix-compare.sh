#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 600
# Random trees and random graphs of derivations, in Cairn and in Debian's nix: the same archives, the
# same store paths, the same derivations. The random numbers have a fixed seed.
set -u
command -v nix-store >/dev/null && command -v nix-instantiate >/dev/null || {
	echo "skip: nix-store is not installed (Debian: nix-bin)"
	exit 77
}
exec python3 - "$TMP" "$CAIRN" "$SRC" <<'EOF'
import hashlib
import os
import random
import subprocess
import sys

TMP, CAIRN, SRC = sys.argv[1:4]
SEED = int(os.environ.get("NIX_COMPARE_SEED", "20260101"))
TREES, DRVS, TEXTS = 200, 300, 20
rnd = random.Random(SEED)
failed = count = 0
os.environ.update(HOME=TMP, NIX_CONF_DIR=TMP + "/conf", XDG_CACHE_HOME=TMP + "/cache")
os.environ.pop("CAIRN_ROOT", None)
os.makedirs(TMP + "/conf")
open(TMP + "/conf/nix.conf", "w").write("build-users-group =\nsandbox = false\nsubstitute = false\n")
NIX = ["--store", TMP + "/nix"]
OURS = ["--root", TMP + "/cairn", "--store-dir", "/nix/store"]


def check(ok, what):
    global failed, count
    count += 1
    print(("ok " if ok else "not ok ") + f"{count} - {what}")
    failed += not ok


def run(argv, data=None):
    p = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode:
        print("#", " ".join(argv[:6]), "...:", p.stderr.decode(errors="replace")[-600:])
        raise SystemExit(1)
    return p.stdout


def lines(argv):
    return run(argv).decode().split()


# ---- Trees ---------------------------------------------------------------------------------------

LETTERS = [b"a", b"b", b"z", b"A", b"-", b".", b"_", b" ", b"\xc3\xa9", b"\xff", b"\n", b"~", b"!"]


def name():
    while True:
        n = b"".join(rnd.choice(LETTERS) for _ in range(rnd.choice([1, 2, 3, 8, 60])))
        if n not in (b".", b".."):
            return n


def size():
    return rnd.choice([0, 1, 7, 8, 9, 4095, 8191, 8192, rnd.randrange(70000), 262144, 262145])


def make(path, depth):
    kind = rnd.random()
    if kind < 0.15:
        os.symlink(b"".join(rnd.choice(LETTERS + [b"/"]) for _ in range(rnd.randrange(1, 200))), path)
    elif kind < 0.6 or depth > 5:
        with open(path, "wb") as f:
            f.write(rnd.randbytes(size()))
        os.chmod(path, rnd.choice([0o600, 0o644, 0o755, 0o700, 0o444, 0o611, 0o655]))
    else:
        os.mkdir(path)
        for _ in range(rnd.choice([0, 1, 2, 5])):
            child = path + b"/" + name()
            if not os.path.lexists(child):
                make(child, depth + 1)


trees = []
for i in range(TREES):
    trees.append(f"{TMP}/tree-{i}")
    make(trees[-1].encode(), 0)
dumps = [run(["nix-store", "--dump", t]) for t in trees]
bad = [t for t, d in zip(trees, dumps) if run([CAIRN, "store", "dump", t]) != d]
check(not bad, f"archives of {TREES} trees, {sum(map(len, dumps))} bytes {bad}")
bad = []
for i, (t, d) in enumerate(zip(trees, dumps)):
    run([CAIRN, "store", "restore", f"{TMP}/back-{i}"], d)
    if run(["nix-store", "--dump", f"{TMP}/back-{i}"]) != d:
        bad.append(t)
check(not bad, f"trees unpacked from archives {bad}")
check(lines(["nix-store", *NIX, "--add", *trees]) == lines([CAIRN, "store", "add", *OURS, *trees]),
      "paths of trees")
for algo in ("md5", "sha1", "sha256", "sha512"):
    theirs = lines(["nix-store", *NIX, "--add-fixed", "--recursive", algo, *trees[:10]])
    check(theirs == lines([CAIRN, "store", "add", *OURS, "--hash", algo, *trees[:10]]),
          f"paths of trees by {algo}")
    files = [t for t in trees if os.path.isfile(t) and not os.path.islink(t)][:10]
    check(bool(files), "there are plain files")
    theirs = lines(["nix-store", *NIX, "--add-fixed", algo, *files])
    check(theirs == lines([CAIRN, "store", "add", *OURS, "--flat", "--hash", algo, *files]),
          f"paths of files by their {algo}")
item = lines([CAIRN, "store", "add", *OURS, trees[0]])[0]
info = lines([CAIRN, "store", "query", *OURS, "--hash", item]) + lines(
    [CAIRN, "store", "query", *OURS, "--size", item])
check(info == lines(["nix-store", *NIX, "--query", "--hash", item]) + lines(
    ["nix-store", *NIX, "--query", "--size", item]), "hash and size in the database")

# ---- Derivations ---------------------------------------------------------------------------------

CHARS = ["a", "Z", "0", " ", '"', "\\", "\n", "\r", "\t", "$", "{", "}", "'", "é", "\x03", "(", ",", "]"]


def text():
    return "".join(rnd.choice(CHARS) for _ in range(rnd.choice([0, 1, 5, 40])))


def quote_nix(s):
    s = s.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + s.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def quote_lua(s):
    return '"' + "".join(f"\\{b:03d}" for b in s.encode()) + '"'


D = TMP + "/drvs"
os.mkdir(D)
for i in range(5):
    make(f"{D}/src{i}".encode(), 4)
nix, lua = ["let"], ["local v = {}"]
nodes = []  # (variable, outputs)
for i in range(TEXTS):
    body = text()
    ref = rnd.choice([None] + nodes[-3:]) if i else None
    nix.append(f"t{i} = builtins.toFile \"t{i}\" ({quote_nix(body)}"
               + (f" + \"${{{ref[0]}}}\"" if ref else "") + ");")
    lua.append(f"v.t{i} = text(\"t{i}\", {quote_lua(body)}"
               + (f" .. tostring(v.{ref[0]})" if ref else "") + ")")
    nodes.append((f"t{i}", None))
for i in range(5):
    nix.append(f"s{i} = ./src{i};")
    lua.append(f"v.s{i} = source(\"src{i}\")")
    nodes.append((f"s{i}", None))


def mention(node):
    """How a string in either language names a random output of a node."""
    var, outs = node
    if not outs:
        return f"${{{var}}}", f"tostring(v.{var})"
    out = rnd.choice(outs)
    return f"${{{var}.{out}}}", f"tostring(v.{var}.{out})"


for i in range(DRVS):
    var = f"d{i}"
    outs = rnd.sample(["out", "lib", "dev", "a"], rnd.choice([1, 1, 1, 2, 3]))
    fixed = rnd.random() < 0.15
    if fixed or len(outs) == 1:
        outs = ["out"]
    env = {f"v{k}": text() for k in range(rnd.randrange(3))}
    deps = rnd.sample(nodes, min(len(nodes), rnd.randrange(6)))
    n, l = [f'name = "{var}-1.0";', 'system = "x86_64-linux";', 'builder = "/bin/sh";'], []
    e = [f'name = "{var}-1.0"', 'system = "x86_64-linux"', 'builder = "/bin/sh"']
    args = [text() for _ in range(rnd.randrange(3))]
    n.append("args = [ " + " ".join(map(quote_nix, args)) + " ];")
    for k, s in env.items():
        n.append(f"{k} = {quote_nix(s)};")
        e.append(f"{k} = {quote_lua(s)}")
    for k, dep in enumerate(deps):
        a, b = mention(dep)
        n.append(f'dep{k} = "x {a}/y";')
        e.append(f'dep{k} = "x " .. {b} .. "/y"')
    if len(outs) > 1:
        n.append("outputs = [ " + " ".join(f'"{o}"' for o in outs) + " ];")
        e.append(f'outputs = "{" ".join(outs)}"')
        l.append("outputs = { " + ", ".join(f'"{o}"' for o in outs) + " },")
    if fixed:
        algo = rnd.choice(["md5", "sha1", "sha256", "sha512"])
        digest = hashlib.new(algo, str(i).encode()).hexdigest()
        mode = rnd.choice(["flat", "recursive"])
        for k, s in (("outputHash", digest), ("outputHashAlgo", algo), ("outputHashMode", mode)):
            n.append(f'{k} = "{s}";')
            e.append(f'{k} = "{s}"')
            l.append(f'{k} = "{s}",')
    nix.append(f"{var} = derivation {{ {' '.join(n)} }};")
    lua.append(f"v.{var} = derivation {{ name = \"{var}-1.0\", system = \"x86_64-linux\", "
               f"builder = \"/bin/sh\", args = {{ {', '.join(map(quote_lua, args))} }}, "
               f"{' '.join(l)} env = {{ {', '.join(e)} }} }}")
    nodes.append((var, outs))
nix.append("in [ " + " ".join(f"d{i}" for i in range(DRVS)) + " ]")
lua.append("return { " + ", ".join(f"v.d{i}" for i in range(DRVS)) + " }")
open(D + "/graph.nix", "w").write("\n".join(nix))
open(D + "/graph.lua", "w").write("\n".join(lua))
theirs = [p.split("!")[0] for p in lines(["nix-instantiate", *NIX, D + "/graph.nix"])]
ours = lines([CAIRN, "build", *OURS, "--modules", SRC, "--derivation", "-f", D + "/graph.lua"])
bad = [a for a, b in zip(theirs, ours) if a != b]
check(len(theirs) == len(ours) == DRVS and not bad, f"paths of {DRVS} derivations {bad[:5]}")
everything = sorted(set(lines(["nix-store", *NIX, "--query", "--requisites", *theirs])))
check(everything == sorted(set(lines([CAIRN, "store", "query", *OURS, "--requisites", *ours]))),
      "closure of the derivations")


def contents(root, path):
    with open(root + path, "rb") as f:
        return f.read()


bad = [p for p in everything if p.endswith(".drv")
       and contents(TMP + "/nix", p) != contents(TMP + "/cairn", p)]
check(not bad, f"bytes of the derivations {bad[:5]}")

# What nix wrote goes into a store of ours that never saw the graph, in the order of references:
# the paths and the check of the outputs say that every hash came out the same.
OURS[1] = TMP + "/fresh"
done, bad = set(), []


def add(path):
    if path in done:
        return
    done.add(path)
    refs = lines(["nix-store", *NIX, "--query", "--references", path])
    for r in refs:
        add(r)
    argv = [CAIRN, "store", "add", *OURS, "--name", path.split("-", 1)[1]]
    if path.endswith(".drv") or path[44:45] == "t":
        argv += ["--text"]
        for r in refs:
            argv += ["--reference", r]
    if lines(argv + [TMP + "/nix" + path]) != [path]:
        bad.append(path)


for p in theirs:
    if len(done) < 50:
        add(p)
check(not bad and len(done) >= 50, f"{len(done)} derivations and sources written by nix {bad[:3]}")
print(f"1..{count}")
sys.exit(failed > 0)
EOF
