# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated machine of init.bench. It boots once, up to where an init would be executed, and is saved; every measurement
goes on from there with a disk of its own."""
import hashlib
import os
import re
import shutil
import subprocess
import time

from inits import INITS, Missing, Root, cpio, kernel, kernel_package
from measure import ROOT, TMP, run

QEMU = "qemu-system-x86_64"
DISK = 64 << 20  # the same for all: the kernel has seen it before
APPEND = "console=ttyS0 quiet mitigations=off nokaslr tsc=reliable cryptomgr.notests panic=-1"
LIMIT = int(os.environ.get("BENCH_LIMIT", "1800"))  # seconds for one machine


def command(at):
    return [QEMU, "-nodefaults", "-M", "pc", "-cpu", "max", "-smp", "1", "-m", "1G", "-accel", "tcg,thread=single",
            "-icount", "shift=0,sleep=off", "-display", "none", "-no-reboot", "-serial", f"file:{at}/console",
            "-serial", f"file:{at}/report", "-drive", f"file={at}/disk,format=raw,if=virtio,readonly=on"]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def disk(path):
    with open(path, "ab") as f:
        f.truncate(DISK)


class Saved:
    """The machine before any init: CAIRN_ROOT/bench/machine-… with kernel, initrd and state."""

    def __init__(self):
        if not shutil.which(QEMU):
            raise Missing(f"no {QEMU} here")
        deb = kernel_package()
        self.dir = f"{ROOT}/bench/machine-{self.identity(deb)}"
        if not os.path.exists(f"{self.dir}/state"):
            os.makedirs(self.dir, exist_ok=True)
            self.make(deb)

    @staticmethod
    def identity(deb):
        """Of what a saved machine depends on: the emulator and its arguments, kernel and first program."""
        words = [run([QEMU, "--version"]).decode(), *command(""), APPEND, os.path.basename(deb)]
        with open(f"{TMP}/agent", "rb") as f:
            return hashlib.sha256(f.read() + " ".join(words).encode()).hexdigest()[:16]

    def make(self, deb):
        at = f"{TMP}/first"
        vmlinuz, drivers = kernel(deb)
        shutil.copy(vmlinuz, f"{self.dir}/kernel")
        root = Root(f"{at}/root")
        root.copy(f"{TMP}/agent", "init")
        os.mkdir(f"{root.path}/modules")
        for i, x in enumerate(drivers):
            shutil.copy(x, f"{root.path}/modules/{i}.ko")
        cpio(root.path, f"{self.dir}/initrd")
        disk(f"{at}/disk")
        with subprocess.Popen([*command(at), *self.boot(), "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as p:
            try:
                self.wait_ready(p, at)
                said, _ = p.communicate(f'migrate "exec:cat >{self.dir}/state.new"\nquit\n', timeout=LIMIT)
            finally:
                p.kill()
        if p.returncode or not os.path.exists(f"{self.dir}/state.new"):
            raise Missing("the emulator does not save its machine: " + said[-300:])
        os.rename(f"{self.dir}/state.new", f"{self.dir}/state")

    @staticmethod
    def wait_ready(p, at):
        deadline = time.monotonic() + LIMIT
        while not os.path.exists(f"{at}/report") or "ready" not in read(f"{at}/report"):
            if p.poll() is not None or time.monotonic() > deadline:
                raise Missing("the kernel does not get to its first program: " + read(f"{at}/console")[-300:])
            time.sleep(0.2)

    def boot(self):
        return "-kernel", f"{self.dir}/kernel", "-initrd", f"{self.dir}/initrd", "-append", APPEND

    def measure(self, name, work, plan):
        """What one machine found, as a dictionary."""
        at, start = f"{TMP}/machine", time.monotonic()
        shutil.rmtree(at, ignore_errors=True)
        root, argv, down = INITS[name].root(f"{at}/root", work)
        root.write("bench/argv", "\n".join([*argv, ""]))
        root.write("bench/plan", "\n".join([f"services {work.count}", "up", *plan, f"down {down}", ""]))
        if "calls" in plan:
            root.write("bench/count-calls", "")
        cpio(root.path, f"{at}/archive")
        with open(f"{at}/disk", "wb") as f, open(f"{at}/archive", "rb") as g:
            f.write(f"root {os.path.getsize(f'{at}/archive')}\n".encode().ljust(4096, b"\0") + g.read())
        disk(f"{at}/disk")
        try:
            subprocess.run([*command(at), *self.boot(), "-incoming", f"exec:cat {self.dir}/state"],
                           stdin=subprocess.DEVNULL, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            pass
        console, report = read(f"{at}/console"), read(f"{at}/report")
        found = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) (-?\d+)\r?$", report, re.M)}
        end = re.search(r"\[ *(\d+)\.(\d+)\] reboot: ", console)
        if end and "asked_ns" in found:
            found["down_ns"] = (int(end[1]) * 1000000 + int(end[2])) * 1000 - found["asked_ns"]
        found["seconds"] = round(time.monotonic() - start)
        if "BENCH_VERBOSE" in os.environ:
            print(console, report)
        return found
