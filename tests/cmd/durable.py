# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program did to its disk, from a trace of strace(1), is replayed; and what a power cut could have taken is found.

A file or directory is changed, then synced by itself (fsync), or by its whole file system (syncfs). Each rule is a function that is
asked before an event takes effect, and says what is wrong, or nothing. A machine's root is an ext4 file system and its boot
partition a FAT one, though here both are directories.
"""
import os
import re

# What strace has to print for it: strace -f -y -e trace=…
CALLS = ("open,openat,read,pread64,write,pwrite64,writev,pwritev,ftruncate,truncate,fallocate,copy_file_range,sendfile,"
         "rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,mknod,mknodat,unlink,unlinkat,rmdir,"
         "fchmod,fchmodat,chmod,fchown,fchownat,chown,lchown,fsync,fdatasync,syncfs,sync,fadvise64")
WRITES = ("write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate", "fchmod", "fchown")
BY_PATH = ("chmod", "chown", "lchown", "truncate")
FAT, JOURNAL = "fat", "journal"
KERNELS = re.compile(r"/([0-9a-f]{32}-(kernel|initrd)|boot-file\.new)$")

# What need not be on the disk, below the root of a machine or elsewhere: expression, reason.
EXEMPT = (
    (r"/run(/|$)", "memory"),
    (r"/(cairn-plan|guix-build)-[^/]+(/|$)", "deleted before the program ends"),
    (r"\.lock$|/big-lock$", "says only who has it, while he lives"),
    (r"/gnu/store(/|$)|/var/guix/(db|builds|gcroots)(/|$)", "the store's: items count once its database says so; DB-01 cuts the power"),
    (r"/var/guix/(temproots|slots)(/|$)", "of processes that live"),
    (r"/home(/[^/]+)?$|/\.cairn-new-home-[^/]*$", "the next activation, which every boot begins with, makes a home that is missing"),
    (r"^(pipe|socket|anon_inode|/dev/|/proc/|/memfd:)|/(stdout|stderr)$", "no files of a machine"),
    (r"/var/log/guix(/|$)", "what a build said"),
)


# ---- The trace --------------------------------------------------------------------------------------------------------------

class Event:
    """op: make, write, sync, syncfs, rename, exchange, link, symlink, mkdir, unlink, drop, read or end; path, and to."""
    def __init__(self, op, path=None, to=None, size=0, line=0):
        self.op, self.path, self.to, self.size, self.line = op, path, to, size, line

    def __str__(self):
        return f"line {self.line}: {self.op} {self.path or ''}" + (f" -> {self.to}" if self.to else "")


def whole_lines(text):
    """(number, name, arguments, result) of calls that ended well; of one that was interrupted by another process, where it ended."""
    begun = {}
    for n, line in enumerate(text.splitlines(), 1):
        m = re.match(r"(\d+) +(.*)", line)
        pid, rest = (m[1], m[2]) if m else ("", line)
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest[:-len("<unfinished ...>")].rstrip()
            continue
        m = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        if m:
            rest = begun.pop(pid, "") + m[1]
        m = re.match(r"(\w+)\((.*)\) += (-?\d+)", rest)
        if m and int(m[3]) >= 0:
            yield n, m[1], m[2], int(m[3])


def arguments(text):
    """Those of a call: the path of "3</x>" and of AT_FDCWD</x>, the text of "x", else the word."""
    found = []
    for m in re.finditer(r'(?:(-?\d+|AT_FDCWD)<((?:[^>\\]|\\.)*)>)|"((?:[^"\\]|\\.)*)"(?:\.\.\.)?|([^,\s"]+)', text):
        found.append(m[2] if m[1] else m[3] if m[3] is not None else m[4])
    return found


def place(*parts):
    """An absolute path; names are not resolved in what is last, which may be a link."""
    path = os.path.normpath(os.path.join(*parts))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def events(text):
    for n, name, args, result in whole_lines(text):
        a = arguments(args)
        if name in ("open", "openat"):
            if "O_CREAT" in args or "O_TRUNC" in args:
                # An empty file is made by the one, and by the other of what there was.
                yield Event("make" if "O_EXCL" in args else "open", place(*a[:2] if name == "openat" else a[:1]), line=n)
        elif name in ("read", "pread64"):
            yield Event("read", a[0], size=result, line=n)
        elif name in WRITES:
            yield Event("write", a[0], size=result, line=n)
        elif name == "copy_file_range":
            yield Event("write", a[2], size=result, line=n)
        elif name == "sendfile":
            yield Event("write", a[0], size=result, line=n)
        elif name in BY_PATH:
            yield Event("write", place(a[0]), line=n)
        elif name in ("fchmodat", "fchownat"):
            yield Event("write", place(a[0], a[1]), line=n)
        elif name in ("fsync", "fdatasync"):
            yield Event("sync", a[0], line=n)
        elif name == "syncfs":
            yield Event("syncfs", a[0], line=n)
        elif name == "sync":
            yield Event("syncfs", None, line=n)
        elif name == "fadvise64":
            if "DONTNEED" in args:
                yield Event("drop", a[0], line=n)
        elif name == "rename":
            yield Event("rename", place(a[0]), place(a[1]), line=n)
        elif name in ("renameat", "renameat2"):
            yield Event("exchange" if "EXCHANGE" in args else "rename", place(*a[0:2]), place(*a[2:4]), line=n)
        elif name == "link":
            yield Event("link", place(a[0]), place(a[1]), line=n)
        elif name == "linkat":
            yield Event("link", place(*a[0:2]), place(*a[2:4]), line=n)
        elif name == "symlink":
            yield Event("symlink", place(a[1]), line=n)
        elif name == "symlinkat":
            yield Event("symlink", place(a[1], a[2]), line=n)
        elif name in ("mkdir", "mkdirat"):
            yield Event("mkdir", place(*a[:1 if name == "mkdir" else 2]), line=n)
        elif name in ("unlink", "rmdir"):
            yield Event("unlink", place(a[0]), line=n)
        elif name == "unlinkat":
            yield Event("unlink", place(a[0], a[1]), line=n)
    yield Event("end")


# ---- The disk ---------------------------------------------------------------------------------------------------------------

class Thing:
    """A file or directory that was changed. synced: by itself, since; flushed: with its file system."""
    def __init__(self):
        self.changed = None  # the last event that changed it
        self.synced = self.flushed = True
        self.size = self.read = 0  # bytes written; bytes read back from the disk
        self.dropped = False

    def change(self, event):
        self.changed, self.synced, self.flushed, self.dropped, self.read = event, False, False, False, 0

    def on_disk(self):
        return self.synced or self.flushed

    def settled(self):
        return self.synced and self.flushed


class Disk:
    def __init__(self, root, esp=None):
        """root: of the machine; esp: its boot partition, where that is one of its own."""
        self.root, self.esp = os.path.realpath(root), esp and os.path.realpath(esp)
        self.files, self.dirs = {}, {}

    def kind(self, path):
        return FAT if self.esp and within(path, self.esp) else JOURNAL

    def file(self, path):
        return self.files.setdefault(path, Thing())

    def directory(self, path):
        return self.dirs.setdefault(path, Thing())

    def name(self, event, path):
        """A name in a directory was made, changed or removed; a removal hides no change before it."""
        if is_temporary(path):
            return
        d = self.directory(os.path.dirname(path))
        if event.op != "unlink" or d.on_disk() or d.changed.op == "unlink":
            d.change(event)

    def flush(self, path):
        for things in self.files, self.dirs:
            for p, t in things.items():
                if path is None or self.kind(p) == self.kind(path):
                    t.flushed = True

    def move(self, event):
        for things in self.files, self.dirs:
            below = {p: t for p, t in things.items() if within(p, event.path)}
            for p in [p for p in things if within(p, event.to)] + list(below):
                things.pop(p, None)
            things.update({event.to + p[len(event.path):]: t for p, t in below.items()})

    def take(self, e):
        if exempt(e.to or e.path or ""):
            return
        if e.op == "make" or (e.op == "open" and e.path not in self.files):
            self.file(e.path)
            if e.op == "make":
                self.file(e.path).change(e)
                self.name(e, e.path)
        elif e.op == "write" and os.path.isdir(e.path):
            pass  # modes and owners of directories: each activation sets them
        elif e.op == "write":
            f = self.file(e.path)
            f.change(e)
            f.size += e.size
        elif e.op == "read" and e.path in self.files:
            f = self.files[e.path]
            f.read += e.size if f.dropped else 0
        elif e.op == "drop" and e.path in self.files:
            self.files[e.path].dropped, self.files[e.path].read = True, 0
        elif e.op == "sync":
            for things in self.files, self.dirs:
                if e.path in things:
                    things[e.path].synced = True
        elif e.op == "syncfs":
            self.flush(e.path)
        elif e.op in ("rename", "exchange"):
            if e.op == "rename":
                self.move(e)
            else:
                a, b = self.file(e.path), self.file(e.to)
                self.files[e.path], self.files[e.to] = b, a
            self.name(e, e.path)
            self.name(e, e.to)
        elif e.op == "link":
            self.files[e.to] = self.file(e.path)
            self.name(e, e.to)
        elif e.op == "symlink":
            self.files[e.to or e.path] = Thing()
            self.name(e, e.path)
        elif e.op == "mkdir":
            self.dirs[e.path] = Thing()
            # A journal has the making of a directory before anything in it; a boot loader does not read journals.
            if is_boot(self, e.path):
                self.name(e, e.path)
        elif e.op == "unlink":
            self.files.pop(e.path, None)
            for p in [p for p in self.dirs if within(p, e.path)]:
                del self.dirs[p]
            if os.path.dirname(e.path) in self.dirs or self.is_machine(e.path):
                self.name(e, e.path)

    def is_machine(self, path):
        return within(path, self.root)

    def lost(self, want, where):
        """Paths of changes that are not on the disk."""
        return sorted(f"{p} ({t.changed})" for things in (self.files, self.dirs) for p, t in things.items()
                      if t.changed and not want(t) and where(p))


def within(path, top):
    return path == top or path.startswith(top + "/")


def is_temporary(path):
    """A name that nobody looks for, and that is removed when it is found."""
    return os.path.basename(path).startswith(".tmp-")


def exempt(path):
    return any(re.search(e, path) for e, _ in EXEMPT)


# ---- The rules --------------------------------------------------------------------------------------------------------------
# Each gets the disk before the event, and the event.

MENUS = ("/boot/grub/grub.cfg", "/EFI/cairn/menu", "/EFI/cairn/menu.2", "/extlinux/extlinux.conf")
CURRENT = "/var/guix/profiles/system"
PROGRAM = "/BOOTX64.EFI"


def is_menu(path):
    return any(path.endswith(m) for m in MENUS)


def begins_menu(e):
    return e.op in ("make", "open", "write") and is_menu(re.sub(r"\.new$", "", e.path))


def is_boot(disk, path):
    return within(path, disk.root + "/boot")


def names_what_is_whole(disk, e):
    """A file gets a name that others look for when all that was written to it is on the disk."""
    if e.op not in ("rename", "exchange", "link"):
        return None
    found = [f"{p} is not on the disk: {t.changed}" for p, t in disk.files.items() if within(p, e.path) and t.changed and not t.on_disk()]
    return "; ".join(found) or None


def names_last(disk, e):
    """At the end every directory of the machine in which a name changed is on the disk, and every file that was written. An error of
    syncfs is not told by a kernel before 5.8: so each was synced by itself."""
    if e.op != "end":
        return None
    def stays(p):
        return disk.is_machine(p) and not comes_back(disk, p)
    found = disk.lost(lambda t: t.synced or made_only(t), lambda p: stays(p) and not is_boot(disk, p))
    found += disk.lost(Thing.on_disk, lambda p: stays(p) and is_boot(disk, p))
    found += disk.lost(lambda t: t.settled() or made_only(t), lambda p: stays(p) and is_boot(disk, p) and (is_menu(p) or p in disk.dirs))
    return "not on the disk at the end: " + "; ".join(found) if found else None


def made_only(thing):
    """A directory in which one was made, and that is on the disk with its file system."""
    return thing.changed.op == "mkdir" and thing.on_disk()


def comes_back(disk, path):
    """What was removed may come back where something removes it again: a switch behind the menu, a deletion of generations."""
    t = disk.dirs.get(path)
    return t is not None and t.changed.op == "unlink" and (is_boot(disk, path) or path == disk.root + "/var/lib/cairn/secrets")


def moves_to_what_is_there(disk, e):
    """The link of the current generation, and the menu, move when everything else is on the disk."""
    if not (e.op in ("rename", "exchange") and (e.to == disk.root + CURRENT or is_menu(e.to))):
        return None
    mine = (e.path, os.path.dirname(e.path))
    found = disk.lost(Thing.on_disk, lambda p: disk.is_machine(p) and p not in mine and not comes_back(disk, p))
    return f"{e.to} moves before " + "; ".join(found) if found else None


def one_step_after_the_other(disk, e):
    """Links and notes of generations change, and the boot loader's files, when the last change of such a link or note is on the disk."""
    profiles = os.path.dirname(disk.root + CURRENT)
    named = e.to or e.path or ""
    if e.op in ("read", "sync", "syncfs", "drop") or is_temporary(named):
        return None
    if os.path.dirname(named) != profiles and not is_boot(disk, named):
        return None
    found = disk.lost(lambda t: t.synced, lambda p: p == profiles)
    return f"{named} changes before " + "; ".join(found) if found else None


def menu_after_kernels(disk, e):
    """A menu is written when what it names is on the disk: told so by fsync for each of them, and by syncfs for all that it takes to
    find them; and when the count of boots that goes with it is."""
    if not begins_menu(e):
        return None
    kernels = {p for p in disk.files if KERNELS.search(p) and is_boot(disk, p)}
    kernels |= {os.path.dirname(p) for p in kernels}
    kernels |= {p for p in disk.dirs if p.endswith("/boot/cairn")}
    mine = disk.dirs.get(os.path.dirname(e.path))
    if mine and mine.changed and mine.changed.path == e.path:
        kernels.discard(os.path.dirname(e.path))  # its own name
    found = disk.lost(Thing.settled, lambda p: p in kernels and not comes_back(disk, p))
    found += disk.lost(lambda t: t.synced, lambda p: p.endswith("/grubenv"))
    return "the menu is written before " + "; ".join(found) if found else None


def reads_back(disk, e):
    """What was written for the boot loader is read back from the disk, before it gets its name or a menu names it."""
    if e.op == "drop":
        f = disk.files.get(e.path)
        if f and f.changed and not f.synced:
            return f"{e.path} is read back from memory: {f.changed}"
        return None
    at = []
    if e.op in ("rename", "exchange") and (is_menu(e.to) or e.to.endswith(PROGRAM) or KERNELS.search(e.to)):
        at = [e.path]
    elif begins_menu(e):
        at = [p for p in disk.files if KERNELS.search(p)]
    elif e.op == "end":
        at = [p for p in disk.files if is_menu(p)]
    bad = [p for p in at if p in disk.files and disk.files[p].size and disk.files[p].read < disk.files[p].size]
    return "not read back: " + "; ".join(bad) if bad else None


def exchange_is_settled(disk, e):
    """A menu or a loader that stands beside the one in place is settled before they are exchanged, and the exchange before the old
    one is removed."""
    if e.op in ("rename", "exchange") and (is_menu(e.to) or e.to.endswith(PROGRAM)):
        f, d = disk.files.get(e.path), disk.dirs.get(os.path.dirname(e.path))
        if f and f.changed and not f.settled():
            return f"{e.path} is not settled: {f.changed}"
        return f"its name is not on the disk: {d.changed}" if d and not d.flushed and d.changed.op != "link" else None
    if e.op == "unlink" and e.path.endswith((".new", ".old")):
        d = disk.dirs.get(os.path.dirname(e.path))
        if d and d.changed and d.changed.op in ("rename", "exchange") and not d.settled():
            return f"{e.path} goes before what took its place is settled: {d.changed}"
    return None


RULES = (names_what_is_whole, names_last, moves_to_what_is_there, one_step_after_the_other, menu_after_kernels, reads_back,
         exchange_is_settled)


def faults(text, disk, rules=RULES):
    """(rule, what is wrong) for each fault, once for each line."""
    found = []
    for e in events(text):
        if not exempt(e.to or e.path or ""):
            for rule in rules:
                wrong = rule(disk, e)
                if wrong:
                    found.append((rule.__name__, f"{e}: {wrong}"))
        disk.take(e)
    return found


# ---- What the rules are tried with ------------------------------------------------------------------------------------------

# A machine at /m, and what is done to it in the right order. Behind a guard stands who misses it.
FAKES = {"a file": """
openat(AT_FDCWD</x>, "/m/etc/.tmp-1", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 3</m/etc/.tmp-1>
write(3</m/etc/.tmp-1>, ""..., 10) = 10
fchmod(3</m/etc/.tmp-1>, 0600) = 0
fsync(3</m/etc/.tmp-1>) = 0 # names_what_is_whole
renameat(AT_FDCWD</x>, "/m/etc/.tmp-1", AT_FDCWD</x>, "/m/etc/shadow") = 0
fsync(3</m/etc>) = 0 # names_last
""", "a directory that is renamed": """
mkdir("/m/srv/.new", 0755) = 0
openat(3</m/srv/.new>, "x", O_WRONLY|O_CREAT|O_EXCL, 0644) = 4</m/srv/.new/x>
write(4</m/srv/.new/x>, ""..., 10) = 10
fsync(4</m/srv/.new/x>) = 0 # names_what_is_whole
fsync(3</m/srv/.new>) = 0 # names_last
rename("/m/srv/.new", "/m/srv/new") = 0
fsync(3</m/srv>) = 0 # names_last
""", "a switch, of several processes": """
7 openat(AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-1", O_WRONLY|O_CREAT|O_EXCL, 0644) = 3</m/var/guix/profiles/.tmp-1>
7 write(3</m/var/guix/profiles/.tmp-1>, ""..., 10) = 10
7 fsync(3</m/var/guix/profiles/.tmp-1> <unfinished ...> # names_what_is_whole
8 fsync(3</m/other>) = -1 EIO (Input/output error)
7 <... fsync resumed>) = 0
7 renameat(AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-1", AT_FDCWD</x>, "/m/var/guix/profiles/system.switch") = 0
7 fsync(3</m/var/guix/profiles>) = 0 # one_step_after_the_other
7 symlinkat("/gnu/store/2-system", AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-2") = 0
7 renameat(AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-2", AT_FDCWD</x>, "/m/var/guix/profiles/system-2-link") = 0
7 fsync(3</m/var/guix/profiles>) = 0 # one_step_after_the_other
7 pwrite64(3</m/boot/grub/grubenv>, ""..., 1024, 0) = 1024
7 fsync(3</m/boot/grub/grubenv>) = 0 # moves_to_what_is_there
7 symlinkat("system-2-link", AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-3") = 0
7 renameat(AT_FDCWD</x>, "/m/var/guix/profiles/.tmp-3", AT_FDCWD</x>, "/m/var/guix/profiles/system") = 0
7 fsync(3</m/var/guix/profiles>) = 0 # one_step_after_the_other
7 unlink("/m/var/guix/profiles/system.switch") = 0
7 fsync(3</m/var/guix/profiles>) = 0 # names_last
""", "kernels and a menu": """
mkdirat(5</m/boot/cairn>, "HASH-set", 0755) = 0
openat(4</m/boot/cairn/HASH-set>, "boot-file.new", O_RDWR|O_CREAT|O_EXCL, 0644) = 3</m/boot/cairn/HASH-set/boot-file.new>
write(3</m/boot/cairn/HASH-set/boot-file.new>, ""..., 100) = 100
fsync(3</m/boot/cairn/HASH-set/boot-file.new>) = 0 # reads_back names_what_is_whole menu_after_kernels
fadvise64(3</m/boot/cairn/HASH-set/boot-file.new>, 0, 0, POSIX_FADV_DONTNEED) = 0 # reads_back
read(3</m/boot/cairn/HASH-set/boot-file.new>, ""..., 262144) = 100 # reads_back
renameat(4</m/boot/cairn/HASH-set>, "boot-file.new", 4</m/boot/cairn/HASH-set>, "HASH-kernel") = 0
fsync(4</m/boot/cairn/HASH-set>) = 0 # menu_after_kernels
syncfs(4</m/boot/cairn/HASH-set>) = 0 # menu_after_kernels
fsync(5</m/boot/cairn>) = 0 # menu_after_kernels
openat(4</m/boot/grub>, "grub.cfg.new", O_RDWR|O_CREAT|O_EXCL, 0644) = 3</m/boot/grub/grub.cfg.new>
write(3</m/boot/grub/grub.cfg.new>, ""..., 50) = 50
fsync(3</m/boot/grub/grub.cfg.new>) = 0 # reads_back exchange_is_settled
fadvise64(3</m/boot/grub/grub.cfg.new>, 0, 0, POSIX_FADV_DONTNEED) = 0 # reads_back
read(3</m/boot/grub/grub.cfg.new>, ""..., 4096) = 50 # reads_back
syncfs(4</m/boot/grub>) = 0 # exchange_is_settled
renameat2(4</m/boot/grub>, "grub.cfg.new", 4</m/boot/grub>, "grub.cfg", RENAME_EXCHANGE) = 0
fsync(4</m/boot/grub>) = 0 # exchange_is_settled
syncfs(4</m/boot/grub>) = 0 # exchange_is_settled
unlinkat(4</m/boot/grub>, "grub.cfg.new", 0) = 0
""", "the loader and a menu on a boot partition": """
openat(4</m/boot/efi/EFI/cairn>, "HASH-kernel", O_RDWR|O_CREAT|O_EXCL, 0644) = 3</m/boot/efi/EFI/cairn/HASH-kernel>
write(3</m/boot/efi/EFI/cairn/HASH-kernel>, ""..., 100) = 100
fsync(3</m/boot/efi/EFI/cairn/HASH-kernel>) = 0 # reads_back menu_after_kernels
fadvise64(3</m/boot/efi/EFI/cairn/HASH-kernel>, 0, 0, POSIX_FADV_DONTNEED) = 0 # reads_back
read(3</m/boot/efi/EFI/cairn/HASH-kernel>, ""..., 262144) = 100 # reads_back
fsync(4</m/boot/efi/EFI/cairn>) = 0 # menu_after_kernels
openat(4</m/boot/efi/EFI/BOOT>, "BOOTX64.EFI.new", O_RDWR|O_CREAT|O_EXCL, 0644) = 3</m/boot/efi/EFI/BOOT/BOOTX64.EFI.new>
write(3</m/boot/efi/EFI/BOOT/BOOTX64.EFI.new>, ""..., 50) = 50
fsync(3</m/boot/efi/EFI/BOOT/BOOTX64.EFI.new>) = 0 # reads_back exchange_is_settled
fadvise64(3</m/boot/efi/EFI/BOOT/BOOTX64.EFI.new>, 0, 0, POSIX_FADV_DONTNEED) = 0 # reads_back
read(3</m/boot/efi/EFI/BOOT/BOOTX64.EFI.new>, ""..., 4096) = 50 # reads_back
syncfs(4</m/boot/efi/EFI/BOOT>) = 0 # exchange_is_settled
renameat2(4</m/boot/efi/EFI/BOOT>, "BOOTX64.EFI.new", 4</m/boot/efi/EFI/BOOT>, "BOOTX64.EFI", RENAME_EXCHANGE) = 0
fsync(4</m/boot/efi/EFI/BOOT>) = 0 # exchange_is_settled
syncfs(4</m/boot/efi/EFI/BOOT>) = 0 # exchange_is_settled
unlinkat(4</m/boot/efi/EFI/BOOT>, "BOOTX64.EFI.new", 0) = 0
openat(4</m/boot/efi/EFI/cairn>, "menu", O_RDWR|O_CREAT|O_NOFOLLOW, 0644) = 3</m/boot/efi/EFI/cairn/menu>
write(3</m/boot/efi/EFI/cairn/menu>, ""..., 50) = 50
fsync(3</m/boot/efi/EFI/cairn/menu>) = 0 # reads_back names_last
fadvise64(3</m/boot/efi/EFI/cairn/menu>, 0, 0, POSIX_FADV_DONTNEED) = 0 # reads_back
read(3</m/boot/efi/EFI/cairn/menu>, ""..., 4096) = 50 # reads_back
syncfs(4</m/boot/efi/EFI/cairn>) = 0 # names_last
"""}


def try_rules():
    """(what, whether it is as it should be, what was found) of the fakes, as they are and without each of their guards."""
    unused = {r.__name__ for r in RULES}
    for name, fake in FAKES.items():
        lines = [line.partition(" # ") for line in fake.strip().replace("HASH", "0" * 32).splitlines()]
        texts = [text for text, _, _ in lines]
        esp = "/m/boot/efi" if "/efi/" in fake else None
        found = faults("\n".join(texts), Disk("/m", esp))
        yield name, not found, found
        for i, (text, _, who) in enumerate(lines):
            if not who:
                continue
            left = texts[:i] + [""] + texts[i + 1:]
            if "unfinished" in text:
                left = [x for x in left if "resumed" not in x]
            found = faults("\n".join(left), Disk("/m", esp))
            seen = {rule for rule, _ in found}
            unused -= seen
            yield f"{name}, without {text.split('(')[0]} in line {i + 1}", set(who.split()) <= seen, (who, found)
    yield "each rule was needed", not unused, unused
