# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that change one machine at the same time, and collections beside them.

Each ends well, or says who holds the lock; afterwards everything agrees: profile, generations, menu, and the files of the
current generation.
"""
import json
import os
import re
import subprocess

REFUSED = 3
HOLDER = re.compile(r"process \d+, [a-z-]+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


class Machine:
    def __init__(self, tmp):
        self.tmp, self.root, self.number = tmp, tmp + "/machine", 0
        os.mkdir(self.root)
        subprocess.run([os.environ["SRC"] + "/tests/cmd/mock-world", tmp + "/modules"], check=True)
        with open(os.environ["SRC"] + "/examples/minimal.lua", encoding="utf-8") as f:
            self.text = f.read()
        for _ in range(2):
            if self.run(*self.reconfigure()).returncode:
                raise AssertionError("a machine could not be made")

    def argv(self, verb, *args, group="system"):
        target = ["--target-root", self.root] if group == "system" else []
        root = ["--root", self.root] if verb != "status" else []
        return [os.environ["CAIRN"], group, verb, *root, *target, *args]

    def run(self, *argv):
        return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)

    def reconfigure(self):
        """Of a configuration that there was not before."""
        self.number += 1
        path = f"{self.tmp}/{self.number}.lua"
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.text.replace('host_name = "cairn"', f'host_name = "h{self.number}"'))
        return self.argv("reconfigure", "--quiet", "--modules", self.tmp + "/modules", path)

    def check(self):
        """None, or what does not agree."""
        profiles = self.root + "/var/guix/profiles"
        current = int(re.fullmatch(r"system-(\d+)-link", os.readlink(profiles + "/system"))[1])
        with open(self.root + "/boot/grub/grub.cfg", encoding="utf-8") as f:
            menu = f.read()
        links = sorted(int(m[1]) for m in map(re.compile(r"system-(\d+)-link$").match, os.listdir(profiles)) if m)
        if current not in links:
            return f"generation {current} is the current one, there are {links}"
        if re.findall(r"default='gen-(\d+)'", menu)[-1] != str(current):
            return f"the menu does not start generation {current}"
        if sorted(map(int, re.findall(r"--id 'gen-(\d+)'", menu))) != links:
            return f"the menu has not just {links}"
        if os.path.exists(profiles + "/system.switch"):
            return "a switch is not at its end"
        r = self.run(*self.argv("verify", "--json"))
        return f"generation {current}: {r.stdout} {r.stderr}" if r.returncode else None

    def parallel(self):
        """Two reconfigures, a roll-back and a collection: None, or what is wrong."""
        todo = [self.reconfigure(), self.reconfigure(), self.argv("roll-back"), self.argv("gc", "--keep", "2", "--json")]
        running = [subprocess.Popen(a, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for a in todo]
        done = 0
        for argv, p in zip(todo, running):
            out, err = p.communicate(timeout=300)
            if p.returncode == 0:
                done += 1
            elif p.returncode != REFUSED or not HOLDER.search(err):
                return f"{argv[2]}: status {p.returncode}: {out}{err}"
        return self.check() if done else "none of them got through"

    def collected(self):
        """A reconfigure while the store is collected again and again: None, or what is wrong."""
        with subprocess.Popen(self.reconfigure(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            rounds = 0
            while p.poll() is None:
                r = self.run(*self.argv("gc", group="store"))
                if r.returncode:
                    return f"collection: {r.stderr}"
                rounds += 1
            if p.returncode:
                return f"status {p.returncode} beside {rounds} collections: {p.stderr.read()}"
        return self.check()


def forced(machine):
    """The lock is held for certain: each kind of command is refused, and says by whom. None, or what is wrong."""
    hold = "import fcntl,os,struct,sys\nfd=os.open(sys.argv[1],os.O_RDWR)\nfcntl.fcntl(fd,37,struct.pack('hhqqi4x',fcntl.F_WRLCK,0,0,0,0))\n" \
        "os.ftruncate(fd,0)\nos.write(fd,b'process %d, test, since 2000-01-01 00:00:00 UTC\\n' % os.getpid())\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(["python3", "-c", hold, machine.root + "/var/guix/profiles/system.lock"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p:
        p.stdout.readline()
        config = f"{machine.tmp}/1.lua"
        modules = ["--modules", machine.tmp + "/modules"]
        for verb, *args in (("reconfigure", *modules, config), ("boot", *modules, config), ("test", *modules, config), ("roll-back",),
                            ("switch-generation", "1"), ("delete-generations",), ("gc",), ("pin",), ("unpin",), ("label", "1", "x")):
            r = machine.run(*machine.argv(verb, *args))
            if r.returncode != REFUSED or f"process {p.pid}, test, since 2000-01-01 00:00:00 UTC" not in r.stderr:
                return f"{verb}: status {r.returncode}: {r.stdout}{r.stderr}"
        for verb, *args in (("plan", *modules, config), ("roll-back", "-n"), ("gc", "-n"), ("status", "--json"), ("verify",), ("diff", "--json"),
                            ("list-generations",), ("delete-generations", "-n"), ("label", "-n", "1", "x"), ("pin", "-n")):
            r = machine.run(*machine.argv(verb, *args))
            if r.returncode:
                return f"{verb}, which changes nothing: status {r.returncode}: {r.stderr}"
            if "--json" in args:
                json.loads(r.stdout)
    return None
