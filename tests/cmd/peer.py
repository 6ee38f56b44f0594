# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process at the other end of a connection on the loopback may do, for tests."""
import os


def look(port):
    """Lines about the process whose end of a connection has this port."""
    inode = next(l.split()[9] for l in open("/proc/net/tcp") if l.split()[1].endswith(":%04X" % port))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if any(os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]" for fd in os.listdir(f"/proc/{pid}/fd")):
                break
        except OSError:
            pass
    for line in open(f"/proc/{pid}/status"):
        if line.split(":")[0] in ("CapPrm", "CapEff", "NoNewPrivs", "Seccomp", "Uid"):
            yield " ".join(line.replace(":", "").split())
    for name in ("user", "mnt", "pid", "ipc", "uts"):
        own = os.readlink(f"/proc/self/ns/{name}") == os.readlink(f"/proc/{pid}/ns/{name}")
        yield f"{name} {'shared' if own else 'own'}"
    yield "home " + " ".join(d for d in ("root", "home", "tmp", "var", "run", "proc") if os.path.exists(f"/proc/{pid}/root/{d}"))
