#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# PID 1 replaces the build daemon three times while builds run and clients connect: no build ends, nobody is
# refused; who stays too long is ended.
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }
command -v busybox >/dev/null || { echo "skip: no busybox"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
exec python3 - <<'E'
import atexit, glob, json, os, shutil, subprocess, sys, threading, time

sys.path.insert(0, os.environ["SRC"] + "/tests/cmd")
from wire import *

tmp, cairn = os.environ["TMP"], os.environ["CAIRN"]
root, path = tmp + "/root", tmp + "/s"
os.environ["CAIRN_INIT_SOCKET"] = tmp + "/run/init.sock"
os.environ.pop("CAIRN_ROOT", None)
SET = """
[init]
log-directory = %s/log
state-directory = %s/state

[service cairn-daemon]
type = notify
exec = %s daemon --root %s --max-jobs=%d --drain-timeout=%d
listen = stream %s mode=0666
start-timeout = 5min
delegate = yes
stop-scope = main
"""
for i in range(6):
    with open("%s/set%d" % (tmp, i), "w") as f:
        f.write(SET % (tmp, tmp, cairn, root, 4 + i, 1 if i == 4 else 3600, path))
init = subprocess.Popen([os.environ["OBJ"] + "/init/cairn-init", "--run-dir", tmp + "/run", tmp + "/set0"],
                        stdout=open(tmp + "/console", "w"), stderr=subprocess.STDOUT)


atexit.register(lambda: init.poll() is None and init.terminate())


def service(*args):
    return subprocess.run([cairn, "service", *args], capture_output=True, text=True)


def row():
    p = service("list", "--json")
    return json.loads(p.stdout)[0] if p.returncode == 0 else {"state": p.stderr}


def wait(what):
    end = time.monotonic() + 120
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


ok("the daemon is up", wait(lambda: row()["state"] == "up"), open(tmp + "/console").read())
setup = Conn(path)
sh = Shell(setup, shutil.which("busybox"))
builds = [(Conn(path), sh.drv("build%d" % i, "until [ -e go ]; do echo >here; $b usleep 20000; done; echo %d >$out" % i))
          for i in range(3)]
for c, drv in builds:
    assert c.ask(options()) is None
    c.send(u64(9) + strings([drv.path]) + u64(0))
here = lambda: glob.glob(root + "/var/guix/builds/*/*/*/here")
ok("three builds run", wait(lambda: len(here()) == 3), here())

connects, refused, done = [], [], threading.Event()


def connect_again_and_again():
    while not done.is_set():
        try:
            Conn(path).close()
            connects.append(time.monotonic())
        except Exception as e:
            refused.append(repr(e))
            return


clients = [threading.Thread(target=connect_again_and_again) for _ in range(2)]
for t in clients:
    t.start()
pids = [row()["pid"]]
for i in 1, 2, 3:
    before = len(connects)
    ok("clients come in", wait(lambda: refused or len(connects) > before + 2) and not refused, refused)
    p = service("load", "%s/set%d" % (tmp, i))
    ok("another daemon", p.returncode == 0 and p.stdout == "restart cairn-daemon\n", p)
    pids.append(row()["pid"])
    e = sh.drv("small%d" % i, "echo >$out", c=Conn(path))
    c = Conn(path)
    e = c.ask(u64(9), strings([e.path]), u64(0))
    ok("which builds", e is None, e)
ok("each is another process", len(set(pids)) == 4, pids)
ok("those of before are gone", not any(os.path.exists("/proc/%d" % x) for x in pids[:3]), pids)
ok("the builds still run", len(here()) == 3, here())
done.set()
for t in clients:
    t.join()
ok("nobody was refused", not refused and len(connects) > 9, (refused, len(connects)))
print("# %d connections" % len(connects))
for h in here():
    open(h[:-4] + "go", "w").close()
ends = [c.end() or c.num() != 1 or None for c, _ in builds]
ok("no build failed", ends == [None] * 3, ends)
ok("their results are valid", all(open(root + d.out).read() == "%d\n" % i for i, (_, d) in enumerate(builds)))

# One that gives those who stay a second only.
ok("a daemon with little patience", service("load", tmp + "/set4").returncode == 0)
stays = Conn(path)
drv = sh.drv("long", "echo >here; $b sleep 10000", c=stays)
stays.send(u64(9) + strings([drv.path]) + u64(0))
ok("a build of one who stays", wait(lambda: len(here()) == 1), here())
ok("is replaced", service("load", tmp + "/set5").returncode == 0)
try:
    stays.end()
    why = "it went on"
except Closed:
    why = None
ok("who stays is ended", why is None, why)
log = lambda: open(tmp + "/log/cairn-daemon.log").read()
ok("as the log says", wait(lambda: "connections of before are ended connections=1\n" in log()), log())
ok("others were let go", "ends, connections go on connections=" in log() and log().count("are ended") == 1, log())
ok("and builds begin as ever", Conn(path).ask(u64(9), strings([sh.drv("last", "echo >$out", c=Conn(path)).path]), u64(0)) is None)
subprocess.run([cairn, "poweroff"], check=True)
ok("all of it ends", init.wait(120) is not None)
finish()
E
