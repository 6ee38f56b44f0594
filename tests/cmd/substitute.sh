#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 180
# Substitutes from a cache of ours by way of a server that does to them what a path says. FLIPS is the number of places at
# which an archive is changed.
set -u
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v zstd >/dev/null || { echo "skip: no zstd"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export HOME="$TMP"
exec python3 - "$TMP" "$CAIRN" "${FLIPS:-8}" <<'EOF'
import gzip
import hashlib
import http.server
import lzma
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from publisher import publish

TMP, CAIRN, FLIPS = sys.argv[1], sys.argv[2], int(sys.argv[3])
failed = count = 0


def check(ok, what, p=None):
    global failed, count
    count += 1
    print(("ok " if ok else "not ok ") + f"{count} - {what}", flush=True)
    failed += not ok
    if not ok and p is not None:
        print(f"# status {p.returncode}: {p.stdout!r} {p.stderr!r}")


def run(*argv, **kw):
    return subprocess.run([CAIRN, *argv], capture_output=True, text=True, timeout=120, **kw)


def out(*argv, **kw):
    p = run(*argv, **kw)
    if p.returncode:
        sys.exit(f"{argv}: {p.stderr}")
    return p.stdout.strip()


# ---- The cache ----------------------------------------------------------------------------------------------------------
ORIGIN = TMP + "/origin"
os.makedirs(TMP + "/tree/sub")
for i in range(20):
    with open(f"{TMP}/tree/sub/{i}", "wb") as f:
        f.write(os.urandom(3000) + b"text " * 1000)
tree = out("store", "add", "--root", ORIGIN, TMP + "/tree")
with open(TMP + "/top", "w") as f:
    f.write("refers to " + tree)
top = out("store", "add", "--root", ORIGIN, "--text", "--reference", tree, TMP + "/top")
with open(TMP + "/big", "wb") as f:
    f.write(os.urandom(2000000))
big = out("store", "add", "--root", ORIGIN, TMP + "/big")
out("archive", "--generate-key", "--root", ORIGIN)
with open(ORIGIN + "/etc/guix/signing-key.pub") as f:
    KEY = f.read()
PUBLISHER, UPSTREAM = publish(ORIGIN, "-C", "zstd")


def part(path):
    return os.path.basename(path)[:32]


def base(path):
    return os.path.basename(path)


CACHE = {}
for path in tree, top, big:
    for name in part(path) + ".narinfo", "nar/zstd/" + base(path):
        CACHE[name] = urllib.request.urlopen(UPSTREAM + "/" + name).read()
# The same cache as it was once: the path of the tree had other contents, which are signed as well.
PAST = TMP + "/past"
subprocess.run(["cp", "-a", ORIGIN, PAST], check=True)
os.chmod(PAST + tree + "/sub/0", 0o644)
with open(PAST + tree + "/sub/0", "wb") as f:
    f.write(b"what was there once")
os.chmod(PAST + tree + "/sub/0", 0o444)
past_nar = subprocess.run([CAIRN, "store", "dump", PAST + tree], capture_output=True, check=True).stdout
db = sqlite3.connect(PAST + "/var/guix/db/db.sqlite")
db.execute("update ValidPaths set hash = ?, narSize = ? where path = ?", ("sha256:" + hashlib.sha256(past_nar).hexdigest(), len(past_nar), tree))
db.commit()
db.close()
PAST_PUBLISHER, PAST_URL = publish(PAST, "-C", "zstd")
THEN = {name: urllib.request.urlopen(PAST_URL + "/" + name).read() for name in (part(tree) + ".narinfo", "nar/zstd/" + base(tree))}
PAST_PUBLISHER.terminate()
PAST_PUBLISHER.wait()
NAR = {p: subprocess.run(["zstd", "-dc"], input=CACHE["nar/zstd/" + base(p)], capture_output=True).stdout
       for p in (tree, top, big)}
bomb = subprocess.run("head -c 1000000000 /dev/zero | zstd -c -1", shell=True, capture_output=True).stdout


def big_window():
    """The archive in a zstd frame that claims a window of 2 GiB."""
    data = bytearray(subprocess.run(["zstd", "-c"], input=NAR[tree], capture_output=True).stdout)
    assert not data[4] & 0x20, "no window in the frame"
    data[5] = 21 << 3
    return bytes(data)


def big_dictionary():
    """The archive in xz that claims a dictionary of 1.5 GiB."""
    data = bytearray(lzma.compress(NAR[tree]))
    size = (data[12] + 1) * 4
    at = data.index(b"\x21\x01", 12)
    data[at + 2] = 37
    data[12 + size - 4:12 + size] = zlib.crc32(bytes(data[12:12 + size - 4])).to_bytes(4, "little")
    return bytes(data)


PACKED = {"bomb": ("zstd", bomb), "window": ("zstd", big_window()), "dictionary": ("xz", big_dictionary()),
          "members": ("gzip", gzip.compress(b"") * 1000000 + gzip.compress(NAR[tree])),
          "nested": ("gzip", gzip.compress(gzip.compress(NAR[tree]))),
          "xz": ("xz", lzma.compress(NAR[tree])), "gzip": ("gzip", gzip.compress(NAR[tree]))}
requests = []
done = set()
held, release = [], threading.Event()


def with_url(info, url, kind=None):
    info = re.sub(rb"URL: .*", b"URL: " + url.encode(), info)
    return re.sub(rb"Compression: .*", b"Compression: " + kind.encode(), info) if kind else info


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        requests.append(self.path)
        mode, _, name = self.path[1:].partition("/")
        body = CACHE.get(name)
        info = name.endswith(".narinfo")
        mode, _, arg = mode.partition("-")
        if mode == "past":
            body = THEN.get(name)
        if mode in ("plain", "hold") and not info:
            body = NAR.get(next((p for p in NAR if name == "nar/" + base(p)), None))
        if body is None:
            return self.answer(b"no", 404, Cache_Control="max-age=100")
        if info and mode in ("plain", "hold"):
            body = with_url(body, "nar/" + re.search(rb"StorePath: /gnu/store/(.*)", body)[1].decode(), "none")
        if info and mode == "field":
            old, new = [x.encode() for x in FIELDS[int(arg)]]
            body = body.replace(old, new, 1)
        if info and mode == "url":
            body = with_url(body, URLS[int(arg)].replace("@", base(tree)), "none")
        if info and mode == "other":
            body = CACHE[part(big) + ".narinfo"]
        if mode == "garbage":
            body = b"garbage" * 100
        if not info and mode == "flip":
            at = len(body) * int(arg) // FLIPS
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
        if not info and mode == "short":
            body = body[:len(body) // 2]
        if mode in PACKED:
            body = with_url(body, "nar/zstd/" + base(tree), PACKED[mode][0]) if info else PACKED[mode][1]
        if not info and mode == "gone":
            return self.answer(b"no", 404)
        if mode == "ring":
            return self.answer(b"", 302, Location=self.path)
        if mode == "tofile":
            return self.answer(b"", 302, Location="file:///etc/passwd")
        if mode == "hold" and not info:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            held.append(release.wait(30))
            self.close_connection = True
            return None
        if mode == "flood":
            self.send_response(200)
            for i in range(100000):
                try:
                    self.wfile.write(b"X-Header: " + b"x" * 1000 + b"\r\n")
                except OSError:
                    break
            self.close_connection = True
            return None
        if not info and mode == "cut":
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            if self.path not in done:
                done.add(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:len(body) // 2])
                self.close_connection = True
                return None
            return self.answer(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        return self.answer(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # who hangs up is what is tested


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}"
FIELDS = [(tree[11:], ("1" if tree[11] == "0" else "0") + tree[12:]), ("NarHash: sha256:", "NarHash: sha256:0"), ("NarSize: ", "NarSize: 1"),
          ("References: ", "References: " + base(big)), ("Signature: 1", "Signature: 2"), (";KHNp", ";KHNq"),
          ("StorePath", "StorePath: /gnu/store/" + base(tree) + "\nStorePath"), ("URL: ", "URL: x"),
          ("Compression: zstd", "Compression: gzip"), ("URL", "NarSize: 5\nURL")]
URLS = ["file:///etc/passwd", "../nar/zstd/@", "/nar/@", "http://localhost:1/nar/@", "ftp://127.0.0.1/x", "nar/./@", "nar//@",
        f"file://{TMP}/plain.nar"]
with open(TMP + "/plain.nar", "wb") as f:
    f.write(NAR[tree])
stores = 0
ROOT = None


def new_store(key=KEY):
    global stores, ROOT
    stores += 1
    ROOT = f"{TMP}/store{stores}"
    os.makedirs(ROOT)
    if key:
        out("archive", "--authorize", "--root", ROOT, input=key)


def realise(modes, *paths, **kw):
    urls = " ".join(m if "://" in m else f"{URL}/{m}" for m in modes.split())
    return run("store", "realise", "--root", ROOT, "--substitute-urls", urls, *paths, **kw)


def empty():
    """Nothing of an item is in the store."""
    d = ROOT + "/gnu/store"
    return not os.path.isdir(d) or not [n for n in os.listdir(d) if not n.startswith(".")]


def good(path):
    return subprocess.run(["diff", "-r", "--no-dereference", ORIGIN + path, ROOT + path]).returncode == 0


# ---- What works ---------------------------------------------------------------------------------------------------------
new_store(None)
p = realise("good", top)
check(p.returncode == 1 and "not authorized" in p.stderr and empty(), "a key that is not authorized", p)
new_store()
p = realise("good", top)
check(p.returncode == 0 and good(top) and good(tree), "a path and what it refers to", p)
check(p.stderr == "fetching tree\nfetching top\n", "what is fetched is told", p)
check(run("store", "verify", "--root", ROOT).returncode == 0, "the store is whole")
requests.clear()
p = realise("good", top)
check(p.returncode == 0 and not requests, "what is there is not asked for", p)
p = realise("good", "/gnu/store/" + "0" * 32 + "-nothing")
asked = len(requests)
p = realise("good", "/gnu/store/" + "0" * 32 + "-nothing")
check(p.returncode == 1 and asked == 1 and len(requests) == 1, "that nobody has it is remembered", p)
new_store()
p = realise("plain", tree)
check(p.returncode == 0 and good(tree), "an archive that is not compressed", p)
for mode in "xz", "gzip":
    new_store()
    p = realise(mode, tree)
    check(p.returncode == 0 and good(tree), "an archive as " + mode, p)
new_store()
p = realise("missing gone-1 good", tree)
check(p.returncode == 0 and good(tree), "the next cache when one has nothing, and one no archive", p)
new_store()
p = realise("http://127.0.0.1:1 good", tree)
check(p.returncode == 0 and good(tree) and "does not answer" in p.stderr, "a cache that is down", p)
new_store()
p = realise("cut", big)
check(p.returncode == 0 and good(big), "a transfer that was cut is taken up again", p)
new_store()
p = realise("hold", tree)
release.set()
check(p.returncode == 0 and good(tree) and False not in held, "a server that does not end a transfer is not waited for", p)
new_store()
os.makedirs(TMP + "/files/nar/zstd")
for name, body in CACHE.items():
    with open(f"{TMP}/files/{name}", "wb") as f:
        f.write(body)
p = realise(f"file://{TMP}/files", top)
check(p.returncode == 0 and good(top), "a cache in a directory", p)
new_store()
run("store", "realise", "--root", ROOT, "--no-substitutes", "--substitute-urls", URL + "/good", tree)
check(empty(), "--no-substitutes")

# ---- Archives that are wrong --------------------------------------------------------------------------------------------
new_store()
bad = 0
for i in range(FLIPS):
    p = realise(f"flip-{i}", tree)
    bad += p.returncode == 0 or not empty()
check(bad == 0, f"SUB-01 an archive with one byte changed, at {FLIPS} places", p)
p = realise("flip-1 good", tree)
check(p.returncode == 0 and good(tree), "SUB-01 the other server is used", p)
check(p.stderr.count("flip-1") >= 1, "SUB-01 the first one is named", p)
new_store()
for mode in "short", "gone":
    p = realise(mode, tree)
    check(p.returncode == 100 and empty() and "--fallback" in p.stderr, "an archive that is " + mode, p)
for mode, what in ("bomb", "unpacks to a gigabyte"), ("window", "claims a window of 2 GiB"), \
        ("dictionary", "claims a dictionary of 1.5 GiB"), ("members", "is a million members"), ("nested", "is compressed twice"):
    p = realise(mode, tree)
    check(p.returncode == 100 and empty(), "SUB-07 an archive that " + what, p)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
check(peak < 400, f"SUB-07 no process took more than 400 MiB ({peak})")

# ---- Words that are wrong -----------------------------------------------------------------------------------------------
# The cache remembers what it was told, each time of another URL.
bad = []
for i, (old, new) in enumerate(FIELDS):
    p = realise(f"field-{i}", tree)
    if p.returncode == 0 or not empty():
        bad.append(old)
check(not bad, f"SUB-02 fields that were changed {bad}", p)
p = realise("other", tree)
check(p.returncode == 1 and empty() and "it is about" in p.stderr, "SUB-05 a signed answer about another path", p)
# A cache that stands still, or goes back, has what is signed and old.
p = realise("past", top)
check(p.returncode == 1 and empty(), "SUB-06 what was not there yet is not had", p)
p = realise("past", tree)
check(p.returncode == 0 and not good(tree), "SUB-06 (what is signed for a path is believed where nothing is known of it)", p)
new_store()
p = realise("past good", top, big)
check(p.returncode == 0 and good(top) and good(big), "SUB-06 what one has not yet comes from another", p)
new_store()
p = realise("good", tree)
requests.clear()
p = realise("past", tree)
check(p.returncode == 0 and good(tree) and not requests, "SUB-06 what is valid does not go back", p)
os.chmod(ROOT + tree + "/sub/1", 0o644)
with open(ROOT + tree + "/sub/1", "wb") as f:
    f.write(b"damaged")
p = run("store", "verify", "--repair", "--root", ROOT, "--substitute-urls", URL + "/past")
check(p.returncode == 65 and "not the one that is registered" in p.stderr, "SUB-06 nor when it is repaired", p)
with open(ROOT + tree + "/sub/0", "rb") as f, open(TMP + "/tree/sub/0", "rb") as g:
    check(f.read() == g.read(), "SUB-06 nothing old was put in its place")
p = run("store", "verify", "--repair", "--root", ROOT, "--substitute-urls", URL + "/past " + URL + "/good")
check(p.returncode == 0 and good(tree), "SUB-06 a cache that has it does", p)
new_store()
bad = []
for i, url in enumerate(URLS):
    p = realise(f"url-{i}", tree)
    if p.returncode == 0 or not empty():
        bad.append(url)
check(not bad, f"SUB-11 URLs that lead elsewhere {bad}", p)
for mode, what in ("garbage", "garbage"), ("ring", "SUB-10 a ring of redirections"), ("flood", "SUB-10 a flood of headers"), \
        ("tofile", "SUB-11 a redirection to a file"):
    p = realise(mode, tree)
    check(p.returncode == 1 and empty(), what, p)
p = realise("ftp://127.0.0.1/x", tree)
check(p.returncode != 0 and "no URL of substitutes" in p.stderr, "a URL of another kind", p)

# ---- What is remembered is not believed ---------------------------------------------------------------------------------
new_store()
realise("gone", tree)
cached = [os.path.join(d, f) for d, _, fs in os.walk(ROOT + "/var/guix/substitute/cache") for f in fs if f != "cleaned"]
check(len(cached) == 1, "one answer is remembered")
with open(cached[0], "rb") as f:
    text = f.read()
head, body = text.split(b"\n", 1)
requests.clear()
with open(cached[0], "wb") as f:
    f.write(head + b"\n" + body.replace(b"NarSize: ", b"NarSize: 1"))
p = realise("gone", tree)
check(p.returncode == 1 and empty() and not requests, "SUB-14 an answer that was changed on disk is not believed", p)
for what, data in ("cut", text[:40]), ("garbage", b"\0" * 500), ("old", text.replace(head.split()[1], b"1000000000")), \
        ("empty", b""):
    with open(cached[0], "wb") as f:
        f.write(data)
    requests.clear()
    realise("gone", tree)
    check(f"/gone/{part(tree)}.narinfo" in requests, f"SUB-14 a remembered answer that is {what} is asked for again")
os.utime(cached[0], (1, 1))
mark = ROOT + "/var/guix/substitute/cache/cleaned"
check(os.path.exists(mark), "the day of the last cleaning is known")
os.utime(mark, (1, 1))
realise("good", big)
check(not os.path.exists(cached[0]), "what was told long ago is not kept")
realise("gone", tree)
out("archive", "--generate-key", "--root", ROOT)
with open(ROOT + "/etc/guix/acl", "w") as f:
    f.write("(acl)")
p = realise("gone", tree)
check("not authorized" in p.stderr, "SUB-14 a key that is trusted no more", p)


def remembered():
    return [os.path.join(d, f) for d, _, fs in os.walk(ROOT + "/var/guix/substitute/cache") for f in fs if f != "cleaned"]


# Anybody can ask for what is not there.
new_store()
realise("none", *[f"/gnu/store/{i:032}-nothing" for i in range(100)])
check(len(remembered()) == 1, f"SUB-14 what is not there has so many places and no more ({len(remembered())})")
requests.clear()
realise("none", f"/gnu/store/{99:032}-nothing")
check(not requests, "the last one is remembered")
realise("none", f"/gnu/store/{98:032}-nothing")
check(requests == [f"/none/{98:032}.narinfo"], f"the one before is not ({requests})")
# 40 answers of 2 MiB
LARGE = ["/gnu/store/" + f"1{i:031}-large" for i in range(40)]
for path in LARGE:
    with open(os.path.join(os.path.dirname(remembered()[0]), part(path)), "wb") as f:
        f.write(f"cairn-narinfo {int(time.time()) + 3600} 200 {URL}/none/{part(path)}.narinfo\n".encode())
        f.truncate(2 << 20)
requests.clear()
p = realise("none", *LARGE)
check(p.returncode == 1 and empty() and len(requests) in range(5, 15),
      f"SUB-14 of what is remembered a search takes 64 MiB, and asks for the rest ({len(requests)})", p)

# ---- What cannot be ------------------------------------------------------------------------------------------------------
db = sqlite3.connect(ORIGIN + "/var/guix/db/db.sqlite")
db.execute("insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?", (tree, top))
db.commit()
for path in tree, top:
    name = part(path) + ".narinfo"
    CACHE[name] = urllib.request.urlopen(UPSTREAM + "/" + name).read()
new_store()
p = realise("cycle", top)
check(p.returncode == 100 and empty() and "refer to each other" in p.stderr, "signed items that refer to each other", p)

PUBLISHER.terminate()
PUBLISHER.wait()
print(f"1..{count}")
sys.exit(failed > 0)
EOF
