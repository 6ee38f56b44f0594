# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that change a machine while it runs, on a disk that is recorded: activation, trials, notes, what was pulled, profiles of
users, a collection. Of a cut in one of them, each file that it writes is as before or as after it, and never a part of both."""
import hashlib
import os
import re
import shutil
import stat

import cuts
import powercut
import storecuts
import vm
from cuts import need

PROFILES, IDS, SECRETS = "/var/guix/profiles", "/var/lib/cairn/ids", "/var/lib/cairn/secrets/"
WATCHED = ("/etc", PROFILES, "/var/guix/gcroots", IDS, "/var/lib/cairn/shadow", "/var/lib/cairn/secrets", "/var/guix/db")
# Of which nothing is asked here: who holds a lock, and the switch that is under way, which is looked at by itself; the store's database has a
# check of its own.
PASSED_OVER = re.compile(rf"{PROFILES}/(.*\.lock|system\.switch)|/var/guix/db(/.*)?|.*/\.tmp[^/]*")

ACCOUNT = """{ name = "cutter", password = "$6$salt$none", groups = { "wheel" } },
"""
COMMANDS = (
    ("reconfigure", "cairn system reconfigure /root/live.lua"),
    ("label", "cairn system label 2 cut-off"),
    ("pin", "cairn system pin 2"),
    ("roll-back", "cairn system roll-back"),
    ("try out", "cairn system switch-generation --confirm 30min 2"),
    ("confirm", "cairn system confirm"),
    ("try the one before", "cairn system roll-back --confirm 30min"),
    ("revert", "cairn system revert"),
    ("unpin", "cairn system unpin 2"),
    ("back", "cairn system switch-generation 1"),
    ("pull", "cairn pull --url file:///root/channel --key $(cat /root/key.pub)"),
    ("install", "cairn package install e2fsprogs"),
    ("remove", "cairn package remove e2fsprogs"),
    ("roll-back of packages", "cairn package roll-back"),
)
# And what the sample leaves out. `package upgrade` and `apply` make a generation in the way that install and remove do.
MORE = (
    ("test", "cairn system test /root/live.lua"),
    ("back from the test", "cairn system switch-generation 1"),
    ("apply", "cairn package apply --modules /root/modules /root/packages.lua"),
    ("upgrade", "sed -i 's/stone-1/stone-2/; s/version = \"1\"/version = \"2\"/' /root/modules/packages/stone.lua && cairn package upgrade --modules /root/modules"),
    ("delete-generations of packages", "cairn package delete-generations 1"),
)
# A package of its own, of which there is a newer version.
STONE = """local busybox = require "packages.busybox"
local drv = derivation {
	name = "stone-1", builder = busybox .. "/bin/busybox",
	args = { "sh", "-ec", busybox .. "/bin/busybox mkdir -p $out/share && echo stone-1 >$out/share/stone" },
}
return setmetatable({ name = "stone", version = "1", drv = drv, synopsis = "A stone", recipe = { inputs = { busybox } } },
	{ __tostring = function() return tostring(drv) end })
"""
MODULES = f"""cp -rL /run/current-system/modules /root/modules && chmod -R u+w /root/modules && cat >/root/modules/packages/stone.lua <<'END'
{STONE}END
echo 'return {{ stone = "packages.stone" }}' >/root/modules/packages/index.lua && echo 'return {{ "stone" }}' >/root/packages.lua"""
COLLECT = "cairn system gc --keep 0"
# A file of accounts as one should not write it.
CARELESS = "sed 's/^root:x:0:0:/&root/' /etc/passwd >/root/passwd && : >/etc/passwd && sync && cat /root/passwd >/etc/passwd"
# These write no boot files.
QUIET = ("label", "pin", "unpin", "pull", "install", "remove", "roll-back of packages", "try out", "try the one before", "test", "apply", "upgrade",
         "delete-generations of packages")


class Commands:
    """What is run on a machine that is recorded; windows: (name, first entry of the log, the one at which it was reported as done, the one
    at which all is on the disk)."""

    def __init__(self, commands=COMMANDS):
        self.commands, self.windows, self.careless = commands, [], None

    def prepare(self, m):
        """A configuration with one account and one secret more than that of the machine; a channel."""
        m.check("mkdir -p -m 700 /etc/cairn/secrets && (umask 077; echo of-the-second-generation >/etc/cairn/secrets/key)")
        text = m.check("cat /etc/cairn/system.lua")
        need("the configuration has other accounts", text.count('{ name = "root", password = "" },') == 1)
        text = text.replace('{ name = "root", password = "" },', '{ name = "root", password = "" }, ' + ACCOUNT)
        text = text.replace("\tusers = {", '\tsecrets = { { name = "key" } },\n\tusers = {')
        m.check(f"cat >/root/live.lua <<'END'\n{text}\nEND")
        m.check("cairn channel generate-key /root/key && cairn channel sign /run/current-system/modules --key /root/key --name own "
                "-o /root/channel", timeout=600)
        if self.commands != COMMANDS:
            m.check(MODULES)

    def _window(self, m, name, command, now):
        m.check("sync")
        begin = now()
        m.check(command, timeout=900)
        end = now()
        m.check("sync")
        self.windows.append((name, begin, end, now()))

    def run(self, m, now):
        self.prepare(m)
        for name, command in self.commands:
            self._window(m, name, command, now)

    def collect(self, m, now):
        self._window(m, "gc", COLLECT, now)
        self._window(m, "careless", CARELESS, now)
        self.careless = self.windows.pop()


def accounts(tree):
    """The files of accounts are whole, and root is in each."""
    for name, fields, root in (("passwd", 7, "root:x:0:0:"), ("group", 4, "root:x:0:"), ("shadow", 9, "root:")):
        with open(f"{tree}/etc/{name}", encoding="utf-8") as f:
            lines = f.read().split("\n")
        need(f"/etc/{name} does not end with its last line", lines.pop() == "")
        need(f"/etc/{name} is no file of accounts: {lines}", all(line.count(":") == fields - 1 for line in lines))
        need(f"/etc/{name} has not one root", sum(line.startswith(root) for line in lines) == 1)
    mode = stat.S_IMODE(os.stat(tree + "/etc/shadow").st_mode)
    need(f"/etc/shadow has mode {mode:o}", mode & 0o077 == 0)


def entry(path):
    """What there is: kind and mode, and target, contents or nothing more."""
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        return "link to " + os.readlink(path)
    if not stat.S_ISREG(st.st_mode):
        return f"directory {st.st_mode:o}"
    with open(path, "rb") as f:
        data = f.read()
    return f"file {st.st_mode:o}, {len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}"


def entries(tree):
    found = {}
    for at, directories, files in os.walk(tree):
        for path in (os.path.join(at, name) for name in directories + files):
            if any((path[len(tree):] + "/").startswith(top + "/") for top in WATCHED) and not PASSED_OVER.fullmatch(path[len(tree):]):
                found[path[len(tree):]] = entry(path)
    return found


def numbers(tree):
    with open(tree + IDS, encoding="utf-8") as f:
        text = f.read()
    need(f"the map of numbers is torn: {text[-80:]!r}", text.endswith("\n") and "\nformat 1\n" in text)
    return set(text.splitlines())


class Moment:
    """All that is asked about, with everything on the disk."""

    def __init__(self, live):
        self.menu = cuts.grub(live.work, "/boot/grub/grub.cfg")
        self.hashes = cuts.hashes(live.work, self.menu)
        need("GRUB does not find what the menu names", None not in self.hashes.values())
        root = live.tree()
        self.entries, self.numbers = entries(root.tree), numbers(root.tree)
        accounts(root.tree)


class Live(cuts.Recorded):
    """windows: what was run, and when."""

    def __init__(self, windows, *recorded):
        self.windows = windows
        super().__init__(recorded[0], recorded[1], windows[0][1], [w[3] for w in windows], recorded[2])
        del self.log.entries[self.marks[-1]:]
        at = sorted({x for _name, begin, _end, settled in windows for x in (begin, settled)})
        self.moments = dict(zip(at, self.at_marks(at, lambda: Moment(self))))

    def tree(self):
        return cuts.Root(self.work, os.path.join(self.directory, "root"), WATCHED)

    def window(self, at):
        """The command that a cut there is in; None: none of them."""
        return next((w for w in self.windows if w[1] <= at <= w[3]), None)

    def look(self, at):
        name, begin, end, settled = self.window(at)
        before, after = self.moments[begin], self.moments[settled]
        menu = cuts.grub(self.work, "/boot/grub/grub.cfg")
        need(f"{name}: the menu is neither the old nor the new one: {menu and menu[:200]!r}", menu in (before.menu, after.menu))
        need(f"{name}: it was reported as done, and the menu is the old one", at < end or menu == after.menu)
        if name not in QUIET:
            known = {**before.hashes, **after.hashes}
            for path, value in cuts.hashes(self.work, menu).items():
                need(f"{name}: GRUB reads other bytes of {path}", value and value == known[path])
        what = "the same" if before.menu == after.menu else "new" if menu == after.menu else "old"
        return f"{name}: menu {what}, {cuts.counts(self.work, menu)}"

    def examine(self, at, kind):
        name, begin, end, settled = self.window(at)
        before, after = self.moments[begin], self.moments[settled]
        root = self.tree()
        accounts(root.tree)
        found = entries(root.tree)
        for path in sorted({*before.entries, *after.entries, *found} - {IDS}):
            is_now, was, will = (x.get(path, "nothing") for x in (found, before.entries, after.entries))
            need(f"{name}: {path} is {is_now}; before {was}, after {will}", is_now in (was, will))
            # A directory with nothing in it, as of a generation without secrets, is made again by whoever needs it.
            empty = will.startswith("directory") and not any(x.startswith(path + "/") for x in after.entries)
            # Nobody waits for the removal of secrets that no generation has; it is repeated.
            left = will == "nothing" and path.startswith(SECRETS)
            need(f"{name}: reported as done, and {path} is {is_now} and not {will}", at < end or empty or left or is_now == will)
        now = numbers(root.tree)
        need(f"{name}: numbers of accounts are lost: {before.numbers - now}", before.numbers <= now <= after.numbers)
        link = root.link(PROFILES + "/system")
        changed = before.entries[PROFILES + "/system"] != after.entries[PROFILES + "/system"]
        new = "link to " + link == after.entries[PROFILES + "/system"]
        note = os.path.exists(root.tree + cuts.NOTE)
        need(f"{name}: menu and profile differ, and no note says so", note or not changed or new == (" new," in kind))
        valid = storecuts.Database(shutil.copytree(root.tree + "/var/guix/db", os.path.join(self.directory, "db"))).valid
        shutil.rmtree(os.path.join(self.directory, "db"))
        storecuts.rooted(root.tree, valid)
        cuts.tool(os.environ["CAIRN"], "store", "query", "--root", root.tree, "-R", root.system())
        return f"{kind}, profile {link.split('-')[1]}" + (", note" if note else "")

    def sample(self, every):
        """For sweep(): the last set before the flush with which each command was as good as done, and some more."""
        flushes = [n for n, x in enumerate(self.log.entries) if x[3] & powercut.FLUSH]
        last = {max(n for n in flushes if n < end) for _name, _begin, end, _settled in self.windows}
        return lambda n, at: self.window(at) is not None and (at in last or n % every == 0)


def control(commands, image, log, directory):
    """A file that was written in place must be found: else nothing here would find anything."""
    try:
        Live([commands.careless], image, log, directory).sweep(1, deep=lambda n: True)
    except vm.Failure as why:
        need(f"another thing is found: {why}", "/etc/passwd" in str(why))
        return str(why)
    raise vm.Failure("a file of accounts that is written without care is not found")
