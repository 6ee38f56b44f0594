# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines for tests: boot a disk image in QEMU, talk to its console, get verdicts.

The image is never written: each machine works on an overlay (DIR/disk.qcow2) above it, which lives
on when the emulator is killed, so that start() after kill() is a power cut and a boot.

The console (serial line) is for what a person would see and type. Verdicts come over a channel of
their own, a virtio serial port: run() sends a command to the root shell on the console, and its
exit status and output come back over the port together with a nonce. Nothing waits a fixed time:
every wait has an event and a deadline.
"""
import base64
import contextlib
import errno
import json
import os
import re
import resource
import secrets
import select
import shutil
import signal
import socket
import subprocess
import time

QEMU = "qemu-system-x86_64"
OVMF = "/usr/share/OVMF/OVMF_{}_4M.fd"  # UEFI firmware: its code, and its variables when new


class Failure(Exception):
    """What a test reports: it did not go as it must."""


class Silence(Failure):
    """The console did not say in time what it should."""


def log(text):
    print("# " + text, flush=True)


def processor_time():
    """Seconds that programs which were started from here and have ended used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Port:
    """A Unix socket of the emulator, with everything received so far."""

    def __init__(self, path, copy=None):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.setblocking(False)
        self.data = b""
        self.copy = copy  # file that gets all bytes, or None

    def pump(self, timeout):
        """Wait for bytes, at most timeout seconds. False at the end of the stream."""
        ready, _, _ = select.select([self.sock], [], [], max(0, timeout))
        if not ready:
            return True
        try:
            got = self.sock.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not got:
            return False
        self.data += got
        if self.copy:
            self.copy.write(got)
            self.copy.flush()
        return True

    def send(self, data):
        self.sock.setblocking(True)
        self.sock.sendall(data)
        self.sock.setblocking(False)

    def take(self, pattern):
        """Match of pattern in what was received; the data up to its end is used up."""
        m = re.search(pattern, self.data)
        if m:
            self.data = self.data[m.end():]
        return m


class Monitor:
    """QEMU's monitor (QMP) at a Unix socket."""

    def __init__(self, path):
        deadline = time.monotonic() + 60
        while True:  # it comes after the other sockets
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(60)
            try:
                self.sock.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise Failure("no monitor at " + path)
                time.sleep(0.02)
        self.file = self.sock.makefile("r")
        self.events = []  # that nobody has waited for
        json.loads(self.file.readline())
        self.call("qmp_capabilities")

    def _read(self):
        """An answer; an event becomes one of the list, and None is returned."""
        answer = json.loads(self.file.readline())
        if "error" in answer:
            raise Failure(answer["error"]["desc"])
        if "event" in answer:
            self.events.append(answer["event"])
        return answer.get("return")

    def call(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        answer = None
        while answer is None:
            answer = self._read()
        return answer

    def event(self, name):
        while name not in self.events:
            self._read()
        self.events.remove(name)


class VM:
    def __init__(self, image, directory, memory=512, extra=(), disk=None, firmware="bios",
                 network="restrict=on", reboots=False, write_log=None):
        """image: None for a machine without a disk; disk: the emulator's name of the device [virtio-blk-pci, the one that UEFI is told to
        start: it looks at everything else first]; firmware: bios or uefi, whose variables last as
        long as the directory; network: options of the emulator's own network, which names itself as
        the router unless it is restricted; reboots: a reboot or reset inside is one, else it ends
        the emulator (see wait_off); write_log: file that gets all writes to the disk (powercut.py)."""
        self.reboots = reboots
        self.write_log = write_log
        self.dir = directory
        self.firmware = firmware
        self.memory = memory
        self.extra = list(extra)
        self.disk_device = disk or "virtio-blk-pci" + (",bootindex=0" if firmware == "uefi" else "")
        self.network = network
        self.proc = None
        self.console = None
        self.verdict = None
        self.boots = 0
        os.makedirs(directory, exist_ok=True)
        self.disk = os.path.join(directory, "disk.qcow2") if image else None
        if image and not os.path.exists(self.disk):
            kind = "qcow2" if image.endswith(".qcow2") else "raw"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b",
                            os.path.abspath(image), self.disk], check=True)

        if firmware == "uefi":
            shutil.copy(OVMF.format("VARS"), os.path.join(directory, "vars.fd"))

    # ---- life of the emulator ----------------------------------------------------------------

    def start(self):
        """Switch the machine on."""
        assert self.proc is None
        self.boots += 1
        self.before = processor_time()
        for name in ("serial", "verdict"):
            if os.path.exists(self._socket(name)):
                os.unlink(self._socket(name))
        self.errors = open(os.path.join(self.dir, "qemu.log"), "ab")
        self.proc = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=self.errors,
                                     stderr=self.errors)
        copy = open(os.path.join(self.dir, "console.log"), "ab")
        copy.write(b"\n==== boot %d ====\n" % self.boots)
        # QEMU waits for the sockets one after another, in the order of its arguments.
        self.console = self._connect(self._socket("serial"), copy)
        self.verdict = self._connect(self._socket("verdict"), None)

    def _socket(self, name):
        return os.path.join(self.dir, name + ".sock")

    def _wires(self):
        """Arguments: no screen; console and verdicts are sockets."""
        return [
            "-display", "none", "-monitor", "none",
            "-chardev", f"socket,id=s0,path={self._socket('serial')},server=on,wait=on",
            "-serial", "chardev:s0",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=v0,path={self._socket('verdict')},server=on,wait=on",
            "-device", "virtserialport,chardev=v0,name=cairn.verdict",
        ] + ([] if self.reboots else ["-no-reboot"])

    def _command(self):
        return [
            QEMU, "-accel", "tcg", "-m", str(self.memory), "-smp", "1", "-nodefaults",
        ] + self._wires() + self._firmware() + self.extra + self._disk() + [
            "-netdev", "user,id=n0," + self.network, "-device", "virtio-net-pci,netdev=n0",
            "-device", "virtio-rng-pci",
        ]

    def _disk(self):
        if self.disk and self.write_log:
            return logged_drive("d0", self.disk, "qcow2", self.write_log)
        return [] if self.disk is None else [
            "-drive", f"file={self.disk},if=none,id=d0,format=qcow2,cache=writeback",
            "-device", f"{self.disk_device},drive=d0",
        ]

    def _firmware(self):
        if self.firmware == "bios":
            return []
        flash = "if=pflash,format=raw,unit={},file={}"
        return ["-machine", "q35", "-drive", flash.format(0, OVMF.format("CODE")) + ",readonly=on",
                "-drive", flash.format(1, os.path.join(self.dir, "vars.fd"))]

    def _connect(self, path, copy):
        deadline = time.monotonic() + 60
        while True:
            try:
                return Port(path, copy)
            except (FileNotFoundError, ConnectionRefusedError):
                if self.proc.poll() is not None:
                    raise Failure("the emulator did not start: see qemu.log")
                if time.monotonic() > deadline:
                    raise Failure("no connection to " + path)
                time.sleep(0.02)

    def kill(self):
        """Power cut: what the guest has not sent to its disk is lost."""
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
        self._gone()

    def _gone(self):
        if self.proc:
            self.proc.wait()
            log(f"{os.path.basename(self.dir)}: boot {self.boots} took {processor_time() - self.before:.1f} s of processor time")
            self.proc = None
            self.console.sock.close()
            self.verdict.sock.close()
            self.errors.close()

    def wait_off(self, timeout=300):
        """Wait until the machine has switched itself off or wants to reboot."""
        deadline = time.monotonic() + timeout
        while self.proc.poll() is None:
            if time.monotonic() > deadline:
                raise Failure("the machine did not go down; last lines:\n" + self.tail())
            self.console.pump(0.2)
        while self.console.pump(0) and self.console.data:
            break
        self._gone()

    def __enter__(self):
        return self

    def __exit__(self, kind, why, trace):
        if kind and issubclass(kind, Exception):
            self._tell()
        self.kill()

    def _tell(self):
        """Say what a test that failed does not say: the end of the console and, when the machine answers, how its services are."""
        if self.boots:
            log(f"last lines of the console in {self.dir}:\n{self.tail()}")
        if self.proc is None or self.proc.poll() is not None:
            return
        try:
            # An interrupted shell loses a line or two of what is typed.
            self.type("\x03\n" + "echo here-$((40 + 2))\n" * 2)
            self.expect(rb"here-42", 20)
            log("services:\n" + self.run("cairn service list", 20)[1])
            for s in json.loads(self.run("cairn service list --json", 20)[1]):
                if s["state"] == "failed":
                    log(f"log of {s['name']}:\n" + self.run(f"cairn service log {s['name']}", 20)[1])
        except (Failure, OSError, ValueError):
            log("the machine does not answer")

    # ---- console --------------------------------------------------------------------------------

    def tail(self, lines=25):
        with open(os.path.join(self.dir, "console.log"), "rb") as f:
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", f.read()[-8192:].decode("utf-8", "replace"))
        return "\n".join("    " + l for l in text.splitlines()[-lines:])

    def expect(self, pattern, timeout=120):
        """Wait until the console has printed pattern (bytes regular expression)."""
        deadline = time.monotonic() + timeout
        while True:
            m = self.console.take(pattern)
            if m:
                return m
            left = deadline - time.monotonic()
            if left <= 0:
                raise Silence(f"console never said {pattern!r}; last lines:\n{self.tail()}")
            if not self.console.pump(min(left, 1)):
                raise Failure(f"the machine ended before it said {pattern!r}:\n{self.tail()}")

    def type(self, text):
        self.console.send(text.encode())

    def coax(self, pattern, timeout=120, text="\n"):
        """expect() of an answer that can be had again: a serial line may lose a letter of it, so type text when it is silent."""
        deadline = time.monotonic() + timeout
        while True:
            left, seen = deadline - time.monotonic(), self.console.copy.tell()
            try:
                return self.expect(pattern, min(left, 30))
            except Silence:
                if left <= 30:
                    raise
            if self.console.copy.tell() == seen:
                self.type(text)

    def login(self, timeout=240, user="root", host="", password=""):
        """Wait for the login prompt of the serial console, of that host, and log in."""
        self.coax(host.encode() + (rb" " if host else rb"") + rb"login: ", timeout)
        said = b"login: "
        while said != b"# " and said != b"$ ":
            self.type((password if said == b"assword: " else user) + "\n")
            said = self.coax(rb"login: |assword: |[#$] ")[0]
        # No echo and no prompt from here on: what is typed cannot be mistaken for an answer.
        self.type("stty -echo; PS1=; PS2=\n")
        self.run("true", timeout=60)

    # ---- commands -------------------------------------------------------------------------------

    def send_command(self, command):
        """Start a command; finish() gives its result."""
        nonce = secrets.token_hex(8)
        packed = base64.b64encode(command.encode()).decode()
        self.type(f"echo -n >/run/t.cmd\n")
        # A terminal takes lines of at most 4095 bytes.
        for i in range(0, len(packed), 1024):
            self.type(f"echo -n {packed[i:i + 1024]} >>/run/t.cmd\n")
        self.type("base64 -d </run/t.cmd >/run/t.sh; sh /run/t.sh </dev/null >/run/t.out 2>&1; "
                  f"echo \"{nonce} $? $(base64 /run/t.out | tr -d '\\n')\" "
                  ">$(echo /dev/vport*p1) || echo no verdict port\n")
        return nonce

    def finish(self, nonce, timeout=120):
        """(status, output) of the command started under nonce."""
        deadline = time.monotonic() + timeout
        pattern = nonce.encode() + rb" (\d+) ([A-Za-z0-9+/=]*)\n"
        while True:
            m = self.verdict.take(pattern)
            if m:
                return int(m[1]), base64.b64decode(m[2]).decode("utf-8", "replace")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure("no verdict in time; console:\n" + self.tail())
            self.console.pump(0)
            if not self.verdict.pump(min(left, 0.5)):
                raise Failure("the machine ended before its verdict:\n" + self.tail())

    def run(self, command, timeout=120):
        return self.finish(self.send_command(command), timeout)

    def check(self, command, timeout=120):
        """Output of a command that must succeed."""
        status, out = self.run(command, timeout)
        if status != 0:
            raise Failure(f"'{command}' ended with {status}:\n{out}")
        return out

    def wait_for(self, command, timeout=120):
        """Repeat a command in the machine until it succeeds."""
        return self.check(f"n=0; until {command}; do n=$((n+1)); [ $n -lt {timeout * 5} ] || "
                          "exit 1; usleep 200000; done", timeout + 60)


def logged_drive(name, path, kind, log, **more):
    """Arguments: a disk whose writes and flushes are recorded in the file log, which begins anew.
    Flushes take no time on the host, so the log has each where the guest sent it. The guest may not send zeroes without
    data: QEMU 7.2 records those wrongly when other writes are under way. Requests are not merged: with the header of an
    entry they would be of too many parts for the host, and fail."""
    with open(log, "wb"):
        pass
    options = "".join(f",{k.replace('_', '-')}={v}" for k, v in more.items())
    node = "driver={},node-name={},cache.no-flush=on,{}"
    return ["-blockdev", node.format("file", name + "-file", "filename=" + path),
            "-blockdev", node.format(kind, name + "-disk", "file=" + name + "-file"),
            "-blockdev", f"driver=raw,node-name={name}-top,file={name}-disk,cache.no-flush=on",  # see bad_sectors()
            "-blockdev", node.format("file", name + "-log", "filename=" + log),
            "-blockdev", f"driver=blklogwrites,node-name={name},file={name}-top,log={name}-log",
            "-device", f"virtio-blk-pci,drive={name},discard=off,write-zeroes=off,request-merging=off{options}"]


@contextlib.contextmanager
def bad_sectors(monitor, name, sectors):
    """Writes to these sectors of a disk of logged_drive() fail meanwhile."""
    def put(below):
        monitor.call("blockdev-reopen", options=[{"driver": "raw", "node-name": name + "-top", "file": below, "cache": {"no-flush": True}}])

    monitor.call("blockdev-add", **{"driver": "blkdebug", "node-name": name + "-bad", "image": name + "-disk", "inject-error": [
        {"event": "none", "iotype": "write", "errno": errno.EIO, "sector": n} for n in sectors]})
    put(name + "-bad")
    yield
    put(name + "-disk")
    monitor.call("blockdev-del", **{"node-name": name + "-bad"})


class Script(VM):
    """The machine of a script that `cairn system vm` wrote."""

    def __init__(self, script, directory, **options):
        super().__init__(None, directory, **options)
        self.script = script

    def _command(self):
        return ["env", "ACCEL=tcg", self.script] + self._wires() + self.extra


# ---- Cairn machines ----------------------------------------------------------------------------


def services(vm):
    """What PID 1 says about its services, by name."""
    return {s["name"]: s for s in json.loads(vm.check("cairn service list --json"))}


def settled(vm, timeout=300):
    """Wait until every wanted service is up; one that failed, or is not up in time, is a failure."""
    deadline = time.monotonic() + timeout
    while True:
        now = services(vm)
        failed = [f"{n}: {s['why']}" for n, s in now.items() if s["state"] == "failed"]
        if failed:
            raise Failure("services failed: " + "; ".join(failed))
        waiting = [n for n, s in now.items()
                   if s["wanted"] and s["state"] not in ("up", "done") and not s["listening"]]
        if not waiting:
            return now
        if time.monotonic() > deadline:
            raise Failure("services are not up: " + " ".join(waiting))
        vm.check("usleep 200000")


def pids(now):
    """Processes of the services that have one."""
    return {n: s["pid"] for n, s in now.items() if s["pid"]}


def boot(vm, timeout=300):
    """Switch on, log in, wait for all services."""
    start = time.monotonic()
    vm.start()
    vm.login(timeout)
    now = settled(vm)
    log(f"boot {vm.boots}: {len(now)} services up after {time.monotonic() - start:.1f} s")
    return now


def reboot(vm):
    """Orderly reboot from inside; all services are up again afterwards."""
    vm.type("cairn reboot\n")
    vm.wait_off(180)
    return boot(vm)


def again(test, *arguments):
    """Once more when the console did not say something that can be seen only there: the line may have lost a letter."""
    try:
        test(*arguments)
    except Silence as why:
        log(f"once more: {why}".replace("\n", "\n# "))
        test(*arguments)


def equal(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got!r}, expected {want!r}")


def generations(vm):
    return json.loads(vm.check("cairn system list-generations --json"))


def example(name="minimal"):
    """The path of a copy of examples/NAME.lua whose boot menu does not wait, as GRUB does that in a loop, and whose kernel
    does not test its timer, as that fails now and then when the emulator has to wait for a processor."""
    with open(os.path.join(os.environ["SRC"], "examples", name + ".lua"), encoding="utf-8") as f:
        text = f.read()
    for old, new in (r"(bootloader = \{[^}\n]* timeout = )\d+", r"\g<1>0"), (r"(kernel_arguments = \{)", r'\1 "no_timer_check",'):
        text, found = re.subn(old, new, text)
        if found != 1:
            raise Failure(f"examples/{name}.lua has no {old}")
    path = os.path.join(scratch("examples"), name + ".lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def build_image(config, output, kind="raw"):
    """Image of a configuration, from the private root CAIRN_ROOT; placed at output."""
    argv = [os.environ["CAIRN"], "system", "image", "-t", kind, config, "-o", output]
    log(" ".join(argv))
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure(f"'cairn system image' ended with {done.returncode}")
    return output


def partition(image, number):
    """Where a partition of a raw image begins, in bytes."""
    start = subprocess.run(["partx", "-g", "-o", "START", "--nr", str(number), image], check=True, stdout=subprocess.PIPE)
    return 512 * int(start.stdout)


def command(*argv):
    """What a command of cairn prints, in one line."""
    done = subprocess.run([os.environ["CAIRN"], *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure(f"'cairn {' '.join(argv)}' ended with {done.returncode}")
    return done.stdout.decode().strip()


def scratch(name):
    path = os.path.join(os.environ["TMP"], name)
    os.makedirs(path, exist_ok=True)
    return path


def timer_was_lost():
    """A kernel ended because the emulator gave it no timer interrupts while it tested them: the host had no processor for it.
    Tests ask their kernels not to test, but installed ones have the words of their own configurations."""
    for at, _dirs, files in os.walk(os.environ["TMP"]):
        if "console.log" in files:
            with open(os.path.join(at, "console.log"), "rb") as f:
                if b"IO-APIC + timer doesn't work" in f.read():
                    return True
    return False


def clear_scratch():
    for entry in os.scandir(os.environ["TMP"]):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def main(test):
    """Run test(); exit status 0 or 1, with the reason on standard output; 77 without QEMU. It is run again, twice at most, when
    what ended it was the emulator's timer."""
    if not shutil.which(QEMU):
        print("skip: no " + QEMU)
        raise SystemExit(77)
    for tries in range(3):
        try:
            return test()
        except Failure as why:
            if tries == 2 or not timer_was_lost():
                print(f"FAILED: {why}", flush=True)
                raise SystemExit(1)
            log(f"the emulator's timer was lost; once more: {why}".replace("\n", "\n# "))
            clear_scratch()
