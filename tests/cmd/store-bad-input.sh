#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Wrong archives and derivations: each gives one line of error that names the fault, the documented
# exit status, and leaves nothing behind.
set -u
unset CAIRN_ROOT
export HOME="$TMP"
exec python3 - "$TMP" "$CAIRN" <<'EOF'
import os
import subprocess
import sys

TMP, CAIRN = sys.argv[1:3]
ROOT = TMP + "/root"
STORE = ROOT + "/gnu/store"
failed = count = 0


def check(ok, what):
    global failed, count
    count += 1
    print(("ok " if ok else "not ok ") + f"{count} - {what}")
    failed += not ok


def run(*argv, data=b""):
    return subprocess.run([CAIRN, "store", *argv], input=data, capture_output=True, timeout=60)


def refused(what, p, status, words):
    """One line of error with these words, that status, no output."""
    text = p.stderr.decode(errors="replace")
    good = (p.returncode == status and p.stdout == b"" and text.count("\n") == 1
            and all(w in text for w in words))
    if not good:
        print(f"# status {p.returncode}, standard error: {text!r}")
    check(good, f"{what}: {' '.join(words)}")


# ---- Archives ------------------------------------------------------------------------------------


def u64(n):
    return n.to_bytes(8, "little")


def s(t):
    b = t if isinstance(t, bytes) else t.encode()
    return u64(len(b)) + b + bytes(-len(b) % 8)


def nar(*words):
    return b"".join(map(s, ("nix-archive-1",) + words))


FILE = ("(", "type", "regular", "contents", "x", ")")


def entry(name, *node):
    return ("entry", "(", "name", name, "node", *(node or FILE), ")")


def directory(*entries):
    return ("(", "type", "directory", *sum(entries, ()), ")")


good = nar(*directory(entry("a"), entry("b")))
deep = ()
for _ in range(600):
    deep = deep + ("(", "type", "directory", "entry", "(", "name", "d", "node")
rows = [
    ("empty", b"", ["ends early"]),
    ("another format", b"PK\x03\x04" + bytes(100), ["bad archive"]),
    ("cut", good[:-9], ["ends early"]),
    ("with something after it", good + b"x", ["follows its end"]),
    ("with a wrong magic", good.replace(b"archive-1", b"archive-2"), ["expected 'nix-archive-1'"]),
    ("with dirty padding", good.replace(b"x\0\0\0\0\0\0\0", b"x\0\0\0\0\0\0\1"), ["padding"]),
    ("with a slash in a name", nar(*directory(entry("a/b"))), ["file name"]),
    ("with ..", nar(*directory(entry(".."))), ["file name"]),
    ("with an empty name", nar(*directory(entry(""))), ["file name"]),
    ("with a NUL in a name", nar(*directory(entry("a\0b"))), ["NUL"]),
    ("with a name twice", nar(*directory(entry("a"), entry("a"))), ["not sorted"]),
    ("with unsorted names", nar(*directory(entry("b"), entry("a"))), ["not sorted"]),
    ("with a long name", nar(*directory(entry("n" * 256))), ["file name", "256 bytes"]),
    ("with an empty link", nar("(", "type", "symlink", "target", "", ")"), ["without target"]),
    ("with a long link", nar("(", "type", "symlink", "target", "t" * 4096, ")"), ["4096 bytes"]),
    ("with a device", nar("(", "type", "device", ")"), ["unknown type"]),
    ("nested 600 deep", nar(*deep), ["nested deeper"]),
    ("with a huge length", s("nix-archive-1") + u64(1 << 62), ["bytes"]),
    ("with contents twice", nar("(", "type", "regular", "contents", "x", "contents", "y", ")"),
     ["expected ')'"]),
    ("with an executable mark that is not empty",
     nar("(", "type", "regular", "executable", "yes", "contents", "x", ")"), ["expected ''"]),
]
os.mkdir(TMP + "/out")
for what, data, words in rows:
    refused("archive " + what, run("restore", TMP + "/out/x", data=data), 65, words)
    if os.listdir(TMP + "/out"):
        check(False, "it left something behind")
        break
p = run("restore", TMP + "/out/x", data=good)
check(p.returncode == 0 and sorted(os.listdir(TMP + "/out/x")) == ["a", "b"], "the sound archive")

# ---- Derivations ---------------------------------------------------------------------------------

OUT = "/gnu/store/00000000000000000000000000000000-x"
SOUND = "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt"
MD5 = "00112233445566778899aabbccddeeff"


def drv(outputs=f'("out","{OUT}","","")', inputs="", sources="", env=f'("out","{OUT}")', tail=""):
    return f'Derive([{outputs}],[{inputs}],[{sources}],"s","/b",[],[{env}]){tail}'.encode()


rows = [
    ("empty", b"", ["expected 'Derive('"]),
    ("that is no derivation", b"hello\n", ["expected 'Derive('"]),
    ("cut inside a string", drv()[:20], ["ends inside a string"]),
    ("cut", drv()[:-1], ["end of the text"]),
    ("with a new line at the end", drv(tail="\n"), ["more text"]),
    ("with a NUL", drv(env='("a\0b","")'), ["NUL"]),
    ("without outputs", drv(outputs=""), ["no outputs"]),
    ("with a wrong output path", drv(), ["incorrect output", OUT]),
    ("with an output outside the store", drv(outputs='("out","/tmp/x","","")'),
     ["incorrect output"]),
    ("with a relative output", drv(outputs='("out","x","","")'), ["must begin with '/'"]),
    ("with an output twice", drv(outputs=f'("out","{OUT}","",""),("out","{OUT}","","")'),
     ["twice"]),
    ("with a bad output name", drv(outputs=f'("o/t","{OUT}","","")'), ["not allowed"]),
    ("DRV-09 with an unknown hash", drv(outputs=f'("out","{OUT}","md6","{MD5}")'), ["hash", "md6"]),
    ("DRV-09 with a short hash", drv(outputs=f'("out","{OUT}","sha256","{MD5}")'), ["hash"]),
    ("with a hash on a second output",
     drv(outputs=f'("lib","{OUT}","",""),("out","{OUT}","md5","{MD5}")'), ["only one"]),
    ("fixed, with a wrong path", drv(outputs=f'("out","{OUT}","md5","{MD5}")'),
     ["incorrect output"]),
    ("with a variable twice", drv(env='("a","1"),("a","2")'), ["a variable twice"]),
    ("DRV-11 with an input that is not there", drv(inputs=f'("{OUT}.drv",["out"])'),
     ["No such file", OUT + ".drv"]),
    ("DRV-11 with an input that is no derivation", drv(inputs=f'("{SOUND}",["out"])'),
     ["is no derivation"]),
    ("without a comma", drv(env='("a","1")("b","2")'), ["expected ','"]),
]
with open(TMP + "/hello.txt", "w") as f:
    f.write("hello world\n")
p = run("add", "--root", ROOT, "--text", TMP + "/hello.txt")
check(p.stdout.decode().strip() == SOUND, "a sound text")
before = sorted(os.listdir(STORE))
for what, data, words in rows:
    with open(TMP + "/x.drv", "wb") as f:
        f.write(data)
    # faults that the daemon finds end with 1
    refused("derivation " + what, run("add", "--root", ROOT, "--text", TMP + "/x.drv"), 1, words)
    if sorted(os.listdir(STORE)) != before:
        check(False, "it left something behind: " + " ".join(os.listdir(STORE)))
        break
with open(TMP + "/x y", "w") as f:
    f.write("x")
refused("a bad name", run("add", "--root", ROOT, TMP + "/x y"), 65, ["not allowed", "--name"])
refused("a reference that is not valid",
        run("add", "--root", ROOT, "--text", "--reference", OUT, TMP + "/hello.txt"), 1,
        ["is not valid"])
os.mkfifo(TMP + "/fifo")
refused("a pipe", run("add", "--root", ROOT, TMP + "/fifo"), 65, ["fifo", "type"])
check(sorted(os.listdir(STORE)) == before, "nothing was left behind")
check(os.listdir(ROOT + "/var/guix/temproots") == [], "no temporary roots are left")
check(run("verify", "--root", ROOT).returncode == 0, "the store is sound")
# ---- Daemons -------------------------------------------------------------------------------------
far = TMP + "/" + 120 * "d"
os.mkdir(far)
for name in TMP + "/none", far + "/none":
    refused("no daemon", run("roots", "--socket", name), 1, [name + ": No such file", "start cairn daemon"])
print(f"1..{count}")
sys.exit(failed > 0)
EOF
