# SPDX-License-Identifier: GPL-3.0-or-later
# What builders of fixed outputs find in the network of fod-network.sh: a web server on the loopback, of
# IPv4 and IPv6, and one on an address of the network; a name server on the loopback that knows "lan.test".
#   fod-world.py DIR      makes DIR/ready when all answer; what it sees of the helper goes to DIR
import http.server, os, signal, socket, socketserver, sys, threading, time

where = sys.argv[1]
LAN, LAN6 = "192.0.2.1", "2001:db8::1"


def is_ours(pid):
    """Whether it descends from the test: other builds on the machine have helpers too."""
    while pid > 1 and pid != os.getppid():
        pid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    return pid > 1


def helpers():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read() == "slirp4netns\n" and is_ours(int(pid)):
                yield int(pid)
        except OSError:
            pass


def look():
    for pid in helpers():
        proc = f"/proc/{pid}"
        status = open(f"{proc}/status").read().splitlines()
        for line in status:
            if line.split(":")[0] in ("Uid", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
                yield " ".join(line.replace(":", "").split())
        yield "files of " + next(l for l in open(f"{proc}/limits") if l.startswith("Max file size")).split()[3]
        for name in ("user", "mnt", "pid", "net", "ipc", "uts"):
            own = os.readlink(f"/proc/self/ns/{name}") == os.readlink(f"{proc}/ns/{name}")
            yield f"{name} {'shared' if own else 'own'}"
        yield "root " + " ".join(sorted(os.listdir(f"{proc}/root/")))
        yield "etc " + " ".join(sorted(os.listdir(f"{proc}/root/etc")))
        yield "environment " + open(f"{proc}/environ").read()
        files = {os.path.basename(os.readlink(f"{proc}/fd/{fd}").split(" ")[0].split(":[")[0]) for fd in os.listdir(f"{proc}/fd")}
        yield "descriptors " + " ".join(sorted(files))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/look":
            with open(where + "/helper", "w") as f:
                f.write("\n".join(look()) + "\n")
        if self.path == "/kill":
            for pid in helpers():
                os.kill(pid, signal.SIGKILL)
            return
        if self.path == "/silence":
            time.sleep(600)
        body = b"hello" * (20000 if self.path == "/much" else 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


class Server6(Server):
    address_family = socket.AF_INET6


def answer_names(sock):
    while True:
        query, peer = sock.recvfrom(512)
        if b"\0" not in query[12:-4]:
            continue  # no question
        end = query.index(b"\0", 12) + 5
        name, kind = query[12:end - 4], query[end - 4:end - 2]
        data = {b"\0\1": socket.inet_aton(LAN), b"\0\x1c": socket.inet_pton(socket.AF_INET6, LAN6)}.get(kind)
        known = name == b"\3lan\4test\0"
        head = query[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + (b"\0\1" if known and data else b"\0\0")
        reply = head + b"\0\0\0\0" + query[12:end]
        if known and data:
            reply += b"\xc0\x0c" + kind + b"\0\1\0\0\0\0" + len(data).to_bytes(2, "big") + data
        sock.sendto(reply, peer)


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
threading.Thread(target=answer_names, args=(names,), daemon=True).start()
for make, address in ((Server, "127.0.0.1"), (Server6, "::1"), (Server, LAN), (Server6, LAN6)):
    server = make((address, 80), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
open(where + "/ready", "w").close()
threading.Event().wait()
