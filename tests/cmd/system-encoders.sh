#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Text of a configuration in the files that are made of it (CFG-08): whatever is not refused is read back by each file's own rules as
# it was, and adds no line. The texts are random, of bytes that mean something somewhere.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
mkdir "$TMP/c"

cat >"$TMP/c/system.lua" <<'LUA'
local services = require "services"
local system = require "system"
local json = require "system.json"

local state = SEED
local function any(n)
	state = (state * 1103515245 + 12345) % 2147483648
	return (state >> 8) % n
end
local ALPHABET = { "a", "Z", "0", "040", "\\040", "x41", " ", " ", "\t", "\n", '"', "'", "\\", "\\", "$", "`", ";", "#", ":", "=", "%", "{", "}", "[", "]", ",",
	"/", "|", "&", "$(", "\27", "\127", "é", "\255", "\r", ".", "-", "~", "*", "!" }
local function nasty()
	local out = {}
	for i = 1, any(9) do
		out[i] = ALPHABET[1 + any(#ALPHABET)]
	end
	return table.concat(out)
end

local values = {}
local function hex(s)
	return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end
local refused = 0
-- count things that make(i) gives as { record, { texts } }; those that are refused are left out.
local function some(kind, count, make)
	local out = {}
	values[kind] = {}
	for i = 1, count do
		local thing, texts = make(i)
		local ok, checked = pcall(thing)
		if ok then
			out[#out + 1] = checked
			local row = {}
			for k, text in ipairs(texts) do row[k] = hex(text) end
			table.insert(values[kind], row)
		else
			refused = refused + 1
		end
	end
	return out
end
local function checked(record, fields)
	return function() return schema.check(record(fields)) end
end

local users = some("users", 150, function(i)
	local comment, home, shell = any(2) == 0 and nasty() or "x", "/h/" .. i .. nasty(), "/bin/sh"
	return checked(system.user, { name = "u" .. i, comment = comment, home = home, shell = shell, create_home = false }), { "u" .. i, comment, home, shell }
end)
local mounts = some("mounts", 150, function(i)
	local device, point, option = "/d/" .. nasty(), "/m/" .. i .. nasty(), any(2) == 0 and nasty() or "ro"
	return checked(system.file_system, { device = device, mount_point = point, options = { option }, mount = false, check = false }), { device, point, option }
end)
table.insert(mounts, 1, system.file_system { device = "LABEL=cairn-root", mount_point = "/" })
local programs = some("services", 150, function(i)
	local description, a, b, value = any(2) == 0 and nasty() or "x", nasty(), nasty(), nasty()
	return checked(services.simple, { name = "s" .. i, description = description ~= "" and description or nil, exec = { "/bin/x", "x" .. a, b .. "y" },
		environment = { A = "v" .. value } }), { "s" .. i, description, "x" .. a, b .. "y", "v" .. value }
end)

local commands = some("commands", 50, function(i)
	local run = nasty() .. "x\n" .. nasty() .. "\n"
	return checked(services.command, { name = "c" .. i, run = run }), { "c" .. i, run }
end)

-- Fields of operating_system itself, each tried in a system of its own.
local function fits(field, value)
	return function()
		schema.check(system.operating_system { host_name = "x", file_systems = { mounts[1] }, services = {}, [field] = value })
		return value
	end
end
local function list(kind, field, count, make)
	return some(kind, count, function(i)
		local v, texts = make(i)
		local ok = fits(field, v)
		return ok, texts
	end)
end
local function merge(maps)
	local out = {}
	for _, map in ipairs(maps) do for k, v in pairs(map) do out[k] = v end end
	return out
end
local environment = merge(list("environment", "environment", 60, function(i)
	local v = "v" .. nasty()
	return { ["E" .. i] = v }, { "E" .. i, v }
end))
local sysctl = merge(list("sysctl", "sysctl", 60, function(i)
	local v = "v" .. nasty()
	return { ["k." .. i] = v }, { "k." .. i, v }
end))
local arguments = {}
for _, a in ipairs(list("arguments", "kernel_arguments", 60, function(i)
	local v = "a" .. i .. nasty()
	return { v }, { v }
end)) do arguments[#arguments + 1] = a[1] end
local directories = {}
for _, d in ipairs(list("directories", "directories", 60, function(i)
	local v = "/x/" .. i .. nasty()
	return { { path = v } }, { v }
end)) do directories[#directories + 1] = d[1] end
local labels = list("label", "label", 20, function() local v = "l" .. nasty() return v, { v } end)
local motd = nasty() .. nasty()
values.motd = { { hex(motd) } }
values.label = { values.label[#values.label] }

local rules = some("doas", 100, function()
	local command, argument, value = "/bin/" .. nasty(), nasty(), nasty()
	local rule = { user = "root", command = command, arguments = { argument }, environment = { A = value } }
	return function() schema.check(services.doas { rules = { rule } }) return rule end, { command, argument, "A=" .. value }
end)
table.move(commands, 1, #commands, #programs + 1, programs)
programs[#programs + 1] = services.doas { rules = rules }
programs[#programs + 1] = system.service_type {
	name = "values", extend = function() return { etc = { ["values"] = json.text(values), ["refused"] = tostring(refused) } } end,
} {}

return system.operating_system {
	host_name = "cairn", bootloader = { type = "none" }, file_systems = mounts, users = users, services = programs,
	environment = environment, sysctl = sysctl, kernel_arguments = arguments, directories = directories, label = labels[#labels], motd = motd,
}
LUA

cat >"$TMP/compare.py" <<'X'
import json, os, re, subprocess, sys
root, system = sys.argv[1:]
def inside(path): return root + path
def read(path): return open(path, "rb").read()
def part(name): return inside(os.readlink(inside(system) + "/" + name))
etc = part("etc")
values = {k: [[bytes.fromhex(x) for x in row] for row in rows] for k, rows in json.loads(read(etc + "/values")).items()}
bad = 0
def same(what, got, wanted):
    global bad
    if got != wanted:
        bad += 1
        print(f"{what}: {got!r} is not {wanted!r}")

# passwd: lines of seven fields
lines = [l.split(b":") for l in read(inside("/etc/passwd")).split(b"\n")[:-1]]
same("passwd", [l for l in lines if len(l) != 7], [])
mine = {l[0]: [l[0], l[4], l[5], l[6]] for l in lines if l[0].startswith(b"u")}
same("passwd", [mine.get(r[0]) for r in values["users"]], values["users"])
same("accounts", len(lines), len(values["users"]) + 2)

# fstab: six fields, octal escapes
def field(s): return re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), s)
lines = [re.split(rb"[ \t]+", l) for l in read(etc + "/fstab").split(b"\n")[:-1] if not l.startswith(b"#")]
same("fstab", [l for l in lines if len(l) != 6], [])
rows = [[field(l[0]), field(l[1]), field(l[3])] for l in lines[1:]]
same("fstab", rows, [[r[0], r[1], r[2] + b",noauto"] for r in values["mounts"]])

# the set of services: sections, keys, words
def words(s):
    out, i = [], 0
    while i < len(s):
        if s[i:i + 1] in b" \t":
            i += 1
            continue
        word = b""
        if s[i:i + 1] == b'"':
            i += 1
            while s[i:i + 1] != b'"':
                if s[i:i + 1] == b"\\":
                    c = s[i + 1:i + 2]
                    if c == b"x":
                        word += bytes([int(s[i + 2:i + 4], 16)])
                        i += 4
                        continue
                    word += {b"n": b"\n", b"t": b"\t"}.get(c, c)
                    i += 2
                    continue
                word += s[i:i + 1]
                i += 1
            i += 1
        else:
            while i < len(s) and s[i:i + 1] not in b" \t":
                word += s[i:i + 1]
                i += 1
        out.append(word)
    return out
sections, now = {}, None
for line in read(part("services") + "/set").split(b"\n"):
    assert not line.endswith(b"\\"), line
    if line.startswith(b"["):
        now = sections.setdefault(line, [])
    elif line.strip():
        key, value = line.split(b" = ", 1)
        now.append((key, value))
for name, description, a, b, value in values["services"]:
    s = dict(sections[b"[service " + name + b"]"])
    same("description", s.get(b"description", b""), description)
    same("exec", words(s[b"exec"]), [b"/bin/x", a, b])
    same("environment", words(s[b"environment"]), [b"A=" + value])
for name, run in values["commands"]:
    same("run", words(dict(sections[b"[service " + name + b"]"])[b"exec"])[-1], run)
init = [words(v)[0] for k, v in sections[b"[init]"] if k == b"environment"]
same("variables", sorted(x for x in init if x.startswith(b"E")), sorted(k + b"=" + v for k, v in values["environment"]))

# profile, by a shell
script = b". '" + (etc + "/profile").encode() + b"'; for i; do eval printf '%s\\\\0' '\"$'$i'\"'; done"
out = subprocess.run([b"busybox", b"sh", b"-c", script, b"sh"] + [k for k, v in values["environment"]], stdout=subprocess.PIPE,
                     env={"HOME": "/nonexistent"}).stdout
same("profile", out.split(b"\0")[:-1], [v for k, v in values["environment"]])

exec_line = dict(sections[b"[service sysctl]"])[b"exec"]
lines = read(inside(words(exec_line)[-1].decode())).split(b"\n")[:-1]
got = sorted(l.split(b" = ", 1) for l in lines if l.startswith(b"k."))
same("sysctl", got, sorted(values["sysctl"]))
given = read(inside(system) + "/parameters").rstrip(b"\n").split(b" ")
same("kernel arguments", given[3:-1], [r[0] for r in values["arguments"]])
same("directories", sorted(b"/x/" + x for x in os.listdir(inside("/x").encode())),
     sorted({b"/x/" + r[0][3:].split(b"/")[0] for r in values["directories"]}))
for row in values["directories"]:
    same("directory", os.path.isdir(inside("").encode() + row[0]), True)
same("motd", read(etc + "/motd"), values["motd"][0][0])
same("label", read(inside(system) + "/label"), values["label"][0][0] + b"\n")

# doas.conf, as its own reader takes words
def lex(s):
    out, word, quotes, escape, some = [], b"", False, False, False
    for c in (s[i:i + 1] for i in range(len(s))):
        if escape:
            word, escape, some = word + c, False, True
        elif c == b"\\":
            escape = True
        elif c == b'"':
            quotes, some = not quotes, True
        elif not quotes and c in b" \t":
            if some:
                out.append(word)
            word, some = b"", False
        elif not quotes and c in b"{}#":
            if some:
                out.append(word)
            out.append(b"\0" + c)
            word, some = b"", False
        else:
            word, some = word + c, True
    assert not quotes and not escape, s
    return out + ([word] if some else [])
rows = [lex(l) for l in read(etc + "/doas.conf").split(b"\n")[:-1]]
same("doas.conf", rows, [[b"permit", b"setenv", b"\0{", e, b"\0}", b"root", b"cmd", c, b"args", a] for c, a, e in values["doas"]])
n = {k: len(v) for k, v in values.items()}
print(n, "refused:", read(etc + "/refused").decode())
same("enough of each", [k for k in n if n[k] < 5 and k not in ("label", "motd")], [])
same("some are refused", int(read(etc + "/refused")) > 50, True)
sys.exit(bad > 0)
X
for seed in ${ENCODER_SEEDS:-1 2}; do
	sed -i "s/^local state = .*/local state = $seed/" "$TMP/c/system.lua"
	"$CAIRN" system build --root "$R" --modules "$TMP/world" "$TMP/c/system.lua" >"$TMP/out" 2>"$TMP/err"
	result "a system of random texts ($seed)" $?
	system=$(cat "$TMP/out")
	rm -rf "$R/x" "$R/etc"
	"$CAIRN" system activate --root "$R" --target-root "$R" "$system" >"$TMP/out" 2>"$TMP/err"
	result "is activated" $?
	python3 "$TMP/compare.py" "$R" "$system" >"$TMP/out" 2>"$TMP/err"
	result "CFG-08 every text is what it was, in every file ($seed)" $?
done
finish
