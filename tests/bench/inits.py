# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots for the machines of init.bench: ours, the least that an init can be, and those of Debian's packages.

Packages are downloaded once to CAIRN_ROOT/bench/debs and unpacked below TMP; nothing is installed. Libraries come from the
packages themselves, else from this machine."""
import glob
import os
import shutil
import stat
import subprocess

from measure import ROOT, SRC, TMP, run

HERE = f"{SRC}/tests/bench/init"
OBJ = os.environ["OBJ"]
DEBS = f"{ROOT}/bench/debs"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
DRIVERS = ("virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_legacy_dev", "virtio/virtio_pci_modern_dev", "virtio/virtio_pci",
           "block/virtio_blk")
CHAIN = 10  # services of a chain: each requires the one before it
OFF = ["/bench/agent", "off"]


class Missing(Exception):
    """What a measurement needs is not there; the text says what and why."""


# ---- Debian's packages ------------------------------------------------------------------------------------------------

def downloaded(package):
    """The file of a package."""
    os.makedirs(DEBS, exist_ok=True)
    if not glob.glob(f"{DEBS}/{package}_*.deb"):
        try:
            run(["apt-get", "-q", "download", package], cwd=DEBS)
        except FileNotFoundError:
            raise Missing("no apt-get here to download packages with") from None
        except subprocess.CalledProcessError as e:
            why = [line for line in e.stderr.decode().splitlines() if line.startswith("E:")]
            raise Missing(f"package {package}: {(why or ['apt-get failed'])[0]}") from None
    return max(glob.glob(f"{DEBS}/{package}_*.deb"))


def unpacked(package):
    """The directory with a package's files."""
    tree = f"{TMP}/packages/{package}"
    if not os.path.isdir(tree):
        os.makedirs(tree)
        run(["dpkg-deb", "-x", downloaded(package), tree])
    return tree


def version(package):
    return run(["dpkg-deb", "-f", downloaded(package), "Version"]).decode().strip()


def kernel_package():
    """Debian's kernel for machines in a cloud, as a file that is not unpacked yet."""
    unpacked(KERNEL_PACKAGE)
    depends = run(["dpkg-deb", "-f", downloaded(KERNEL_PACKAGE), "Depends"]).decode()
    return downloaded(depends.split()[0].rstrip(","))


def kernel(deb):
    """The kernel of a package, and the drivers of a disk in the order to load. The rest stays in the package."""
    tree = f"{TMP}/kernel"
    os.makedirs(tree, exist_ok=True)
    run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "./boot/vmlinuz-*" "*/drivers/virtio/*" "*/virtio_blk.ko"',
         "sh", deb, tree])
    found = glob.glob(f"{tree}/boot/vmlinuz-*")
    drivers = [glob.glob(f"{tree}/lib/modules/*/kernel/drivers/{x}.ko") for x in DRIVERS]
    if not found or not all(drivers):
        raise Missing(f"{deb}: not the kernel or the drivers that are looked for")
    return found[0], [x[0] for x in drivers]


# ---- Roots ------------------------------------------------------------------------------------------------------------

def cpio(root, out, before=b""):
    """An initramfs of a directory, after some bytes. Everything belongs to root; the console is there before /dev is."""
    with open(out, "wb") as f:
        f.write(before)

        def add(name, mode, data=b"", rdev=(0, 0)):
            fields = (add.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
            add.inode += 1
            head = b"070701" + b"".join(b"%08x" % x for x in fields) + name.encode() + b"\0"
            f.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))
        add.inode = 1
        for at, dirs, files in os.walk(root):
            dirs.sort()
            for name in sorted(dirs + files):
                path = f"{at}/{name}"
                mode = os.lstat(path).st_mode
                data = b""
                if stat.S_ISLNK(mode):
                    data = os.readlink(path).encode()
                elif stat.S_ISREG(mode):
                    with open(path, "rb") as g:
                        data = g.read()
                add(os.path.relpath(path, root), mode, data)
        add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
        add("TRAILER!!!", 0)


def needed(path):
    """Names of the libraries and the loader of a program."""
    out = run(["readelf", "-dlW", path]).decode()
    names = [line.split("[")[1].rstrip("]") for line in out.splitlines() if "(NEEDED)" in line]
    loader = [line.split(": ")[1].rstrip("]") for line in out.splitlines() if "interpreter:" in line]
    return names, loader


def find_library(name, trees):
    for tree in [*trees, ""]:
        for where in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib/*-linux-gnu/*", "lib/systemd", "usr/lib64", "lib64"):
            found = sorted(glob.glob(f"{tree}/{where}/{name}"))
            if found:
                return os.path.realpath(found[0])
    raise Missing(f"no library {name}, neither in the packages nor on this machine")


class Root:
    """A directory that becomes the file system of a machine. bin, sbin and lib are those of usr."""

    def __init__(self, path, trees=()):
        self.path, self.trees, self.libraries = path, trees, set()
        for d in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run", "tmp", "bench", "root", "var/log"):
            os.makedirs(f"{path}/{d}")
        for d in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{d}", f"{path}/{d}")
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.write("etc/group", "root:x:0:\n")

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(f"{self.path}/{name}"), exist_ok=True)
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f"{self.path}/{name}", mode)

    def script(self, name, *lines):
        self.write(name, "\n".join(["#!/bin/sh", *lines, ""]), 0o755)

    def copy(self, source, name):
        """A program or a library, with all that it needs."""
        os.makedirs(os.path.dirname(f"{self.path}/{name}"), exist_ok=True)
        shutil.copy(source, f"{self.path}/{name}")
        names, loader = needed(source)
        for x in [*names, *loader]:
            if x in self.libraries:
                continue
            self.libraries.add(x)
            self.copy(find_library(os.path.basename(x), self.trees), x.lstrip("/") if "/" in x else f"usr/lib/{x}")

    def take(self, *names):
        """Files of the packages, at their own places."""
        for name in names:
            found = [f"{tree}/{name}" for tree in self.trees if os.path.exists(f"{tree}/{name}")]
            if not found:
                raise Missing(f"no /{name} in the package")
            with open(found[0], "rb") as f:
                program = f.read(4) == b"\x7fELF"
            (self.copy if program else lambda a, b: self.write(b, open(a, encoding="utf-8").read()))(found[0], name)

    def busybox(self, *applets):
        for x in applets:
            if not os.path.lexists(f"{self.path}/bin/{x}"):
                os.symlink("/bin/busybox", f"{self.path}/bin/{x}")
        if not os.path.exists(f"{self.path}/bin/busybox"):
            if not shutil.which("busybox"):
                raise Missing("no busybox here (package busybox-static)")
            self.copy(shutil.which("busybox"), "bin/busybox")


def compile_all():
    """The programs of the machines, small and static."""
    cc = shutil.which("musl-gcc") or shutil.which("cc")
    if not cc:
        raise Missing("no C compiler here")
    for name in ("agent", "service", "null"):
        run([cc, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", f"{TMP}/{name}", f"{HERE}/{name}.c"])


def cairn_init():
    """BENCH_INIT, or a static program made for this."""
    if "BENCH_INIT" in os.environ:
        return os.environ["BENCH_INIT"]
    if not shutil.which("musl-gcc"):
        raise Missing("no musl-gcc here (package musl-tools) to link cairn-init with")
    tree = f"{OBJ}/static"
    run(["make", f"O={tree}", "STATIC=1", "LTO=1", "CC=musl-gcc", "CONFIG_PROBE=n", "M=lib init", f"{tree}/init/cairn-init"], cwd=SRC)
    return f"{tree}/init/cairn-init"


# ---- The inits --------------------------------------------------------------------------------------------------------
#
# Each fills a root, and says what is executed, and how the machine is told to go down. `work` is what it has to start.

class Work:
    def __init__(self, count, chained=False, deaf=False):
        self.count, self.chained, self.deaf = count, chained, deaf

    def argv(self, i):
        return f"/bench/service {i}" + (" deaf" if self.deaf else "")

    def before(self, i):
        """The service that must be up first, or None."""
        return i - 1 if self.chained and i % CHAIN else None

    def __iter__(self):
        return iter(range(self.count))


def null(root, work):
    root.copy(f"{TMP}/null", "bench/null")
    return ["/bench/null", str(work.count)], "signal 15"


def cairn(root, work, group="no"):
    root.copy(cairn_init(), "sbin/cairn-init")
    lines = []
    for i in work:
        lines += [f"[service s{i}]", f"exec = {work.argv(i)}", f"cgroup = {group}", "restart-delay = 0", "restart-limit = 0"]
        if work.before(i) is not None:
            lines.append(f"requires = s{work.before(i)}")
    root.write("etc/set", "\n".join([*lines, ""]))
    return ["/sbin/cairn-init", "/etc/set"], "signal 15"


def cairn_groups(root, work):
    return cairn(root, work, "yes")


def busybox(root, work):
    root.busybox("init", "sh")
    root.write("etc/inittab", "".join(f"::respawn:{work.argv(i)}\n" for i in work))
    return ["/bin/init"], "signal 12"


def sysvinit(root, work):
    root.busybox("sh")
    root.take("sbin/init")
    ids = "0123456789abcdefghijklmnopqrstuvwxyz"
    lines = ["id:2:initdefault:"]
    lines += [f"{ids[i // 36]}{ids[i % 36]}:2:respawn:{work.argv(i)}" for i in work]
    root.write("etc/inittab", "\n".join([*lines, "off:0:wait:" + " ".join(OFF), ""]))
    return ["/sbin/init"], "/sbin/init 0"


def runit(root, work):
    root.busybox("sh", "install")
    root.take("sbin/runit", "usr/bin/runsvdir", "usr/bin/runsv", "usr/bin/sv", "lib/runit/runit-init")
    root.script("etc/runit/1", "install -m000 /dev/null /run/runit.stopit", "install -m000 /dev/null /run/runit.reboot")
    root.script("etc/runit/2", "exec /usr/bin/runsvdir -P /etc/service")
    root.script("etc/runit/3", "/usr/bin/sv -w 10 force-stop /etc/service/*", "/usr/bin/sv exit /etc/service/*")
    for i in work:
        root.script(f"etc/service/s{i}/run", "exec " + work.argv(i))
    return ["/sbin/runit"], "/lib/runit/runit-init 0"


def s6(root, work):
    root.busybox("sh")
    root.take("usr/bin/s6-svscan", "usr/bin/s6-supervise", "usr/bin/s6-svscanctl")
    root.script("service/.s6-svscan/finish", "exec " + " ".join(OFF))
    for i in work:
        root.script(f"service/s{i}/run", "exec " + work.argv(i))
    return ["/usr/bin/s6-svscan", "/service"], "/usr/bin/s6-svscanctl -t /service"


def finit(root, work):
    root.busybox("sh")
    root.take("sbin/finit")
    lines = ["runlevel 2"] + [f"service :{i} [2] restart:-1 log:null {work.argv(i)} -- s{i}" for i in work]
    root.write("etc/finit.conf", "\n".join([*lines, ""]))
    return ["/sbin/finit"], "signal 12"


UNITS = ("poweroff.target", "shutdown.target", "umount.target", "final.target", "systemd-poweroff.service")


def systemd(root, work):
    root.take("lib/systemd/systemd", "lib/systemd/systemd-shutdown", *(f"lib/systemd/system/{u}" for u in UNITS))
    root.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    root.write("etc/os-release", "ID=bench\n")
    units = "etc/systemd/system"
    root.write(f"{units}/default.target", "[Unit]\nDefaultDependencies=no\nWants=" + " ".join(f"s{i}.service" for i in work) + "\n")
    for i in work:
        lines = ["[Unit]", "DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target", "StartLimitIntervalSec=0"]
        if work.before(i) is not None:
            lines += [f"Requires=s{work.before(i)}.service", f"After=s{work.before(i)}.service"]
        lines += ["[Service]", f"ExecStart={work.argv(i)}", "Restart=always", "RestartSec=0", "StandardOutput=null", "StandardError=null"]
        root.write(f"{units}/s{i}.service", "\n".join([*lines, ""]))
    return ["/lib/systemd/systemd"], "signal 38"


class Init:
    """packages: what is unpacked. program: the file that is PID 1, and whose size counts. chains: it knows dependencies."""

    def __init__(self, fill, packages=(), program=None, chains=False, skip=None):
        self.fill, self.packages, self.program, self.chains, self.skip = fill, packages, program, chains, skip

    def prepare(self):
        """Raises Missing when it cannot be measured here."""
        if self.skip:
            raise Missing(self.skip)
        for p in self.packages:
            unpacked(p)

    def root(self, path, work):
        """A root, with its init's argv and the way to end it."""
        root = Root(path, [unpacked(p) for p in self.packages])
        argv, down = self.fill(root, work)
        for name in ("agent", "service"):
            root.copy(f"{TMP}/{name}", f"bench/{name}")
        return root, argv, down

    def size(self):
        """Bytes of the program without what is for debuggers."""
        path = {"null": f"{TMP}/null", "cairn-init": None, "busybox": shutil.which("busybox")}.get(self.program, self.program)
        path = path or cairn_init()
        run(["strip", "-o", f"{TMP}/stripped", path if path.startswith("/") else f"{unpacked(self.packages[0])}/{path}"])
        return os.stat(f"{TMP}/stripped").st_size


INITS = {
    "null": Init(null, program="null"),
    "cairn": Init(cairn, program="cairn-init", chains=True),
    "cairn-groups": Init(cairn_groups, program="cairn-init", chains=True),
    "busybox": Init(busybox, program="busybox"),
    "sysvinit": Init(sysvinit, ("sysvinit-core",), "sbin/init"),
    "runit": Init(runit, ("runit",), "sbin/runit"),
    "s6": Init(s6, ("s6", "libs6-2.11", "libskarnet2.13", "libexecline2.9"), "usr/bin/s6-svscan"),
    "finit": Init(finit, ("finit", "libite5", "libuev3"), "sbin/finit"),
    "systemd": Init(systemd, ("systemd",), "lib/systemd/systemd", chains=True),
    "dinit": Init(None, skip="Debian has no package of it"),
}
