# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts in switches of a machine whose kernels are on the EFI system partition, recorded and looked at as cuts.py does with the
root file system. What starts the machine reads that partition as it was cut, and nobody repairs it before."""
import hashlib
import os
import re
import subprocess

import cuts
import fallback
import vm
from cuts import need

DIRECTORY = "EFI/cairn/"
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


def shared(disk, directory):
    """What fsck.vfat says of clusters that two files have: to remove one of them would damage the other."""
    raw = os.path.join(directory, "esp.fat")
    cuts.powercut.copy(disk, raw, cuts.ESP_AT, cuts.ESP_SIZE)
    said = cuts.tool("fsck.vfat", "-n", raw, statuses=(0, 1))
    os.unlink(raw)
    return re.findall(r"(?i).*(?:share clusters|start does point|bad|invalid).*", said)


class Switches(cuts.Recorded):
    """The menu is that of the state before or after, and all that it names is whole."""

    def __init__(self, *recorded):
        super().__init__(*recorded)
        self.menus, chained, self.profiles = zip(*self.at_marks([self.begin, *self.marks], lambda: (
            menu_of(self.work), chains(self.work), self.user_space().link(PROFILE))))
        need("not every state has a menu", None not in self.menus)
        need(f"a directory grew: {chained}", chained[0] and set(chained) == {chained[0]})
        self.program = cuts.efi(self.image)
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
        return " ".join([f"menu {found[0]},", *(f"{name} {value}" for name, value in sorted(counts))])

    def examine(self, at, kind):
        need(f"files share clusters: {shared(self.work, self.directory)}", not shared(self.work, self.directory))
        need("the program was changed", cuts.efi(self.work) == self.program)
        root = self.user_space()
        found = [n for n in self.allowed(at) if self.profiles[n] == root.link(PROFILE)]
        need(f"the profile is {root.link(PROFILE)}", found)
        note = os.path.exists(root.tree + cuts.NOTE)
        need("menu and profile differ, and no note says so", note or menu_of(self.work) in [self.menus[n] for n in found])
        cuts.tool(os.environ["CAIRN"], "store", "query", "--root", root.tree, "-R", root.system())
        kind = f"{kind}, profile {found[0]}" + (", note" if note else "")
        if kind not in self.verified:
            self.verified.add(kind)
            self.root().verify()
        return kind


def switches(m, log, commands):
    """Switch to a generation with another kernel, and what else there is to do; where the first begins in the log, each ends, and all is
    settled."""
    def now():
        return len(cuts.powercut.Log(log).entries)

    m.check(f"cat >/root/other.lua <<'END'\n{fallback.other_kernel('other', m.kind)}\nEND\nsync")
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
    """To another kernel, back, to it again, back again, and that generation deleted."""
    os.makedirs(directory, exist_ok=True)
    image, log = fallback.image("esp"), os.path.join(directory, "log")
    with fallback.machine(image, "esp", write_log=log) as m:
        m.start()
        m.login()
        m.wait_for("cairn system status | grep -qx 'last good    generation 1'")
        found = switches(m, log, ("switch-generation --boot 1", "switch-generation --boot 2", "switch-generation --boot 1",
                                  "delete-generations 2"))
    return recorded(image, log, found, os.path.join(directory, "esp"))
