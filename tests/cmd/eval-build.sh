#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# cairn build: files, expressions and names to store paths, and nothing else on standard output.
set -u
. "$SRC/tests/tap.inc"
busybox=$("$CAIRN" build --root "${CAIRN_ROOT:-$TMP/seed}" --modules "$SRC" --physical \
	-e 'require("packages.seed").busybox')/bin/busybox || exit 1
export HOME="$TMP" XDG_CACHE_HOME="$TMP/cache" CAIRN_MODULES="$SRC"
root=$TMP/root
mkdir -p "$TMP/conf/tools"
cp "$busybox" "$TMP/conf/tools/busybox"
cd "$TMP/conf" || exit 1
b() { "$CAIRN" build --root "$root" "$@" 2>"$TMP/err" </dev/null; }

is "a text has the path of the format" "$(b -e 'text("src.txt", "source\n")')" \
	/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-src.txt
# What asks a kernel for modules (system/generation.lua) names at least one; an evaluation may say anything.
for note in modules types; do
	is "a note $note of nothing" "$(b -n -e "(function() note('$note', text('src.txt', 'source\n') .. '') return derivation { name = 'd', builder = '/b' } end)()"; echo $?)" 76
	check "it is what is named" grep -q 'malformed note' "$TMP/err"
done
is "its contents" "$(cat "$(b --physical -e 'text("src.txt", "source\n")')")" source

cat >parts.lua <<'END'
local tools = source "tools"
local shell = tools .. "/busybox"
local function run(name, script, env)
	env = env or {}
	env.script = script
	return derivation { name = name, builder = shell, args = { "sh", "-c", 'eval "$script"' }, env = env }
end
return { run = run, shell = shell }
END
cat >pair.lua <<'END'
local parts = require "parts"
local first = parts.run("first", 'echo one >"$out"')
local lib = derivation {
	name = "lib", builder = parts.shell, outputs = { "out", "lib" },
	args = { "sh", "-c", 'echo "$*" >"$out"; echo "$first" >"$lib"', "sh", "a b", 3 },
	env = { first = first },
}
return { lib.lib, lib }
END
b -f pair.lua >"$TMP/out" || no "two outputs"
is "two results" "$(wc -l <"$TMP/out")" 2
first=$(b -e 'require("parts").run("first", [[echo one >"$out"]])')
is "the output chosen comes first" "$(cat "$root$(sed -n 1p "$TMP/out")")" "$first"
is "arguments keep their words" "$(cat "$root$(sed -n 2p "$TMP/out")")" "a b 3"
is "every path printed exists" "$(while read -r p; do [ -e "$root$p" ] || echo "$p"; done <"$TMP/out")" ""
is "again: the same" "$(b -f pair.lua)" "$(cat "$TMP/out")"
is "again: nothing to say" "$(cat "$TMP/err")" ""

one='require("parts").run("fresh", [[echo $PATH >$out]])'
is "dry run names one derivation" "$(b -n -e "$one" | sed 's/.*-//')" fresh.drv
drv=$(b -d -e "$one")
is "derivation without build" "$(b -d -e "$one")" "$drv"
[ -f "$root$drv" ] && ok "the .drv is in the store" || no "the .drv is in the store"
is "dry run still names it" "$(b -n -e "$one")" "$drv"
b -r result -e "$one" >"$TMP/out" && [ -e "$root$(cat "$TMP/out")" ] && ok "build it" || no "build it"
is "dry run names nothing" "$(b -n -e "$one")" ""
case $(readlink result) in *"$(cat "$TMP/out")") ok "the root link" ;; *) no "the root link" ;; esac
b --json -e "$one" | python3 -c '
import json, sys
rows = json.load(sys.stdin)
assert len(rows) == 1 and rows[0]["output"] == "out" and rows[0]["drv"].endswith(".drv"), rows
assert rows[0]["path"] == open(sys.argv[1]).read().strip()' "$TMP/out" && ok "JSON" || no "JSON"
b --check -e "$one" >"$TMP/checked" && cmp -s "$TMP/checked" "$TMP/out" && ok "--check of a stable build" ||
	no "--check of a stable build"
b -e 'require("parts").run("unstable", [[cat /proc/sys/kernel/random/uuid >$out]])' >"$TMP/out" || no "unstable"
b --check -e 'require("parts").run("unstable", [[cat /proc/sys/kernel/random/uuid >$out]])' >"$TMP/out"
is "--check of an unstable build" "$?" 102

b -e 'require("parts").run("fails", [[echo reason; exit 3]])' >"$TMP/out"
is "a failed build has status 100" "$?" 100
[ -s "$TMP/out" ] && no "a failed build prints no path" || ok "a failed build prints no path"
grep -q reason "$TMP/err" && ok "and shows its last lines" || no "and shows its last lines"

# Changing a source, a name or a variable changes the path; touching does not.
before=$(b -d -f pair.lua)
touch tools/busybox
is "touching changes nothing" "$(b -d -f pair.lua)" "$before"
mkdir tools/sub && echo x >tools/sub/y
[ "$(b -d -f pair.lua)" != "$before" ] && ok "a new file in a source counts" || no "a new file in a source counts"
is "patterns choose" "$(b -e 'source("tools", { only = { "**y" } })')" \
	"$(mkdir -p t2/tools/sub && echo x >t2/tools/sub/y && b -e 'source "t2/tools"')"

cat >system.lua <<'END'
return config_files()
END
b -f system.lua >"$TMP/out"
is "the configuration itself" "$(cat "$root$(cat "$TMP/out")")" "$(cat system.lua)"

b --list | grep -qx zlib && ok "--list" || no "--list"
finish
