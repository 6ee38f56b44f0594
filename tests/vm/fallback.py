# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations that do not come up, each in its own way: the machine ends on the last good one, within three tries and
with nobody at the keyboard, and says so. Power cuts do not roll a good one back. Its generations can be started from the
kernel's command line."""
import json
import os
import subprocess
import time

import vm

LIMIT_INITRD = 3 << 19  # 1.5 MiB
WATCHDOG = ["-device", "i6300esb"]
BUSYBOX = 'require "packages.busybox" .. "/bin/busybox"'


def shell(name, command, more=""):
    """A service that runs a command before anything else, and may do harm; $0 is busybox, as nothing is in PATH yet."""
    return f'services.simple {{ name = "{name}", type = "oneshot", requires = {{}}, sandbox = "none", {more}' \
           f'exec = {{ {BUSYBOX}, "sh", "-c", "{command}", {BUSYBOX} }} }}'


# A control group of its own, as PID 1 has none before the boot is done.
FREEZE = "cd /sys/fs/cgroup && $0 mkdir frozen && echo 1 >frozen/cgroup.freeze && echo 1 >frozen/cgroup.procs"

# What a disk does to the store's item $i. The files are other ones then, as those of several items may be one by their hard links.
GONE = "rm -rf $i"
REPLACE = "find $i -type f | while read -r f; do n=$(stat -c %%s $f) && cp -p $f $i.new && %s && mv $i.new $f || exit 1; done"
EMPTY = REPLACE % ": >$i.new"
ZEROES = REPLACE % "dd if=/dev/zero of=$i.new bs=$((n + 1)) count=1 2>/dev/null"

# What is wrong with a generation: arguments of switch().
FAULTS = {
    "the kernel panics before stage 1": {"argument": "rdinit=/nonexistent"},
    "the kernel panics": {"service": shell("crash", "echo c >/proc/sysrq-trigger")},
    "root= is wrong": {"root": "LABEL=nowhere", "argument": "rootdelay=2"},
    "there is no init": {"argument": "init=/nonexistent"},
    "init ends": {"argument": "init=BUSYBOX"},
    "init crashes again and again": {"service": shell("crash", "while kill -SEGV 1; do $0 sleep 0.2; done")},
    "a required service fails": {"service": shell("needed", "exit 1"), "gate": 'services = { "needed" }'},
    "a required service is late": {
        "service": shell("needed", "exec $0 sleep 100000", 'start_timeout = "1h", '),
        "gate": 'services = { "needed" }, timeout = "15s"'},
    "init hangs": {"service": shell("freeze", FREEZE), "watchdog": "10s"},
    "init hangs when all is up": {"service": shell("freeze", "until $0 pgrep -f [m]ark-good; do $0 sleep 0.1; done; " + FREEZE),
                                  "watchdog": "10s"},
    "its services are gone": {"service": shell("other", "true"), "harm": ("services", GONE)},
    "its services are empty": {"service": shell("other", "true"), "harm": ("services", EMPTY)},
    "its services are zeroes": {"service": shell("other", "true"), "harm": ("services", ZEROES)},
    "its init is gone": {"harm": ("init", GONE)},
    "its init is zeroes": {"harm": ("init", ZEROES)},
    "its kernel has no modules": {"kernel": True, "module": "msr", "gate": 'services = { "base", "kernel-modules" }',
                                  "harm": ("kernel-modules", GONE)},
    "its /etc is gone": {"harm": ("etc", GONE)},
}


FIRMWARE = "bios", "uefi", "esp", "direct"  # how the machine is started


def config(host, service="", root="LABEL=cairn-root", argument=None, gate=None, watchdog=None, module=None, firmware="bios"):
    with open(os.path.join(os.environ["SRC"], "examples/minimal.lua")) as f:
        text = f.read()
    changes = [('host_name = "cairn"', f'host_name = "{host}"'), ("services.base {}", f"services.base {{ {service} }}"),
               ("LABEL=cairn-root", root), ("panic=10", 'panic=1", "no_timer_check')]
    if firmware in ("bios", "uefi"):
        changes.append(("timeout = 1", "timeout = 0"))
    if firmware == "esp":
        changes += [('type = "grub", timeout = 1, serial = true', 'type = "efi", timeout = 1'),
                    ('\t\t{ mount_point = "/tmp"',
                     '\t\t{ device = "LABEL=ESP", mount_point = "/boot/efi", type = "vfat" },\n\t\t{ mount_point = "/tmp"')]
    if firmware == "extlinux":
        changes += [('type = "grub"', 'type = "extlinux", directory = "/boot/loader"'),
                    ('\t\t{ mount_point = "/tmp"',
                     '\t\t{ device = "LABEL=ESP", mount_point = "/boot/loader", type = "vfat" },\n\t\t{ mount_point = "/tmp"'),
                    ('"quiet" }', '"quiet", "loglevel=5" }')]
    if firmware == "direct":
        changes += [('type = "grub", timeout = 1, serial = true', 'type = "none"')]
    if argument:
        changes.append(('"quiet" }', f'"quiet", "{argument}" }}'))
    more = (f"health_gate = {{ {gate} }},\n" if gate else "") + \
           (f'watchdog = {{ timeout = "{watchdog}" }},\n' if watchdog else "") + \
           (f'kernel_modules = {{ "{module}" }},\n' if module else "")
    changes.append(("\tbootloader =", more + "\tbootloader ="))
    for old, new in changes:
        if text.count(old) != 1:
            raise vm.Failure(f"examples/minimal.lua has no {old!r}")
        text = text.replace(old, new)
    return text


def status(m):
    return json.loads(m.check("cairn system status --json"))


def own_init(m):
    """The newest generation has an init that no other one has."""
    m.check("g=$(readlink -f /var/guix/profiles/system) && mount -o remount,bind,rw /gnu/store && mkdir /gnu/store/own-init.$$ && "
            "cp -p $g/init /gnu/store/own-init.$$/ && ln -sfn /gnu/store/own-init.$$/init $g/init")


def switch(m, name, harm=None, kernel=False, **what):
    """A new generation, started at the next boot; its number. harm: what happens to the store's item behind this name of it. kernel: it
    has one of its own."""
    text = (other_kernel if kernel else config)(name, firmware=m.kind, **what)
    text = text.replace("BUSYBOX", m.check("readlink -f /run/current-system/profile/bin/busybox").strip())
    m.check(f"cat >/root/new.lua <<'END'\n{text}\nEND")
    skip = "--skip-checks " if "root" in what else ""  # a root that the machine does not have is refused
    m.check(f"cairn system reconfigure --boot {skip}/root/new.lua", timeout=900)
    now = status(m)
    vm.equal("on trial", (now["trial"], now["tries_left"]), (now["current"], 3))
    if harm:
        part, how = harm
        if part == "init":
            own_init(m)
        item = f"/var/guix/profiles/system/{part}"
        m.check(f"[ $(readlink -f {item}) != $(readlink -f /run/booted-system/{part}) ] && i=$(readlink -f {item}) && "
                f"mount -o remount,bind,rw /gnu/store && case $i in /gnu/store/?*) {how};; *) false;; esac && sync")
    return now["current"]


def fall_back(m, name, what):
    good, host = status(m)["good"], m.check("hostname").strip()
    number = switch(m, "bad", **what)
    m.type("cairn reboot\n")
    start = time.monotonic()
    m.login(600, host=host)  # that of the bad one says another name; the tries are counted below
    now = status(m)
    vm.equal(f"BOOT-09 {name}: booted", now["booted"], good)
    vm.equal(f"BOOT-09 {name}: fell back", (now["fell_back"], now["default"], now["trial"], now["tries_left"], now["next"]),
             (True, number, number, 0, good))
    vm.equal(f"{name}: host name", m.check("hostname").strip(), host)
    vm.settled(m)
    vm.log(f"{name}: generation {number}, three tries, then generation {good} after {time.monotonic() - start:.0f} s")
    return number


NO_KERNEL = "the kernel cannot be read"
# How that comes to be, for generation %d.
IN_STORE = "true %d; mount -o remount,bind,rw /gnu/store && rm $(readlink -f /var/guix/profiles/system/kernel)"
IN_MENU = "rm $(sed -n \"/--id 'gen-%d' /,/^}/s/^\\tlinux '\\([^']*\\)'.*/\\1/p\" /boot/grub/grub.cfg)"
UNREADABLE = {"bios": IN_MENU, "uefi": IN_MENU, "direct": IN_STORE,
              "esp": "rm /boot/efi/EFI/cairn/$(sed -n '/^entry %d$/,/^initrd/s/^kernel //p' /boot/efi/EFI/cairn/menu* | sort -u)"}


def other_kernel(host, firmware, **what):
    """A configuration with a kernel that no other generation has."""
    return config(host, firmware=firmware, **what).replace("\tbootloader =", """	kernel = (function()
		local linux, busybox = require "packages.linux", require "packages.busybox"
		return derivation {
			name = "linux-copy", builder = busybox .. "/bin/busybox",
			args = { "sh", "-c", "$b mkdir $out && $b cp -r $linux/bzImage $linux/lib $out && $b chmod u+w $out/bzImage && echo >>$out/bzImage" },
			env = { b = busybox .. "/bin/busybox", linux = linux },
		}
	end)(),
	bootloader =""")


def kernel_unreadable(m, trouble=None):
    """The boot loader cannot load it: it starts the good one in the same boot. Stage 1 does so when no try is left. trouble: what else
    happens before; the machine is switched off and on then."""
    good, host = status(m)["good"], m.check("hostname").strip()
    text = other_kernel("bad", m.kind)
    m.check(f"cat >/root/new.lua <<'END'\n{text}\nEND")
    m.check("cairn system reconfigure --boot /root/new.lua", timeout=900)
    number = status(m)["current"]
    if trouble:
        trouble()
    m.check(UNREADABLE[m.kind] % number + " && sync")
    if trouble:
        m.kill()
        m.start()
    else:
        m.type("cairn reboot\n")
    tries = 3 if m.kind == "direct" else 1
    m.login(600, host=host)
    now = status(m)
    vm.equal("unreadable kernel: booted", now["booted"], good)
    vm.equal("unreadable kernel: tries taken", (now["trial"], now["tries_left"]), (number, 3 - tries))
    vm.log(f"the kernel cannot be read: generation {good} after {tries} of the tries")


def proves_itself(m):
    """From a machine that fell back to a new generation that comes up."""
    number = switch(m, "proved")
    m.type("cairn reboot\n")
    m.login(host="proved")
    m.wait_for(f"cairn system status | grep -qx 'last good    generation {number}'")
    now = status(m)
    vm.equal("BOOT-09 proved", (now["booted"], now["good"], now["trial"], now["fell_back"]), (number, number, None, False))
    size = int(m.check("stat -L -c %s /run/booted-system/initrd"))
    if size > LIMIT_INITRD:
        raise vm.Failure(f"the initramfs has {size} bytes")
    vm.log(f"generation {number} came up and is the good one; its initramfs has {size} bytes")
    return number


def innocent_cuts(m, number):
    for where in rb"Booting|Generation", rb"login|Cairn":
        m.kill()
        m.start()
        m.expect(where)
    m.kill()
    m.start()
    m.login(host="proved")
    now = status(m)
    vm.equal("BOOT-09 after power cuts", (now["booted"], now["good"], now["trial"]), (number, number, None))
    vm.log("three power cuts while it boots: still the one")


def kernel_line(m, image):
    """The same disk, started without boot loader: generation=N, and the list before the rescue shell."""
    m.check("sync")
    files = [m.check(f"readlink -f /run/booted-system/{name}").strip() for name in ("kernel", "initrd")]
    m.type("cairn poweroff\n")
    m.wait_off()
    private = os.environ.get("CAIRN_ROOT") or os.path.expanduser("~/.local/state/cairn")
    line = "root=LABEL=cairn-root rootfstype=ext4 rw console=ttyS0,115200 quiet no_timer_check cairn.system=/gnu/store/none "
    start = m.extra + ["-kernel", private + files[0], "-initrd", private + files[1], "-append"]
    m.reboots = False
    m.extra = start + [line + "generation=1"]
    m.start()
    m.login()
    vm.equal("generation=1: booted", status(m)["booted"], 1)
    vm.settled(m)
    m.type("cairn poweroff\n")
    m.wait_off()
    # The last console= is /dev/console, here the screen: list and shell come to the serial line all the same.
    m.extra = start + [line + "console=tty0 generation=99"]
    m.start()
    m.expect(rb"generation 99")
    m.expect(rb"generation=N")
    # One of them is enough: two writers to one serial line lose a letter now and then.
    m.expect(rb"boot: +\d  /gnu/store/[a-z0-9]*-system  Cairn, host (cairn|bad|proved)\s")
    m.expect(rb"# ")
    ask = "echo answer-$((40 + 2)) on $(tty)\n"
    m.type(ask)
    m.coax(rb"answer-42 on /dev/ttyS0", text=ask)
    m.type("exit\n")
    m.wait_off(60)
    m.extra = start + [line + "generation=99 cairn.trial=1"]
    m.start()
    m.expect(rb"rebooting in|in 5 seconds")
    m.wait_off(60)
    vm.log("generation=N, the list of generations, a trial without a shell")


class Direct(vm.VM):
    """A machine that starts kernel and initramfs of its first generation, whatever becomes of the disk."""

    def __init__(self, image, directory, **options):
        super().__init__(image, directory, **options)
        system = vm.command("system", "build", "--physical", first_config("direct"))
        root = system[:system.index("/gnu/store/")]
        with open(os.path.join(system, "parameters")) as f:
            line = f.read().strip()
        self.extra += ["-kernel", root + os.readlink(os.path.join(system, "kernel")),
                       "-initrd", root + os.readlink(os.path.join(system, "initrd")),
                       "-append", line + " loglevel=5 generation=default"]

    def _firmware(self):
        return []


def first_config(kind):
    path = os.path.join(vm.scratch("fallback"), kind + ".lua")
    with open(path, "w") as f:
        f.write(config("cairn", firmware=kind))
    return path


def image(firmware="bios"):
    kind = "bios" if firmware == "uefi" else firmware  # GRUB for both is in one image
    source = vm.example() if kind == "bios" else first_config(kind)
    return vm.build_image(source, os.path.join(vm.scratch("fallback"), kind + ".raw"))


def machine(image, firmware, **more):
    kind, options = (Direct, {}) if firmware == "direct" else (vm.VM, {"firmware": "uefi" if firmware == "esp" else firmware})
    m = kind(image, vm.scratch(f"fallback/{firmware}"), extra=WATCHDOG, reboots=True, **options, **more)
    m.kind = firmware
    return m


def whole_machine(image, firmware, faults, more=False):
    """A machine on which each of the faults happens, and, if more is set, what else belongs to counting."""
    with machine(image, firmware) as m:
        m.start()
        m.login()
        m.wait_for("cairn system status | grep -qx 'last good    generation 1'")
        for name in faults:
            if name == NO_KERNEL:
                kernel_unreadable(m)
            else:
                fall_back(m, f"{firmware}: {name}", FAULTS[name])
        if more:
            innocent_cuts(m, proves_itself(m))
            kernel_line(m, image)
