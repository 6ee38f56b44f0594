# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts in switches of a machine whose kernels are on the EFI system partition, recorded and looked at as cuts.py does with the
root file system. What starts the machine reads that partition as it was cut, and nobody repairs it before."""
import hashlib
import os
import re
import shutil
import struct
import subprocess

import cuts
import fallback
import vm
from cuts import need

DIRECTORY = "EFI/cairn/"
PROGRAMS = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI.new"  # they change places; the second is removed then
HOSTS = {1: "cairn", 2: "other", 3: "third"}  # by generation
# A program as one should not replace it: for some time it is neither the old nor the new one.
CARELESS = "cd /boot/efi/EFI/BOOT && (echo; cat BOOTX64.EFI) >/tmp/program && cat /tmp/program >BOOTX64.EFI && sync"
PROFILE = "/var/guix/profiles/system"


def tool(disk, command, *args):
    """What mtools says of the EFI system partition: standard output, and complaints."""
    done = subprocess.run([command, "-i", f"{disk}@@{cuts.ESP_AT}", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return done.stdout.decode(), done.stderr.decode()


def chains(disk):
    """Clusters of the directories that a switch writes into."""
    return tool(disk, "mshowfat", "::EFI/cairn", "::EFI/BOOT")[0].strip()


def broken(disk):
    """Did the power go while the directory grew? Its last cluster is free then, and who looks for a name up to there finds an error."""
    return re.findall(".*Fat problem.*", tool(disk, "mdir", "-b", "::" + DIRECTORY)[1])


def total(data):
    """FNV-1a, of 32 bits."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


def opened(data):
    """Serial number and text of a file that has a menu; None when it is not whole."""
    text, _, last = (data or b"")[:-1].rpartition(b"\n")
    slot = re.fullmatch(rb"slot ([0-9]+) ([0-9a-f]{8})", last)
    if slot:
        if total(data[:-9]) != int(slot[2], 16):
            return None
        data = text + b"\n"
    whole = data and data.startswith(b"cairn-menu 1\n") and data.endswith(b"\nend\n")
    return (int(slot[1]) if slot else 0, data) if whole else None


def menu_of(disk):
    """The newer one that is whole."""
    found = [x for x in (opened(cuts.efi(disk, DIRECTORY + name)) for name in ("menu", "menu.2")) if x]
    return max(found)[1] if found else None


def hashes(disk, menu):
    """Of the kernels and initramfs that a menu names."""
    found = {}
    for name in set(re.findall(r"(?m)^(?:kernel|initrd) (\S+)$", menu.decode())):
        data = cuts.efi(disk, DIRECTORY + name)
        found[name] = data is not None and hashlib.sha256(data).hexdigest()
    return found


def is_crossed(disk):
    """Was the exchange of the programs cut between its two entries? Both names have the same clusters then."""
    found = re.findall(r"(?m)^\S+ <(\d+)", tool(disk, "mshowfat", *("::" + name for name in PROGRAMS))[0])
    return len(found) == 2 and found[0] == found[1]


def cross(disk, new):
    """Make it so, of a disk on which they have changed places: both are the new one, or the old one."""
    with open(disk, "r+b") as f:
        f.seek(cuts.ESP_AT)
        boot = f.read(64)
        sector, per, reserved, fats = struct.unpack_from("<HBHB", boot, 11)
        cluster = int(re.search(r"<(\d+)", tool(disk, "mshowfat", "::EFI/BOOT")[0])[1])
        at = cuts.ESP_AT + sector * (reserved + fats * struct.unpack_from("<L", boot, 36)[0] + (cluster - 2) * per)
        f.seek(at)
        data = f.read(sector * per)
        entries = {data[i:i + 11]: i for i in range(0, len(data), 32) if data[i + 11] != 0x0f}
        pair = entries[b"BOOTX64 EFI"], entries[b"BOOTX6~1NEW"]
        begin, end = pair if new else pair[::-1]
        for field, size in (20, 2), (26, 6):  # first cluster, size
            f.seek(at + end + field)
            f.write(data[begin + field:begin + field + size])
    need("the programs do not have the same clusters", is_crossed(disk))


def shared(disk, directory):
    """What fsck.vfat says of clusters that two files have: to remove one of them would damage the other. Nothing, when they are the programs, and
    nothing else."""
    raw = os.path.join(directory, "esp.fat")
    cuts.powercut.copy(disk, raw, cuts.ESP_AT, cuts.ESP_SIZE)
    said = cuts.tool("fsck.vfat", "-n", raw, statuses=(0, 1))
    os.unlink(raw)
    if is_crossed(disk):
        said = re.sub(r"/{} +and\n/{}\n +share clusters\.\n".format(*map(re.escape, PROGRAMS)), "", said, count=1)
    return re.findall(r"(?i).*(?:share clusters|start does point|bad|invalid).*", said)


class Switches(cuts.Recorded):
    """The menu is that of the state before or after, and all that it names is whole. So is the program. sample: profile, note and database are
    looked at only where the partition is checked, too; else of every cut."""
    sample = False

    def __init__(self, *recorded):
        super().__init__(*recorded)
        self.menus, self.programs, chained, self.profiles = zip(*self.at_marks([self.begin, *self.marks], lambda: (
            menu_of(self.work), cuts.efi(self.work), chains(self.work), self.user_space().link(PROFILE))))
        need("not every state has a menu", None not in self.menus)
        need("not every state has a program", None not in self.programs)
        need("no switch changes the program", self.programs[0] != self.programs[1])
        need(f"a directory grew: {chained}", chained[0] and set(chained) == {chained[0]})
        self.verified = set()

    def user_space(self):
        """What says which generation is the current one, and which items are valid."""
        return cuts.Root(self.work, os.path.join(self.directory, "root"), ("/var/guix",))

    def allowed(self, at):
        """Numbers of the states that the disk may be in after a cut at that entry."""
        done = sum(at >= m for m in self.marks)
        return range(done, min(done + 2, len(self.menus)))

    def look(self, at):
        menu = menu_of(self.work)
        found = [n for n in self.allowed(at) if self.menus[n] == menu]
        need(f"the menu is neither the old nor the new one: {menu and menu[:200]!r}", found)
        for name, value in hashes(self.work, menu).items():
            need(f"{name} is not whole", value and value.startswith(name.split("-")[0]))
        block = cuts.efi(self.work, DIRECTORY + "grubenv")
        need(f"the environment block is torn: {block and block[:100]!r}",
             block and len(block) == 1024 and re.fullmatch(rb"# GRUB Environment Block\n((?:[a-z_]+=[^\n]*\n)*)#*", block))
        need(f"the directory is cut: {broken(self.work)}", not broken(self.work))
        counts = re.findall(r"(?m)^cairn_([a-z_]+)=(.*)$", block.decode())
        kind = " ".join([f"menu {found[0]},", *(f"{name} {value}" for name, value in sorted(counts))]) + self.program(found, at)
        return kind if self.sample else self.linux(at, kind)

    def program(self, found, at):
        """It is there before the menu that is made for it."""
        data = cuts.efi(self.work)
        numbers = [n for n in self.allowed(at) if self.programs[n] == data]
        need(f"the program is neither the old nor the new one: {data and len(data)} bytes", numbers)
        need("the menu is new, and the program is old", max(numbers) >= min(found))
        # One that was changed in between is counted once.
        number = len({self.programs[n] for n in range(numbers[0] + 1)}) - 1
        return f", program {number}" + (", crossed" if is_crossed(self.work) else "")

    def linux(self, at, kind):
        """And which profile there is when the journal of the root was replayed, and whether the switch is noted."""
        need(f"files share clusters: {shared(self.work, self.directory)}", not shared(self.work, self.directory))
        root = self.user_space()
        found = [n for n in self.allowed(at) if self.profiles[n] == root.link(PROFILE)]
        need(f"the profile is {root.link(PROFILE)}", found)
        note = os.path.exists(root.tree + cuts.NOTE)
        need("menu and profile differ, and no note says so", note or menu_of(self.work) in [self.menus[n] for n in found])
        cuts.tool(os.environ["CAIRN"], "store", "query", "--root", root.tree, "-R", root.system())
        return f"{kind}, profile {found[0]}" + (", note" if note else "")

    def host(self, kind):
        """Of the machine that starts from such a disk."""
        return HOSTS[int(re.search(rb"(?m)^default (\d+)$", self.menus[int(kind.split(",")[0][5:])])[1])]

    def examine(self, at, kind):
        if self.sample:
            kind = self.linux(at, kind)
        if kind not in self.verified:
            self.verified.add(kind)
            self.root().verify()
        return kind


def switches(m, log, commands):
    """From a program that is another one, as that of an earlier version, switch to a generation with another kernel, and what else there is to
    do; where the first begins in the log, each ends, and all is settled."""
    def now():
        return len(cuts.powercut.Log(log).entries)

    for host in "other", "third":
        m.check(f"cat >/root/{host}.lua <<'END'\n{fallback.other_kernel(host, m.kind)}\nEND")
    m.check(f"echo >>/boot/efi/{PROGRAMS[0]}; sync")
    begin, marks = now(), []
    for command in ("reconfigure --boot /root/other.lua", *commands):
        m.check("cairn system " + command, timeout=600)
        marks.append(now())
    m.check("sync")
    return begin, marks, now()


def recorded(image, log, found, directory):
    """What switches() found, to be looked at; what came later in the log does not count."""
    begin, marks, end = found
    s = Switches(image, log, begin, marks, directory)
    del s.log.entries[end:]
    return s


def record(directory):
    """To another kernel and program, back, to a third generation with the same kernel, back again; the second one deleted, and the rest
    collected."""
    os.makedirs(directory, exist_ok=True)
    image, log = fallback.image("esp"), os.path.join(directory, "log")
    with fallback.machine(image, "esp", write_log=log) as m:
        m.start()
        m.login()
        m.wait_for("cairn system status | grep -qx 'last good    generation 1'")
        found = switches(m, log, ("switch-generation --boot 1", "reconfigure --boot /root/third.lua", "switch-generation --boot 1",
                                  "delete-generations 2", "gc --keep 0"))
        vm.equal("generations", [g["generation"] for g in vm.generations(m)], [1])
        m.check(CARELESS)
        careless = found[2], [len(cuts.powercut.Log(log).entries)], len(cuts.powercut.Log(log).entries)
    s = recorded(image, log, found, os.path.join(directory, "esp"))
    need("the last generation was not deleted at the end", s.menus[-1] != s.menus[-2])
    s.careless = lambda: recorded(image, log, careless, os.path.join(directory, "careless"))
    return s


def control(s):
    """A program that was written over the old one must be found: else nothing here would find anything."""
    try:
        s.careless().sweep(16)
    except vm.Failure as why:
        need(f"another thing is found: {why}", "the program is neither" in str(why))
        return str(why)
    raise vm.Failure("a program that is replaced without care is not found")


def exchanged(s, disk):
    """Make it one on which the old and the new program have changed places, and the old one is not removed yet."""
    replay = s.replay()
    for _name, at in replay.cuts(s.begin, s.marks[0], 0, cuts.SEED):
        if at < s.marks[0] and [cuts.efi(s.work, name) for name in PROGRAMS] == [s.programs[1], s.programs[0]]:
            break
    else:
        raise vm.Failure("no flush shows both programs after their exchange")
    replay.disk.close()
    cuts.powercut.copy(s.work, disk)


def switched(disk, directory):
    """Start it, switch to the other generation, and stop: status, and what was said."""
    with vm.VM(disk, directory, firmware="uefi", memory=384) as m:
        m.start()
        m.login()
        vm.settled(m)
        found = m.run("cairn system reconfigure --boot /root/other.lua 2>&1", timeout=600)
        m.type("cairn poweroff\n")
        m.wait_off()
    cuts.tool("qemu-img", "convert", "-O", "raw", m.disk, disk + ".new")
    os.rename(disk + ".new", disk)
    shutil.rmtree(directory)
    return found


def crossed(s, new):
    """An exchange that was cut between its two entries, as doc/boot.md has it: the machine starts; the next switch leaves both names alone, and
    asks for a repair when it has to replace the program. After that it does."""
    disk, directory = os.path.join(s.directory, "crossed.raw"), os.path.join(s.directory, "boot")
    exchanged(s, disk)
    cross(disk, new)
    now = s.programs[int(new)]
    need("the program is not whole", cuts.efi(disk) == now)
    need("something else shares clusters", not shared(disk, s.directory))
    status, said = switched(disk, directory)
    if new:
        need(f"the program is the new one, and the switch fails: {said}", status == 0)
    else:
        need(f"the switch does not ask for a repair: {said}", status and "have the same clusters" in said and "fsck.vfat -a" in said)
    need("the switch changed one of the names", is_crossed(disk) and cuts.efi(disk) == now)
    fat = os.path.join(s.directory, "esp.fat")
    cuts.powercut.copy(disk, fat, cuts.ESP_AT, cuts.ESP_SIZE)
    cuts.tool("fsck.vfat", "-a", fat, statuses=(1,))
    with open(fat, "rb") as f, open(disk, "r+b") as d:
        d.seek(cuts.ESP_AT)
        d.write(f.read())
    os.unlink(fat)
    need("the repair damages the program", cuts.efi(disk) == now)
    status, said = switched(disk, directory)
    need(f"repaired, the switch fails: {said}", status == 0)
    need("repaired, the program is not replaced", cuts.efi(disk) == s.programs[1] and cuts.efi(disk, PROGRAMS[1]) is None)
    cuts.esp_is_clean(disk, s.directory)
    os.unlink(disk)
