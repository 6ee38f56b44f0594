#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# The order in which a machine is written: what a power cut at any moment of a switch, an activation or a removal could take is
# nothing that something else names already. durable.py has the rules; each of them is shown a trace that it does not let pass.
# timeout: 600
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["SRC"], "tests/cmd"))
import durable

if not shutil.which("strace"):
    print("skip: no strace")
    sys.exit(77)
os.environ.pop("CAIRN_ROOT", None)
TMP, SRC, CAIRN = os.environ["TMP"], os.environ["SRC"], os.environ["CAIRN"]
os.environ["XDG_CACHE_HOME"] = TMP + "/cache"
# Leaks cannot be looked for in a program that is traced.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
store, count, failed = TMP + "/store", 0, 0


def ok(name, good, why=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    if not good:
        print("# " + str(why).replace("\n", "\n# "))


# ---- Machines ---------------------------------------------------------------------------------------------------------------

def write(name, text):
    with open(f"{TMP}/{name}", "w", encoding="utf-8") as f:
        f.write(text)


def configurations():
    with open(SRC + "/examples/minimal.lua", encoding="utf-8") as f:
        text = f.read()
    more = """secrets = { { name = "key" } },
	privileged_programs = { { program = require "packages.busybox" .. "/bin/busybox" } },"""
    text = text.replace("\tpackages =", f"\t{more}\n\tpackages =", 1)
    people = '{ name = "ann", uid = 1000, password = "$6$x$y", home = "/home/ann" },\n\t\t'
    efi = text.replace('type = "grub", timeout = 1, serial = true', 'type = "efi"').replace(
        '{ mount_point = "/tmp"', '{ device = "LABEL=ESP", mount_point = "/boot/efi", type = "vfat" },\n\t\t{ mount_point = "/tmp"')
    write("one.lua", text)
    write("two.lua", text.replace('host_name = "cairn"', 'host_name = "two"').replace('{ name = "root"', people + '{ name = "root"'))
    write("efi.lua", efi)
    write("efi2.lua", efi.replace('host_name = "cairn"', 'host_name = "two"'))
    write("ext.lua", efi.replace('type = "efi"', 'type = "extlinux"'))


class Machine:
    def __init__(self, name, esp=False):
        self.root = f"{TMP}/{name}"
        self.esp = self.root + "/boot/efi" if esp else None
        os.makedirs(self.root + "/run")
        os.symlink(store + "/gnu", self.root + "/gnu")
        os.makedirs(self.root + "/etc/cairn/secrets", 0o700)
        write(f"{name}/etc/cairn/secrets/key", "correct-horse-battery\n")
        os.chmod(self.root + "/etc/cairn/secrets/key", 0o600)
        if esp:
            os.makedirs(self.esp + "/EFI/BOOT")
            write(f"{name}/boot/efi/EFI/BOOT/BOOTX64.EFI", "another program\n")

    def run(self, command, *args, trace=()):
        """Result of a command, and what its trace says."""
        argv = [CAIRN, "system", command, "--target-root", self.root, *args]
        if command == "reconfigure":
            of = ["--root", store, "--modules", TMP + "/world"]
            argv[3:3] = ["--quiet", *of]
            # Builders are not traced: they are the store's business, and have an environment of their own.
            subprocess.run([CAIRN, "system", "build", *of, *args], capture_output=True, timeout=300, check=True)
        trace_file = TMP + "/trace"
        r = subprocess.run(["strace", "-f", "-y", "-s", "0", "-e", "trace=" + durable.CALLS, *trace, "-o", trace_file, *argv],
                           capture_output=True, text=True, timeout=300, check=False)
        with open(trace_file, encoding="utf-8", errors="replace") as f:
            text = f.read()
        return r, text, self.faults(text)

    def faults(self, text):
        return durable.faults(text, durable.Disk(self.root, self.esp))

    def good(self, name, command, *args, **options):
        r, text, found = self.run(command, *args, **options)
        said = "\n".join(f"{rule}: {what}" for rule, what in found)
        ok(name, r.returncode == 0 and not found, f"status {r.returncode}: {r.stderr}\n{said}")
        return text


# Each guard of each fake is missed; those are results only when they are not.
for what, well, why in durable.try_rules():
    if not well or what == "each rule was needed":
        ok(what, well, why)
configurations()
subprocess.run([SRC + "/tests/cmd/mock-world", TMP + "/world"], check=True)
os.makedirs(store + "/gnu/store")

grub = Machine("grub")
grub.good("BOOT-01 SYS-05 the first generation of a machine", "reconfigure", TMP + "/one.lua")
grub.good("BOOT-01 SYS-05 another one, with another user", "reconfigure", TMP + "/two.lua")
grub.good("BOOT-01 SYS-05 back", "roll-back")
grub.good("BOOT-01 SYS-05 and forward", "switch-generation", "2")
grub.good("SYS-05 a name for it", "label", "2", "good one")
grub.good("SYS-05 an activation alone", "activate", os.readlink(grub.root + "/var/guix/profiles/system-1-link"))
grub.good("BOOT-01 SYS-05 back once more", "roll-back")
grub.good("BOOT-01 SYS-05 a generation is deleted", "delete-generations", "2")

two = Machine("two")
for x in "one", "two":
    two.good(f"BOOT-01 a machine of two generations: {x}", "reconfigure", f"{TMP}/{x}.lua")

copies = Machine("copies")
done = copies.good("BOOT-01 kernels that are no links", "reconfigure", TMP + "/one.lua", trace=("-e", "inject=linkat:error=EPERM"))
broken = {rule for rule, _ in copies.faults(re.sub(r"(?m)^.*\b(fsync|syncfs)\(.*$", "", done))}
ok("without its syncs every rule is broken", broken == {rule.__name__ for rule in durable.RULES}, broken)

efi = Machine("efi", True)
efi.good("BOOT-01 BOOT-07 a boot partition, and another loader there", "reconfigure", TMP + "/efi.lua")
efi.good("BOOT-01 the second menu", "reconfigure", TMP + "/efi2.lua")
efi.good("BOOT-01 the boot partition, back", "roll-back")
efi.good("BOOT-01 and forward", "switch-generation", "2")
ext = Machine("ext", True)
ext.good("BOOT-01 extlinux", "reconfigure", TMP + "/ext.lua")


# ---- Syncs that fail --------------------------------------------------------------------------------------------------------

# Behind its last step a switch is done; a note of it that stays is removed by whoever finds it.
NOTE = "/var/guix/profiles/system.switch"
MEMORY = re.compile(r"^/run(/|$)")
PARTIAL = 4


def state(root):
    r = subprocess.run([CAIRN, "system", "status", "--json", "--target-root", root], stdout=subprocess.PIPE, timeout=60, check=True)
    s = json.loads(r.stdout)
    return s["current"], s["default"]


def fails(machine, call, number):
    """None, where there is no such call; or the path that could not be synced, what went before it, and the result of a switch back."""
    shutil.rmtree(machine.root)
    subprocess.run(["cp", "-a", machine.root + ".was", machine.root], check=True)
    trace = TMP + "/trace"
    r = subprocess.run(["strace", "-y", "-o", trace, "-e", f"trace=unlink,{call}", "-e", f"inject={call}:error=EIO:when={number}",
                        CAIRN, "system", "switch-generation", "1", "--target-root", machine.root],
                       capture_output=True, text=True, timeout=120, check=False)
    with open(trace, encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    at = [i for i, line in enumerate(lines) if "(INJECTED)" in line]
    if not at:
        return None
    path = re.search(r"<([^>]*)>", lines[at[0]])[1]
    return path.replace(machine.root, ""), lines[at[0] - 1] if at[0] else "", r


def fail_each(name, machine):
    """A switch from 2 to 1 with each of its syncs failing in turn: an error, and all as it was; where the menu and the link are
    in place already, and activation fails in part, a status that says so."""
    os.rename(machine.root, machine.root + ".was")
    os.mkdir(machine.root)
    tried, silent, changed = 0, [], []
    for call in "fsync", "syncfs":
        number = 1
        while found := fails(machine, call, number):
            path, before, r = found
            now, what = state(machine.root), f"{call} {number}, of {path}: status {r.returncode}, {r.stderr}"
            number += 1
            tried += 1
            if r.returncode == 0 and not MEMORY.search(path) and NOTE not in before:
                silent.append(what)
            if now != ((1, 1) if r.returncode in (0, PARTIAL) else (2, 2)):
                changed.append(f"{now}, {what}")
    ok(f"BOOT-04 {name}: each of {tried} syncs that fails is told", tried > 10 and not silent, "\n".join(silent))
    ok(f"BOOT-04 {name}: the old generation is what starts, or the new one", not changed, "\n".join(changed))


fail_each("GRUB", two)
fail_each("a boot partition", efi)
print(f"1..{count}")
sys.exit(failed > 0)
