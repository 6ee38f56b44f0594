#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What --json of the commands for a machine's system, a user's packages and the store prints: every key is there, has the type that the documents say, and no other
key is. A table of shapes; whoever changes the output changes it here, and sees what scripts of users may rely on."""
import fcntl
import glob
import json
import os
import re
import shutil
import struct
import subprocess
import sys

os.environ.pop("CAIRN_ROOT", None)
TMP, SRC = os.environ["TMP"], os.environ["SRC"]
R = TMP + "/machine"
n = bad = 0


def check(what, good, *why):
    global n, bad
    n += 1
    bad += not good
    print(f"{'ok' if good else 'not ok'} {n} - {what}")
    if not good:
        print("# " + " ".join(map(str, why)))


# ---- Shapes: a type, None, a set of texts, (a, b) for either, [shape] for a list of such, {key: shape} for an object with just
# these keys; "key?" need not be there.
def flaw(shape, x, at=""):
    """None, or what is wrong with x."""
    if isinstance(shape, tuple):
        flaws = [flaw(s, x, at) for s in shape]
        return None if None in flaws else flaws[0]
    if isinstance(shape, list):
        if not isinstance(x, list):
            return f"{at}: {x!r} is no list"
        return next((f for f in (flaw(shape[0], y, f"{at}[{i}]") for i, y in enumerate(x)) if f), None)
    if isinstance(shape, dict):
        if not isinstance(x, dict):
            return f"{at}: {x!r} is no object"
        known = {k.rstrip("?"): k for k in shape}
        for key in x:
            if key not in known:
                return f"{at}.{key}: a key that is not known"
        for key, k in known.items():
            if key in x:
                f = flaw(shape[k], x[key], f"{at}.{key}")
                if f:
                    return f
            elif not k.endswith("?"):
                return f"{at}.{key}: is missing"
        return None
    if isinstance(shape, set):
        return None if x in shape else f"{at}: {x!r} is none of {sorted(shape)}"
    if shape is None:
        return None if x is None else f"{at}: {x!r} is not null"
    good = type(x) is shape and not (shape is int and x < 0)  # a boolean is no number
    return None if good else f"{at}: {x!r} is no {shape.__name__}"


ITEM = [{"name": str, "change": {"added", "removed", "changed"}, "before": str, "after": str, "size": (int, None)}]
NUMBER = (int, None)
PLAN = {
    **dict.fromkeys(("facts", "packages", "etc", "users", "groups", "secrets", "privileged", "environment"), ITEM),
    "services": [{"name": str, "action": {"keep", "later", "reload", "start", "stop", "restart"}}],
    "services_live": bool, "services_at_boot": bool, "services_known": bool,
    **dict.fromkeys(("closure_before", "closure_after", "unknown_before", "unknown_after", "fetch", "download", "unpacked", "build"), NUMBER),
    "reboot": [{"kernel", "initramfs", "init", "kernel arguments"}], "warnings": [str],
}
CHANGE = {
    "result": {"planned", "switched", "activated", "partial", "tried-out"}, "from": NUMBER, "to": NUMBER, "system": str, "plan": PLAN,
    "services": [{"name": str, "action": {"later", "reload", "start", "stop", "restart"}}],
}
GENERATION = {
    "generation": int, "date": NUMBER, "current": bool, "booted": bool, "pinned": bool, "tried": bool, "broken": bool, "system": str,
    "label?": str, "host_name?": str, "kernel?": str,
    "channel?": {"serial": int, "date": int, "name": str, "url": str, "key": str},
}
DELETED = [{"generation": int, "system": str}]
STATUS = {
    "boot_loader": {"grub", "efi", "extlinux", "none"}, "booted": NUMBER, "booted_system": (str, None), "current": NUMBER,
    "active": NUMBER, "active_system": (str, None), "boot_directory": (str, None), "boot_used": NUMBER, "boot_free": NUMBER,
    "default": NUMBER, "next": NUMBER, "good": NUMBER, "trial": NUMBER, "tries_left": NUMBER, "unconfirmed": NUMBER,
    "revert_to": NUMBER, "revert_in": NUMBER, "pinned": [int], "stale_services": [str], "falls_back": bool,
    "fell_back": bool,
    "reboot": ([{"kernel", "initramfs", "init", "kernel arguments"}], None),
}
VERIFY = {"generation": int, "items": int, "bytes": int, "boot_files": int, "faults": [{"path": str, "why": str}]}

# The table of the test itself: what must be found wrong.
for shape, x in ((int, True), (int, -1), (int, "1"), (str, None), ([int], {}), ([int], [1, "a"]), ({"a": int}, {}), ({"a": int}, {"a": 1, "b": 2}),
                 ({"a?": int}, {"a": "x"}), ({"up"}, "down"), ((int, None), "x")):
    check(f"{x!r} is found wrong", flaw(shape, x))


def run(shape, *args, status=0, modules=False):
    where = (["--target-root", R] if args[0] != "build" else []) + (["--root", R, "--modules", TMP + "/world", "--quiet"] if modules else [])
    return say(shape, "system", args[0], *where, *args[1:], status=status)


def say(shape, *args, status=0):
    r = subprocess.run([os.environ["CAIRN"], *args[:2], "--json", *args[2:]], capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, check=False)
    what = " ".join(a.replace(TMP + "/", "") for a in args)
    if r.returncode != status:
        check(what, False, "status", r.returncode, r.stderr)
        return None
    try:
        x = json.loads(r.stdout)
    except ValueError as e:
        check(what, False, e, r.stdout)
        return None
    f = flaw(shape, x)
    check(what, f is None, f)
    return x


os.makedirs(R + "/etc/cairn/secrets")
with open(R + "/etc/cairn/secrets/psk", "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
    f.write("correct horse")
subprocess.run([SRC + "/tests/cmd/mock-world", TMP + "/world"], check=True)
with open(SRC + "/examples/minimal.lua", encoding="utf-8") as f:
    text = f.read()
one, two = TMP + "/one.lua", TMP + "/two.lua"
with open(one, "w", encoding="utf-8") as f:
    f.write(text)
with open(two, "w", encoding="utf-8") as f:
    f.write(text.replace('host_name = "cairn",', """host_name = "stone", environment = { X = "1" }, 
	groups = { { name = "more" } }, secrets = { { name = "psk" } }, privileged_programs = { { program = require "packages.doas" .. "/bin/doas" } },""")
            .replace("panic=10", "panic=1").replace("packages = {}", 'packages = { require "packages.hello" }')
            .replace("services.base {}", 'services.base { services.simple { name = "new", exec = { require "packages.hello" .. "/bin/hello" } } }'))

with open(TMP + "/shut.lua", "w", encoding="utf-8") as f:
    f.write(text.replace("services.base {}", "services.base { services.openssh {}, services.firewall {} }"))
x = run(CHANGE, "plan", TMP + "/shut.lua", modules=True)
check("a plan has warnings", x and len(x["plan"]["warnings"]) == 1 and "shut.lua" in x["plan"]["warnings"][0], x and x["plan"]["warnings"])
x = run({"system": str, "derivation": str, "built": bool, "missing": [str], "warnings": [str]}, "build", "--dry-run", TMP + "/shut.lua", modules=True)
check("so has a build", x and len(x["warnings"]) == 1, x)
x = run(CHANGE, "plan", one, modules=True)
check("none is an empty list", x and x["plan"]["warnings"] == [], x)
x = run(CHANGE, "reconfigure", one, modules=True)
check("it is switched", x and x["result"] == "switched" and x["to"] == 1, x)
run(STATUS, "status")
x = run(CHANGE, "plan", two, modules=True)
kinds = "facts", "packages", "etc", "groups", "secrets", "privileged", "environment", "services", "reboot"
check("each list of the plan has something", x and all(x["plan"][k] for k in kinds), x and {k: x["plan"][k] for k in kinds})
sizes = lambda x, key="packages": x and [p["size"] for p in x["plan"][key]]
check("what is not built has no size, and a file of /etc neither", sizes(x) == [None] and set(sizes(x, "etc")) == {None}, x and x["plan"])
text = subprocess.run([os.environ["CAIRN"], "system", "diff", "--target-root", R, "--root", R, "--modules", TMP + "/world", "--quiet", two],
                      capture_output=True, text=True, check=False).stdout
check("which people are told", re.search(r"^  packages   [+] hello .*\(not built yet\)$", text, re.M), text)
x = run({"from": str, "to": str, "plan": PLAN}, "diff", two, modules=True)
check("nor as a difference", sizes(x) == [None], x and x["plan"])
check("each list of the difference, too", x and all(x["plan"][k] for k in kinds))
x = run(CHANGE, "test", two, modules=True)
check("what is tested is activated, and no generation", x and x["result"] == "activated" and x["to"] is None, x)
run(STATUS, "status")
x = run({"from": str, "to": str, "plan": PLAN}, "diff", two, modules=True)
check("what is built has a size", x and sizes(x)[0] > 0, x and x["plan"])
run(CHANGE, "boot", two, modules=True)
x = run(CHANGE, "roll-back", "--boot")
check("back from it: the other direction", x and x["plan"]["secrets"][0]["change"] == "removed", x)
run(CHANGE, "switch-generation", "--boot", "--dry-run", "2")
x = run([GENERATION], "list-generations")
check("both are listed", x and [g["generation"] for g in x] == [1, 2], x)
run(GENERATION, "describe")
run(VERIFY, "verify", "1")
shutil.move(R + "/boot", TMP + "/boot")
x = run(VERIFY, "verify", "1", status=65)
check("what is damaged is in it", x and x["faults"], x)
shutil.move(TMP + "/boot", R + "/boot")
# What reads it asks again: nothing else that is refused goes away by itself.
with open(R + "/var/guix/profiles/system.lock", "r+b") as lock:
    fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
    run({"result": {"busy"}}, "confirm", status=3)
check("an answer that is final has no such mark", subprocess.run([os.environ["CAIRN"], "system", "confirm", "--json", "--target-root", R, "999"], capture_output=True, check=False).stdout == b"")
GC = {"dry_run": bool, "items": int, "bytes": int, "deleted": DELETED}
run(CHANGE, "boot", one, modules=True)
run(GC, "gc", "--dry-run", "--keep", "0")
x = run({"dry_run": bool, "deleted": DELETED, "kept": [{"generation": int, "why": str}]}, "delete-generations", "--dry-run")
check("what stays has a reason", x and x["kept"], x)
os.unlink(R + "/run/current-system")
x = run(GC, "gc", "--keep", "0")
check("something was collected", x and x["deleted"] and x["bytes"] > 0, x)

# ---- A user's packages
ROOT = "--root", TMP + "/user"
WORLD = *ROOT, "--modules", TMP + "/world", "--quiet"
ENTRIES = [{"name": str, "version": str, "output": str, "path": str}]
SWITCHED = {"dry_run": bool, "from": int, "to": int, "profile": str}
for verb, names in (("install", ("hello",)), ("install", ("curl",)), ("remove", ("hello",))):
    say([{"action": {"install", "remove"}, "name": str, "output": str, "from_version?": str, "from?": str, "to_version?": str, "to?": str}],
        "package", verb, *WORLD, *names)
say(ENTRIES, "package", "list", *ROOT)
x = say(ENTRIES, "package", "export-manifest", *ROOT)
check("what a manifest names", x and [y["name"] for y in x] == ["curl"], x)
x = say([{"generation": int, "date": int, "current": bool, "profile": str, "packages": ENTRIES}], "package", "list-generations", *ROOT)
second = x[1]["profile"] if x else None
x = say(SWITCHED, "package", "roll-back", "-n", *ROOT)
check("where it would go back to", x == {"dry_run": True, "from": 3, "to": 2, "profile": second}, x)
x = say(SWITCHED, "package", "roll-back", *ROOT)
check("it went there", x == {"dry_run": False, "from": 3, "to": 2, "profile": second}, x)
x = say(SWITCHED, "package", "switch-generation", *ROOT, "3")
check("and there again", x and (x["from"], x["to"]) == (2, 3), x)
OLD = {"dry_run": bool, "deleted": [{"generation": int, "profile": str}]}
x = say(OLD, "package", "delete-generations", "-n", *ROOT)
check("what would go", x and x["dry_run"] and [g["generation"] for g in x["deleted"]] == [1, 2], x)
x = say(OLD, "package", "delete-generations", *ROOT, "2")
check("what went", x == {"dry_run": False, "deleted": [{"generation": 2, "profile": second}]}, x)
x = say(OLD, "package", "delete-generations", *ROOT, "30d")
check("or nothing", x == {"dry_run": False, "deleted": []}, x)

# ---- The store
COLLECTED = {"dry_run": bool, "items": int, "bytes": int, "paths": [str]}
with open(TMP + "/odd", "w", encoding="utf-8") as f:
    f.write("odd")
item = subprocess.run([os.environ["CAIRN"], "store", "add", *ROOT, TMP + "/odd"], capture_output=True, text=True, check=True).stdout.strip()
x = say(COLLECTED, "store", "gc", "-n", *ROOT)
check("what would be collected", x and x["dry_run"] and item in x["paths"] and x["items"] == len(x["paths"]), x)
x = say([str], "store", "gc", "--list-dead", *ROOT)
check("the same", x and item in x, x)
x = say([str], "store", "gc", "--list-live", *ROOT)
check("and what stays", x and item not in x, x)
say([str], "store", "gc", "--list-busy", *ROOT)
x = say([{"link": str, "target": str}], "store", "gc", "--list-roots", *ROOT)
check("roots", x, x)
say({"before": int, "after": int}, "store", "gc", "--vacuum-database", *ROOT)
FOUND = {"contents": bool, "repair": bool, "remaining": int, "faults": [{"path": str, "why": str, "not_repaired": (str, None)}],
         "repaired": [str], "removed": [str]}
x = say(FOUND, "store", "verify", *ROOT)
check("nothing is wrong", x == {"contents": True, "repair": False, "remaining": 0, "faults": [], "repaired": [], "removed": []}, x)
os.chmod(TMP + "/user" + item, 0o644)
with open(TMP + "/user" + item, "w", encoding="utf-8") as f:
    f.write("ill")
x = say(FOUND, "store", "verify", *ROOT, status=65)
check("what is wrong", x and x["remaining"] == 1 and [f["path"] for f in x["faults"]] == [item] and x["faults"][0]["why"].startswith("was modified"), x)
x = say(FOUND, "store", "verify", "--quick", *ROOT)
check("which a short look does not see", x and not x["contents"] and not x["faults"], x)
built, = glob.glob(TMP + "/user/gnu/store/*-hello-2.0")
damage = built + "/bin/hello"
os.chmod(damage, 0o644)
with open(damage, "w", encoding="utf-8") as f:
    f.write("ill")
with open(TMP + "/lost", "w", encoding="utf-8") as f:
    f.write("lost")
lost = subprocess.run([os.environ["CAIRN"], "store", "add", *ROOT, TMP + "/lost"], capture_output=True, text=True, check=True).stdout.strip()
os.unlink(TMP + "/user" + lost)
x = say(FOUND, "store", "verify", "--repair", "--no-substitutes", *ROOT, status=65)
built = built.removeprefix(TMP + "/user")
check("a repair: each fault once", x and x["repair"] and sorted(f["path"] for f in x["faults"]) == sorted([item, built, lost]), x)
check("what could not be repaired has a reason", x and {f["path"]: bool(f["not_repaired"]) for f in x["faults"]} == {item: True, built: False, lost: True}, x)
check("what was is no fault more", x and (x["repaired"], x["removed"], x["remaining"]) == ([built], [lost], 1), x)
x = say(COLLECTED, "store", "delete", *ROOT, item)
check("what was deleted", x and x["paths"] == [item] and x["items"] == 1 and x["bytes"] > 0, x)
x = say(COLLECTED, "store", "gc", *ROOT)
check("what was collected", x and x["items"] == len(x["paths"]) > 0, x and x["items"])

print(f"1..{n}")
sys.exit(bad > 0)
