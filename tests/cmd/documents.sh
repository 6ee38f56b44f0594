#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# README lists every document, and no document names one, or a test, that is not there.
set -u
cd "$SRC" || exit 1
bad=
for file in doc/*.md doc/*.[0-9]; do
	grep -qw -- "${file#doc/}" README || bad="$bad $file"
done
[ -z "$bad" ] || { echo "not in README:$bad"; exit 1; }

grep -oE '\bdoc/[a-z0-9-]+\.(md|[0-9])\b' README */README doc/*.md doc/*.[0-9] | while IFS=: read -r where file; do
	[ -f "$file" ] || echo "$where names $file"
done >"$TMP/bad"
[ ! -s "$TMP/bad" ] || { cat "$TMP/bad"; exit 1; }

# What doc/security.md says to be shown is shown by somebody.
ids=$(grep -oE '\b[A-Z]+-[0-9]{2}\b' doc/security.md | sort -u)
[ "$(echo "$ids" | wc -l)" -gt 20 ] || { echo "no promises found"; exit 1; }
for id in $ids; do
	other=$(echo "$id" | tr 'A-Z-' 'a-z_')
	grep -rqE "$id|$other" tests/unit tests/cmd/*.sh tests/ns || echo "no test is called $id"
done >"$TMP/bad"
[ ! -s "$TMP/bad" ] || { cat "$TMP/bad"; exit 1; }

# doc/init-behaviours.md names checks that are there.
python3 - >"$TMP/bad" <<'X'
import re
n = 0
for line in open("doc/init-behaviours.md", encoding="utf-8"):
    if not line.startswith("| b"):
        continue
    for ref in line.split("|")[3].split("; "):
        m = re.match(r"\s*(unit|ns|cmd|vm)/([a-z0-9_-]+) (.*)", ref)
        names = re.findall(r'"([^"]+)"|`([a-z0-9_]+)`', m[3]) if m else []
        if not names:
            print("names no check:", ref)
            continue
        path = f"tests/{m[1]}/{m[2]}." + {"unit": "c", "vm": "test"}.get(m[1], "sh")
        text = open(path, encoding="utf-8").read()
        for quoted, function in names:
            n += 1
            if (f"TEST({function})" if function else quoted) not in text:
                print(f"{path} has no '{quoted or function}'")
if n < 60:
    print("few checks found:", n)
X
[ ! -s "$TMP/bad" ] || { echo "doc/init-behaviours.md:"; cat "$TMP/bad"; exit 1; }

# Commands and options that documents and messages tell to type are there.
python3 - >"$TMP/bad" <<'X'
import glob
import os
import re
import subprocess
commands, options = {}, {}
for line in subprocess.run([os.environ["CAIRN"], "--dump-cli"], capture_output=True, text=True, check=True).stdout.splitlines():
    kind, path, name, *_ = line.split("\t")
    if kind == "command":
        commands[path] = True
    else:
        options.setdefault(path, {"help"}).add(name)
groups = {p.rsplit(" ", 1)[0] for p in commands if " " in p}
n = 0
def literals(line):
    """Strings of a line of C that are no comments or names of files included."""
    return [] if line.lstrip().startswith(("#include", "*", "/*")) else re.findall(r'"((?:[^"\\\\]|\\\\.)*)"', line)

programs = [f for d in ("init", "system", "store", "image", "bootloader", "lib") for f in glob.glob(d + "/**/*.c", recursive=True)]
for file in ["README", *glob.glob("*/README"), *glob.glob("doc/*.md"), *programs]:
    fenced = False
    for number, line in enumerate(open(file, encoding="utf-8"), 1):
        if line.startswith("```"):
            fenced = not fenced
        code = literals(line) if file.endswith(".c") else [line] if fenced or line.startswith("    ") else re.findall(r"`([^`]*)`", line)
        for text in code:
            for m in re.finditer(r"(?<![-/\w.\"])cairn ([^|;&`'\"#()]*)", text):
                words = re.split("   +", m[1])[0].split()  # then comes a comment
                path, at = "cairn", 0
                while path in groups and at < len(words) and re.fullmatch("[a-z][a-z-]*", words[at]):
                    path, at = f"{path} {words[at]}", at + 1
                    if path not in commands:
                        break
                if path == "cairn":
                    continue
                n += 1
                if path not in commands:
                    print(f"{file}:{number}: there is no '{path}'")
                    continue
                rest = words[at:]
                rest = rest[:rest.index("--")] if "--" in rest else rest
                for w in rest:
                    o = re.fullmatch(r"--([a-z][a-z-]*)(=.*|\[.*)?[,.)]?", w)
                    if o and o[1] not in options.get(path, {"help"}) and path not in groups:
                        print(f"{file}:{number}: '{path}' has no option --{o[1]}")
if n < 100:
    print("few commands found:", n)
X
[ ! -s "$TMP/bad" ] || { cat "$TMP/bad"; exit 1; }

# doc/protocol.md has the operations that the daemon has, in the dialects in which it has them …
cat store/format/protocol.h store/daemon/serve-*.c | sed -n \
	-e 's/^[[:space:]]*\(OP_[A-Z_]*\) = \([0-9]*\),.*/number \1 \2/p' \
	-e 's/^[[:space:]]*{ \(OP_[A-Z_]*\), OP_\([A-Z]*\), .*/in \1 \2/p' |
	awk '$1 == "number" { number[$2] = $3 }
		$1 == "in" { print number[$2], $3 == "BOTH" ? "G N" : substr($3, 1, 1) }' | sort >"$TMP/code"
sed -n 's/^| \([0-9][0-9]*\) | [A-Z][A-Za-z]* | \([GN ]*\) |.*/\1 \2/p' doc/protocol.md | sort >"$TMP/page"
[ "$(wc -l <"$TMP/code")" -gt 30 ] || { echo "no operations found in the code"; exit 1; }
diff "$TMP/code" "$TMP/page" >"$TMP/bad" || { echo "operations: < the code, > doc/protocol.md"; cat "$TMP/bad"; exit 1; }

# … and the variables that mean something to it.
sed -n 's/^[[:space:]]*\[KEY_[A-Z_]*\] = { "\([A-Za-z_]*\)", IN_\([A-Z]*\) },.*/\1 \2/p' store/format/dialect.c | sort >"$TMP/code"
awk -F '|' '/^### Variables/ { on = 1 } on && NF == 6 && ($3 ~ /x/ || $4 ~ /x/) {
	n = split($2, name, "`")
	for (i = 2; i <= n; i += 2) print name[i], $3 ~ /x/ ? $4 ~ /x/ ? "BOTH" : "GUIX" : "NIX" }' doc/protocol.md | sort >"$TMP/page"
[ "$(wc -l <"$TMP/code")" -gt 8 ] || { echo "no variables found in the code"; exit 1; }
diff "$TMP/code" "$TMP/page" >"$TMP/bad" || { echo "variables: < the code, > doc/protocol.md"; cat "$TMP/bad"; exit 1; }
