#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The Lua in documents is Lua: each whole program is evaluated as it stands, each list of services in a configuration around
# it, and the rest at least parses. What a program requires from beside it is a small configuration.
# timeout: 600
set -u
. "$SRC/tests/tap.inc"
export HOME="$TMP/home" CAIRN_MODULES="$SRC"
unset CAIRN_ROOT
mkdir -p "$HOME" "$TMP/c"
cat >"$TMP/extract.py" <<'X'
import glob, os, re, sys
src, out = sys.argv[1:]
BESIDE = re.compile(r'require "(common|base|beta|stone)"')
BASE = """local services = require "services"
local system = require "system"
return system.operating_system {
	host_name = "base", file_systems = { { device = "LABEL=x", mount_point = "/" } }, sysctl = { ["kernel.panic"] = 1 },
	users = { { name = "ann" }, { name = "bob" } },
	services = services.base { services.simple { name = "tick", exec = { "/bin/a" } } },
}
"""


def blocks(path):
    lines = open(path, encoding="utf-8").read().split("\n") + [""]
    i = 0
    while i < len(lines):
        start = i
        if lines[i] == "```lua":
            while lines[i] != "```":
                i += 1
            yield start + 1, "\n".join(lines[start + 1:i]) + "\n"
        elif lines[i].startswith("    ") and not lines[i - 1]:
            while lines[i].startswith("    ") or (not lines[i] and i + 1 < len(lines) and lines[i + 1].startswith("    ")):
                i += 1
            text = "\n".join(line[4:] for line in lines[start:i]) + "\n"
            if re.search(r"^local \w+ = require", text, re.M):
                yield start + 1, text
        i += 1


def wrap(text):
    """What evaluates it, and the program."""
    if "system.machine" in text:
        return "build", 'local f = function()\n%send\nreturn require("system.deploy")(f(), { systems = "1" })["1"]' % text
    if "service_type" in text:
        return "system", ('local f = function()\n%send\nlocal system = require "system"\n' % text +
                          'return system.inherit(require "base", { services = system.change { add = { f() { text = "x" } } } })')
    if re.search(r"^return ", text, re.M):
        return ("build" if "packages.build" in text else "system"), text
    if text.startswith("services."):
        return "system", ('local services = require "services"\nlocal system = require "system"\nlocal curl = require "packages.curl"\n'
                          'return system.inherit(require "base", { services = system.change { add = {\n%s} } })' % text)
    fields = re.match(r"\w+ = ", text)
    return "build", "local f = function(...) %s%s%s end\nreturn text('x', 'x')" % (
        "return {\n" if fields else "\n", text, "}" if fields else "")


for path in sorted(glob.glob(src + "/doc/*.md")):
    name = os.path.basename(path)[:-3]
    if name == "reference":  # the examples of the service types, which have a test of their own: system-types.sh
        continue
    for line, text in blocks(path):
        how, program = wrap(text)
        where = f"{out}/{name}.{line}.{how}"
        os.mkdir(where)
        open(where + "/program.lua", "w").write(program)
        for beside in BESIDE.findall(program):
            open(f"{where}/{beside}.lua", "w").write(BASE)
X
python3 "$TMP/extract.py" "$SRC" "$TMP/c"
found=$(ls "$TMP/c" | wc -l)
check "blocks are found ($found)" [ "$found" -ge 14 ]
for what in configuration cookbook deploy image lua packages services; do
	check "some of $what" [ -n "$(ls "$TMP/c" | grep "^$what\.")" ]
done
for dir in "$TMP"/c/*; do
	where=${dir##*/}
	name=${where%.*}
	case ${where##*.} in
		system) "$CAIRN" system build -d --root "$TMP/root" "$dir/program.lua";;
		build) "$CAIRN" build -d --root "$TMP/root" -f "$dir/program.lua";;
	esac >"$TMP/out" 2>"$TMP/err"
	result "doc/${name%.*}.md, line ${name##*.}" $?
done
finish
