# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on a machine whose disks are recorded, and what must be true of a disk after a power cut in them.

The cheap look is GRUB's own: it reads the disk as it was cut, before anything replays a journal or repairs. The thorough one
lets e2fsck replay it, as the kernel would, and looks at profile, database and store. doc/durability.md says what must hold."""
import hashlib
import os
import re
import shutil
import subprocess

import medium
import powercut
import vm

SEED = 1
ROOT_AT = 66 << 20  # in the usual layout
ESP_AT, ESP_SIZE = 2 << 20, 64 << 20
NOTE = "/var/guix/profiles/system.switch"
TABLE = """label: gpt
size=1MiB, type=21686148-6449-6E6F-744E-656564454649
size=64MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
"""
os.environ["PATH"] += ":/usr/sbin:/sbin"
TOOLS = {"grub-fstest": "grub-common", "e2fsck": "e2fsprogs", "debugfs": "e2fsprogs", "mtype": "mtools",
         "fsck.vfat": "dosfstools", "sfdisk": "fdisk"}


def missing():
    """The first tool that is not there, with the package to install, or None."""
    return next((f"no {t} [apt install {p}]" for t, p in TOOLS.items() if not shutil.which(t)), None)


def tool(*argv, statuses=(0,)):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode not in statuses:
        raise vm.Failure(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def need(what, is_so):
    if not is_so:
        raise vm.Failure(what)


# ---- what GRUB reads -------------------------------------------------------------------------------


def grub(disk, path):
    """A file as GRUB reads it from the root partition; None when it cannot."""
    done = subprocess.run(["grub-fstest", disk, "cat", "(loop0,gpt3)" + path], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else None


def files_of(menu):
    """Kernels and initramfs that a menu names."""
    found = set(re.findall(r"(?m)^\t(?:linux|initrd) '([^']+)'", menu.decode()))
    need(f"the menu names other files: {found}", found and all(path.startswith("/boot/cairn/") for path in found))
    return found


def hashes(disk, menu):
    """Of the files that a menu names; None where GRUB finds none."""
    found = {path: grub(disk, path) for path in files_of(menu)}
    return {path: None if data is None else hashlib.sha256(data).hexdigest() for path, data in found.items()}


def environment(disk):
    """The variables of GRUB's environment block, which must be whole."""
    block = grub(disk, "/boot/grub/grubenv")
    need("GRUB cannot read the environment block", block is not None)
    m = re.fullmatch(rb"# GRUB Environment Block\n((?:[a-z_]+=[^\n]*\n)*)#*", block)
    need(f"the environment block is torn: {block!r}", len(block) == 1024 and m)
    return dict(line.split("=", 1) for line in m[1].decode().splitlines())


def counts(disk, menu):
    """The default of a menu, and what the environment block makes of it: together they are what is booted."""
    default = re.search(rb"(?m)^set default='gen-(\d+)'$", menu)[1].decode()
    return " ".join([f"default {default}", *(f"{name[6:]} {value}" for name, value in sorted(environment(disk).items()))])


def code(disk):
    """GRUB's boot code for BIOS machines: of the first sector, and of its own partition."""
    with open(disk, "rb") as f:
        first = f.read(440)
        f.seek(1 << 20)
        return first + f.read(1 << 20)


def efi(disk, name="EFI/BOOT/BOOTX64.EFI"):
    """A file of the EFI system partition; None when it is not there."""
    done = subprocess.run(["mtype", "-i", f"{disk}@@{ESP_AT}", "::" + name], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 or done.stdout else None  # read, though the directory is damaged behind it


# ---- what the kernel finds --------------------------------------------------------------------------


def root_replayed(disk, raw):
    """A copy of the disk's root file system, its journal replayed."""
    powercut.copy(disk, raw, ROOT_AT, os.path.getsize(disk) - ROOT_AT - (1 << 20))
    tool("e2fsck", "-fy", "-E", "journal_only", raw, statuses=(0, 1))


class Root:
    """The root file system of a disk after a replay of its journal, as a tree, or the parts of it that are wanted. keep: more
    can be extracted."""

    def __init__(self, disk, directory, wanted=("/",), keep=False):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        self.tree = os.path.join(directory, "tree")
        os.mkdir(self.tree)
        self.raw = os.path.join(directory, "root.ext4")
        root_replayed(disk, self.raw)
        # The kernel does as much when it mounts: files that were open and had no name any more.
        said = tool("e2fsck", "-fy", self.raw, statuses=(0, 1))
        bad = [line for line in said.splitlines() if line.endswith("? yes") and "orphan" not in line.lower()
               and "count wrong" not in line]
        need(f"the file system is damaged: {bad[:5]}", not bad)
        self.extract(wanted)
        if not keep:
            os.unlink(self.raw)

    def extract(self, paths):
        """What is not there is left out."""
        lines = []
        for path in paths:
            into = self.tree + os.path.dirname(path)
            os.makedirs(into, exist_ok=True)
            lines.append(f"rdump {path} {into}\n")
        commands = self.raw + ".commands"
        with open(commands, "w", encoding="utf-8") as f:
            f.writelines(lines)
        tool("debugfs", "-f", commands, self.raw)
        os.unlink(commands)

    def link(self, path):
        try:
            return os.readlink(self.tree + path)
        except OSError:
            return None

    def system(self):
        """Store path of the current generation; None when there is none."""
        link = self.link("/var/guix/profiles/system")
        return link and self.link("/var/guix/profiles/" + link)

    def verify(self):
        """Every valid item is whole, and the current generation's closure is valid."""
        cairn = os.environ["CAIRN"]
        tool(cairn, "store", "verify", "--root", self.tree)
        tool(cairn, "store", "query", "--root", self.tree, "-R", self.system())


def esp_is_clean(disk, directory):
    raw = os.path.join(directory, "esp.fat")
    powercut.copy(disk, raw, ESP_AT, ESP_SIZE)
    # 1: an unclean shutdown is noted, or free space is counted wrong; both are no loss.
    said = tool("fsck.vfat", "-n", raw, statuses=(0, 1))
    need(f"the EFI system partition is damaged:\n{said}",
         not re.search(r"(?i)\bbad\b|cluster chain|shares? cluster|orphan|start cluster|invalid|file size is|reclaim", said))
    os.unlink(raw)


# ---- generations ------------------------------------------------------------------------------------


class State:
    """What is to be found: a menu with its files, and a system."""

    def __init__(self, disk, directory):
        self.menu = grub(disk, "/boot/grub/grub.cfg")
        self.hashes = hashes(disk, self.menu)
        need("GRUB does not find what the menu names", None not in self.hashes.values())
        root = Root(disk, directory)
        root.verify()
        self.system = root.system()
        self.profile = root.link("/var/guix/profiles/system")
        with open(root.tree + "/boot/grub/grub.cfg", "rb") as f:
            need("GRUB does not read the menu that Linux sees", f.read() == self.menu)

    def default(self):
        return re.search(rb"(?m)^set default='gen-(\d+)'$", self.menu)[1].decode()


class Recorded:
    """A recorded operation: the disk before it, the log of writes, and entries of the log: begin, and marks, at which something
    was reported as done."""

    def __init__(self, image, log, begin, marks, directory):
        self.image, self.log, self.begin, self.marks = image, powercut.Log(log), begin, marks
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.work = os.path.join(directory, "work.raw")

    def replay(self):
        powercut.copy(self.image, self.work)
        return powercut.Replay(self.work, self.log)

    def at_marks(self, marks, look):
        """What look() says of the disk at each of the entries, with everything sent by then."""
        replay, found = self.replay(), []
        for at in marks:
            replay.advance(at)
            for entry in replay.pending:
                replay.disk.write(entry[0], self.log.bytes_of(entry))
            found.append(look())
            replay.disk.restore()
        replay.disk.close()
        return found

    def root(self):
        return Root(self.work, os.path.join(self.directory, "root"))

    def sweep(self, subsets, only=None, deep=None, note=None):
        """Look at every cut, or at those with only(number, entry); examine the first of each kind that look() tells apart, and
        those with deep(number). note(number, kind) gets each, while the disk is as it was cut. Returns how many were of each
        kind."""
        replay, counts = self.replay(), {}
        looked = set()
        for n, (name, at) in enumerate(replay.cuts(self.begin, len(self.log.entries), subsets, SEED)):
            if only and not only(n, at):
                continue
            try:
                kind = self.look(at)
                if kind not in looked or (deep and deep(n)):
                    looked.add(kind)
                    kind = self.examine(at, kind)
            except vm.Failure as why:
                if "KEEP" in os.environ:
                    powercut.copy(self.work, os.path.join(os.environ["KEEP"], "cut.raw"))
                raise vm.Failure(f"cut {n} ({name}): {why} [KEEP=DIR keeps the disk as DIR/cut.raw]")
            counts[kind] = counts.get(kind, 0) + 1
            if note:
                note(n, kind)
        replay.disk.close()
        return counts


class Switches(Recorded):
    """Generations: menu, profile and note are those of the state before or after, as doc/system.md has it. sample: profile, note and database
    are looked at only where the store is, too; else of every cut."""
    sample = False

    def __init__(self, *recorded):
        super().__init__(*recorded)
        self.states = self.at_marks([self.begin, *self.marks],
                                    lambda: State(self.work, os.path.join(self.directory, "root")))
        self.files = {}
        for state in self.states:
            self.files.update(state.hashes)
        self.code = code(self.image), efi(self.image)

    def allowed(self, at):
        """Numbers of the states that the disk may be in after a cut at that entry."""
        done = sum(at >= m for m in self.marks)
        return range(done, min(done + 2, len(self.states)))

    def look(self, at):
        menu = grub(self.work, "/boot/grub/grub.cfg")
        found = [n for n in self.allowed(at) if self.states[n].menu == menu]
        need(f"the menu is neither the old nor the new one: {menu and menu[:200]!r}", found)
        for path, value in hashes(self.work, menu).items():
            need(f"GRUB does not find {path}", value)
            need(f"GRUB reads other bytes of {path}", value == self.files[path])
        env = environment(self.work)
        need(f"environment: {env}", set(env) <= {"cairn_good", "cairn_try", "cairn_left"}
             and env.get("cairn_good", "1") == "1" and env.get("cairn_left", "3") == "3")
        trial = self.states[found[0]].default()
        need(f"the new generation is not on trial: {env}", trial == "1" or env.get("cairn_try") == trial)
        kind = f"menu {found[0]}, {counts(self.work, menu)}"
        if self.sample:
            return kind
        return kind + self.linux(at, Root(self.work, os.path.join(self.directory, "root"), ("/var/guix", "/boot/grub/grub.cfg")))

    def linux(self, at, root):
        """Which profile there is when the journal was replayed, and whether the switch is noted."""
        system = root.system()
        found = [n for n in self.allowed(at)
                 if (self.states[n].system, self.states[n].profile) == (system, root.link("/var/guix/profiles/system"))]
        need(f"the profile is {system}", found)
        with open(root.tree + "/boot/grub/grub.cfg", "rb") as f:
            seen = f.read()
        need("Linux sees another menu", seen in [self.states[n].menu for n in self.allowed(at)])
        # Menu and profile may differ only as long as the note says that it is not finished.
        note = os.path.exists(root.tree + NOTE)
        need("menu and profile differ, and no note says so", note or seen in [self.states[n].menu for n in found])
        tool(os.environ["CAIRN"], "store", "query", "--root", root.tree, "-R", system)
        return f", profile {found[0]}" + (", note" if note else "")

    def examine(self, at, kind):
        root = self.root()
        root.verify()
        # A switch does not write GRUB's programs: the installation does.
        need("boot code was changed", (code(self.work), efi(self.work)) == self.code)
        return kind + self.linux(at, root) if self.sample else kind


def undated(menu):
    """Without the time of a generation: an installation that is run again has another."""
    return re.sub(rb"(Generation \d+), \d{4}-\d\d-\d\d \d\d:\d\d", rb"\1", menu)


class Installation(Recorded):
    """A disk looks installed only when it is."""

    def __init__(self, *recorded):
        super().__init__(*recorded)
        (self.end, self.code, self.efi), = self.at_marks(self.marks, lambda: (
            State(self.work, os.path.join(self.directory, "root")), code(self.work), efi(self.work)))

    def look(self, at):
        menu = grub(self.work, "/boot/grub/grub.cfg")
        if not menu:
            need("it was reported as installed", at < self.marks[0])
            return "does not start"
        need("another menu", undated(menu) == undated(self.end.menu))
        need("GRUB reads other bytes", hashes(self.work, menu) == self.end.hashes)
        need("there is a menu, but the boot code is not whole", code(self.work) == self.code)
        need("there is a menu, but BOOTX64.EFI is not whole", efi(self.work) == self.efi)
        return "installed"

    def examine(self, _at, kind):
        if kind == "installed":
            root = self.root()
            root.verify()
            need("another system", root.system() == self.end.system)
            esp_is_clean(self.work, self.directory)
        return kind


class Unattended(Installation):
    """The same of a whole disk, from its table of partitions on."""

    def examine(self, at, kind):
        if kind == "installed":
            tool("sfdisk", "--verify", self.work)
        return super().examine(at, kind)


class Written(Recorded):
    """A file of the root file system has its name only when it is complete."""

    def __init__(self, name, value, *recorded):
        super().__init__(*recorded)
        self.name, self.value = name, value

    def look(self, at):
        raw, out = (os.path.join(self.directory, name) for name in ("root.ext4", "file"))
        root_replayed(self.work, raw)
        tool("debugfs", "-R", f"dump {self.name} {out}", raw)
        os.unlink(raw)
        if not os.path.exists(out):
            need("it was reported as written", at < self.marks[0])
            return "absent"
        with open(out, "rb") as f:
            value = hashlib.sha256(f.read()).hexdigest()
        os.unlink(out)
        need("it has its name and is not complete", value == self.value)
        return "complete"

    def examine(self, _at, kind):
        return kind


def empty_disk(path, size=400 << 20):
    """Partitions, with file systems, and nothing else."""
    with open(path, "wb") as f:
        f.truncate(size)
    subprocess.run(["sfdisk", "-q", path], input=TABLE.encode(), check=True)
    tool("mkfs.vfat", "-F", "32", "-s", "1", "--offset", str(ESP_AT // 512), path, str(ESP_SIZE >> 10))
    tool("mke2fs", "-qF", "-t", "ext4", "-O", "^metadata_csum_seed,^orphan_file", "-L", "cairn-root", "-E",
         f"offset={ROOT_AT}", path, f"{(size - ROOT_AT >> 10) - 1024}k")
    return path


def init_command(disk):
    """Install onto a disk that empty_disk made, with the modules of the image, whatever has been pulled."""
    return (f"mkdir -p /run/new && mount -t ext4 {disk}3 /run/new && mkdir -p /run/new/boot/efi && "
            f"mount -t vfat {disk}2 /run/new/boot/efi && cairn system init --quiet --boot-disk {disk} "
            "--esp /run/new/boot/efi --modules /run/current-system/modules /etc/cairn/system.lua /run/new")


def config(path):
    """The minimal machine, with the boot code that it is to put on another disk."""
    with open(os.path.join(os.environ["SRC"], "examples/minimal.lua"), encoding="utf-8") as f:
        text = f.read()
    need("examples/minimal.lua has no packages = {}", text.count("packages = {},") == 1)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("packages = {},", 'packages = { require("bootloader.grub").bios(3), '
                             'require("bootloader.grub").efi(3) },'))
    return path


# Another initramfs, so that the menu names other files.
CHANGE = "sed -i 's/host_name = \"[^\"]*\"/host_name = \"cut\", initrd_rescue = false/' /etc/cairn/system.lua; sync"
LINKED = "stat -c %i /boot/cairn/*/* | grep -qx $(stat -L -c %i /var/guix/profiles/system/initrd)"
NAIVE = "cd /boot/grub && sed s/timeout=1/timeout=2/ grub.cfg >new && mv new grub.cfg && sync"


def boots(disk, directory, firmware="bios", password="", twice=False):
    """The disk starts, without help, and is one system: what was booted is what the profile says. twice: a switch may be undone by the second boot
    only, as Linux writes nothing more to a FAT file system on which it removed a file that was cut."""
    with vm.VM(disk, directory, firmware=firmware, memory=384, reboots=twice) as m:
        m.start()
        m.login(password=password)
        vm.settled(m)
        if twice and m.run(f"test -e {NOTE} && grep -q 'Read-only file system' /var/log/cairn/activation.log")[0] == 0:
            vm.log("the partition is only read: started again")
            m.type("cairn reboot\n")
            m.login(password=password)
            vm.settled(m)
        m.wait_for("[ $(readlink -f /run/booted-system) = $(readlink -f /var/guix/profiles/system) ]", 60)
        m.check(f"test ! -e {NOTE}")
        m.check("cairn store verify", timeout=600)
        host = m.check("hostname").strip()
        m.check("cairn system status >/dev/null")
    shutil.rmtree(directory)
    return host


def finish_installation(image, disks, directory):
    """Run the installation again, on each of the disks; the machine itself starts from image."""
    extra = []
    for i, disk in enumerate(disks):
        extra += ["-drive", f"file={disk},if=none,id=t{i},format=raw,cache=unsafe",
                  "-device", f"virtio-blk-pci,drive=t{i},addr={0x1a + i:#x}"]
    with vm.VM(image, directory, extra=extra) as m:
        m.start()
        m.login()
        vm.settled(m)
        m.check(CHANGE)
        for i in range(len(disks)):
            m.check(init_command(f"/dev/vd{chr(ord('b') + i)}"), timeout=600)
            m.check("umount /run/new/boot/efi /run/new")
    shutil.rmtree(directory)


def unattended(iso, directory, size=700 << 20):
    """A recorded installation from the medium that asks nothing, on an empty disk."""
    os.makedirs(directory, exist_ok=True)
    empty, target, log = (os.path.join(directory, name) for name in ("empty.raw", "target.raw", "log"))
    with open(empty, "wb") as f:
        f.truncate(size)
    powercut.copy(empty, target)
    medium.install(iso, directory, vm.logged_drive("d1", target, "raw", log, serial="TARGET"))
    os.unlink(target)
    return Unattended(empty, log, 0, [len(powercut.Log(log).entries)], directory)


class Recording:
    """One boot of a machine with two recorded disks."""

    def __init__(self, image, directory):
        os.makedirs(directory, exist_ok=True)
        self.image, self.directory = image, directory
        self.empty = empty_disk(os.path.join(directory, "empty.raw"))
        self.logs = [os.path.join(directory, name + ".log") for name in ("first", "second")]

    def _now(self, disk=0):
        return len(powercut.Log(self.logs[disk]).entries)

    def record(self, image=False, guest=None, live=None):
        """Switch to a second generation, and back; delete it; write a menu as one should not; install on the second disk. image: write an
        image there, too; guest: has a disk (drive()) and more to do (run()); live: has more to do where the machine is as it was (run()), and at
        the end (collect())."""
        target = os.path.join(self.directory, "target.raw")
        powercut.copy(self.empty, target)
        with vm.VM(self.image, os.path.join(self.directory, "vm"), write_log=self.logs[0],
                   extra=vm.logged_drive("d1", target, "raw", self.logs[1], addr="0x1a") + (guest.drive() if guest else [])) as m:
            m.start()
            m.login()
            m.wait_for("cairn system status | grep -qx 'last good    generation 1'")
            m.check(CHANGE)
            begin = self._now()
            m.check("cairn system reconfigure --boot", timeout=300)
            marks = [self._now()]
            m.check(LINKED)
            for command in "switch-generation --boot 1", "delete-generations 2":
                m.check("cairn system " + command)
                marks.append(self._now())
            m.check("sync")
            end = self._now()
            if live:
                live.run(m, self._now)
            naive = [self._now()]
            m.check(NAIVE)
            naive.append(self._now())
            m.check(init_command("/dev/vdb"), timeout=600)
            done = self._now(1)
            self.found = {"begin": begin, "marks": marks, "end": end, "naive": naive, "done": done}
            if image:
                self._record_image(m)
            if live:
                live.collect(m, self._now)
            if guest:
                guest.run(m, self._now)
        os.unlink(target)

    def _record_image(self, m):
        m.check("sync")
        self.found["image"] = [self._now(1)]
        m.check("cairn system image -t docker /etc/cairn/system.lua -o /run/new/image", timeout=1800)
        self.found["image"].append(self._now(1))
        self.found["hash"] = m.check("sha256sum /run/new/image").split()[0]

    def switches(self):
        f = self.found
        s = Switches(self.image, self.logs[0], f["begin"], f["marks"], os.path.join(self.directory, "switches"))
        del s.log.entries[f["end"]:]
        return s

    def control(self):
        """A menu that was only renamed and synced must be found: else nothing here would find anything."""
        f = self.found
        try:
            s = Switches(self.image, self.logs[0], f["naive"][0], f["naive"][1:], os.path.join(self.directory, "naive"))
            del s.log.entries[f["naive"][1]:]
            s.sweep(16)  # a cut in the few writes that sync makes
        except vm.Failure as why:
            return str(why)
        raise vm.Failure("a menu that is written without care is not found")

    def installation(self):
        s = Installation(self.empty, self.logs[1], 0, [self.found["done"]], os.path.join(self.directory, "installation"))
        del s.log.entries[self.found.get("image", [len(s.log.entries)])[0]:]
        return s

    def written(self):
        begin, end = self.found["image"]
        return Written("/image", self.found["hash"], self.empty, self.logs[1], begin, [end],
                       os.path.join(self.directory, "written"))
