#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# Caches that are slow, helpers that die or hang, and clocks that are wrong, by the names of their attacks. The patience of the
# daemon is made short; what is waited for are events.
set -u
for x in python3 openssl zstd; do
	command -v $x >/dev/null || { echo "skip: no $x"; exit 77; }
done
unset CAIRN_ROOT XDG_STATE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY SSL_CERT_FILE
export HOME="$TMP" CAIRN_TEST_PATIENCE=2
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
	-keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null || exit 1
clock=
if gcc -shared -fPIC -O1 -o "$TMP/clock.so" "$SRC/tests/cmd/clock.c" &&
	LD_PRELOAD=$TMP/clock.so "$CAIRN" --version >/dev/null 2>&1 && grep -q ld-linux "$CAIRN"; then
	clock=$TMP/clock.so
fi
exec python3 - "$clock" <<'EOF'
import glob
import http.server
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from publisher import publish
from session import CAIRN, TMP, check, finish, out, run, until

CLOCK = sys.argv[1]

# ---- The cache ----------------------------------------------------------------------------------------------------------
ORIGIN = TMP + "/origin"
items = {}
for name, size in ("big", 900000), ("small", 2000):
    with open(f"{TMP}/{name}", "wb") as f:
        f.write(os.urandom(size))
    items[name] = out("store", "add", "--root", ORIGIN, f"{TMP}/{name}")
out("archive", "--generate-key", "--root", ORIGIN)
with open(ORIGIN + "/etc/guix/signing-key.pub", encoding="utf-8") as f:
    KEY = f.read()
PUBLISHER, UPSTREAM = publish(ORIGIN, "-C", "zstd")
CACHE = {}
for path in items.values():
    base = os.path.basename(path)
    for name in base[:32] + ".narinfo", "nar/zstd/" + base:
        CACHE[name] = urllib.request.urlopen(f"{UPSTREAM}/{name}").read()
PUBLISHER.terminate()
PUBLISHER.wait()
asked, over, late = [], threading.Event(), threading.Event()
BIG = "nar/zstd/" + os.path.basename(items["big"])


class Handler(http.server.BaseHTTPRequestHandler):
    """/MODE/NAME: what MODE does to the answer."""
    protocol_version = "HTTP/1.1"

    def head(self, n):
        self.send_response(200)
        self.send_header("Content-Length", str(n))
        self.end_headers()

    def drip(self, body):
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if over.wait(0.2):
                return

    def do_GET(self):
        mode, _, name = self.path[1:].partition("/")
        asked.append((self.path, self.client_address[1]))
        body, info = CACHE.get(name), name.endswith(".narinfo")
        if body is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if mode == "silent" or (mode == "silent-nar" and name == BIG):
            over.wait(120)
        elif mode == "drip" or (mode == "drip-nar" and name == BIG):
            self.head(len(body))
            self.drip(body)
        elif mode == "late":
            late.wait(120)
            self.head(len(body))
            self.wfile.write(body)
            return
        elif mode in ("stall", "hold") and not info and (mode == "stall" or name == BIG):
            self.head(len(body))
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            over.wait(120)
        else:
            self.head(len(body))
            self.wfile.write(body)
            return
        self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # who hangs up is what is tested


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}"
stores = 0
ROOT = None


def new_store():
    global stores, ROOT
    stores += 1
    ROOT = f"{TMP}/store{stores}"
    os.makedirs(ROOT)
    out("archive", "--authorize", "--root", ROOT, input=KEY)


def command(modes, *names, root=None):
    urls = " ".join(m if "://" in m else f"{URL}/{m}" for m in modes.split())
    return ["store", "realise", "--root", root or ROOT, "--substitute-urls", urls, *(items[n] for n in names)]


def good(name, root=None):
    if not os.path.exists((root or ROOT) + items[name]):
        return False
    with open((root or ROOT) + items[name], "rb") as f, open(f"{TMP}/{name}", "rb") as g:
        return f.read() == g.read()


def empty(root=None):
    d = (root or ROOT) + "/gnu/store"
    return not os.path.isdir(d) or not [n for n in os.listdir(d) if not n.startswith(".")]


# ---- Slow ---------------------------------------------------------------------------------------------------------------
def slow_one(mode, root, results):
    p = run(*command(mode, "big", root=root))
    alone = p.returncode in (1, 100) and empty(root) and p.stderr
    q = run(*command(mode + " good", "big", root=root))
    results[mode] = alone, q.returncode == 0 and good("big", root), p.stderr + q.stderr


SLOW = {"silent": "says nothing", "drip": "sends a byte at a time", "stall": "stops in the middle",
        "silent-nar": "says nothing when asked for the archive", "drip-nar": "sends the archive a byte at a time"}
results, threads = {}, []
for mode in SLOW:  # most of it is waiting
    new_store()
    threads.append(threading.Thread(target=slow_one, args=(mode, ROOT, results)))
    threads[-1].start()
for t in threads:
    t.join()
for mode, what in SLOW.items():
    alone, then, said = results[mode]
    check(alone, "SUB-09 a cache that " + what, said)
    check(then, "SUB-09 the next one is used", said)
new_store()
q = subprocess.Popen([CAIRN, *command("hold", "big", "small")], env={**os.environ, "CAIRN_TEST_PATIENCE": "100"}, stderr=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True)
small = lambda: run("store", "query", "--root", ROOT, items["small"]).returncode == 0
check(until(small) and q.poll() is None, "SUB-09 what stalls holds up nothing else")
q.terminate()
q.communicate()
check(until(lambda: run("store", "verify", "--root", ROOT).returncode == 0) and good("small"), "SUB-09 and the store is whole")

# ---- Helpers ------------------------------------------------------------------------------------------------------------


def owner(port_number):
    """The process that has the connection from this port, of which only one knows."""
    inode = None
    with open("/proc/net/tcp", encoding="utf-8") as f:
        for row in f:
            fields = row.split()
            if fields[1].endswith(":%04X" % port_number) and fields[1].startswith("0100007F"):
                inode = fields[9]
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if inode and os.readlink(fd) == f"socket:[{inode}]":
                pid = int(fd.split("/")[2])
                if pid != os.getpid():
                    return pid
        except OSError:
            pass
    return None


def helper_at(prefix):
    """Of the helper that waits for the answer to a request of this prefix."""
    found = []

    def look():
        found[:] = [x for x in (owner(port) for path, port in asked if path.startswith(prefix)) if x]
        return bool(found)
    return found[0] if until(look) else None


def beside(modes, prefix, do, patience="100"):
    """A command whose helper, when it waits for the answer to a request of this prefix, is done something to. Whether it ended, what it
    said, and the helper."""
    new_store()
    asked.clear()
    late.clear()
    q = subprocess.Popen([CAIRN, *command(modes, "big")], env={**os.environ, "CAIRN_TEST_PATIENCE": patience}, stderr=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
    pid = helper_at(prefix)
    if pid:
        do(pid)
    try:
        said = q.communicate(timeout=100)[1]
    except subprocess.TimeoutExpired:
        os.killpg(q.pid, signal.SIGKILL)  # with its daemon; a helper that stays has a session of its own
        q.stdout.close()
        q.stderr.close()
        q.wait()
        return False, "it does not end", pid
    return q.returncode in (0, 1, 100), said, pid


def again(pid, what):
    p = run(*command("good", "big"), errors="replace")
    check(p.returncode == 0 and good("big"), f"SUB-15 {what}: all is well afterwards", p.stderr)
    check(pid and until(lambda: not os.path.exists(f"/proc/{pid}")), f"SUB-15 {what}: none is left")


def garble(pid, when):
    """The helper writes other bytes, the first of which would be a number beyond all."""
    with subprocess.Popen(["strace", "-p", str(pid), "-o", TMP + "/garble", "-e", "trace=write", "-e",
                           f"inject=write:poke_enter=@arg2={'ff' * 16}:when={when}"], stderr=subprocess.PIPE, text=True) as tracer:
        tracer.stderr.readline()  # it is attached
        late.set()
        tracer.stderr.read()  # until the helper ends
    with open(TMP + "/garble", encoding="utf-8", errors="replace") as f:
        written.append(r'write(3, "\377\377\377\377' in f.read())


def sends(sig):
    return lambda pid: os.kill(pid, sig)


written = []
if os.getuid() == 0:
    ended, said, pid = beside("silent good", "/silent/", sends(signal.SIGKILL))
    check(ended and "the search for substitutes failed" in said and empty(), "SUB-15 a helper that asks dies", said)
    again(pid, "that dies")
    # which is to be noticed by its silence, of four times 6 seconds
    ended, said, pid = beside("silent good", "/silent/", sends(signal.SIGSTOP), patience="6")
    check(ended and "the search for substitutes failed" in said and empty(), "SUB-15 a helper that asks hangs", said)
    again(pid, "that hangs")
    ended, said, pid = beside("hold good", "/hold/nar", sends(signal.SIGKILL))
    check(ended and good("big"), "SUB-15 a helper that fetches dies: the archive comes from the next cache", said)
    again(pid, "that dies when it fetches")
    if subprocess.run(["strace", "-o", "/dev/null", "-e", "inject=write:poke_enter=@arg2=ff", "true"], capture_output=True, check=False).returncode == 0:
        ended, said, pid = beside("late", "/late/", lambda pid: garble(pid, 1))
        check(ended and "the search for substitutes failed" in said and empty() and written[0], "SUB-15 answers that are garbage", (said, written))
        again(pid, "with garbage")
else:
    print("# SUB-15 needs root, to see whose connection is whose")

# ---- Clocks -------------------------------------------------------------------------------------------------------------
if CLOCK:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TMP + "/cert.pem", TMP + "/key.pem")
    safe = Server(("127.0.0.1", 0), Handler)
    safe.socket = context.wrap_socket(safe.socket, server_side=True)
    threading.Thread(target=safe.serve_forever, daemon=True).start()
    SAFE = f"https://localhost:{safe.server_port}/good"
    env = {**os.environ, "SSL_CERT_FILE": TMP + "/cert.pem"}
    new_store()
    p = run(*command(SAFE, "small"), env=env)
    check(p.returncode == 0 and good("small"), "SUB-18 over TLS with the right clock", p.stderr)
    for year in 1971, 2099:
        shift = int((year + 0.5 - 1970) * 31556952) - int(time.time())
        shifted = {**env, "LD_PRELOAD": CLOCK, "CLOCK_SHIFT": str(shift)}
        new_store()
        p = run(*command(SAFE, "small"), env=shifted)
        check(p.returncode != 0 and empty() and f"the clock says {year}-" in p.stderr, f"SUB-18 with a clock of {year} nothing is believed", p.stderr)
        p = run(*command("good", "small"), env=shifted)
        check(p.returncode == 0 and good("small"), f"SUB-18 what is signed is, whatever the day, in {year}", p.stderr)
        new_store()
        p = run(*command("good", "small"), env={**shifted, "CAIRN_TEST_PATIENCE": "2"})
        with open(ROOT + "/etc/guix/acl", "w", encoding="utf-8") as f:
            f.write("(acl)")
        p = run(*command("good", "big"), env=shifted)
        check(p.returncode != 0 and "not authorized" in p.stderr, f"SUB-18 and what is not is not, in {year}", p.stderr)
else:
    print("# SUB-18 needs a program that libraries can be preloaded to")
over.set()
finish()
EOF
