#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a configuration may hold, as commands tell it: service types, records, the graphs of a configuration.
set -u
. "$SRC/tests/tap.inc"
unset CAIRN_ROOT VISUAL EDITOR
export CAIRN_MODULES="$SRC" HOME="$TMP"
cd "$TMP" || exit 1
cairn() { "$CAIRN" system "$@" >"$TMP/out" 2>"$TMP/err"; }

cairn search 'ssh' LOGIN
check "found, whatever the case" [ $? = 0 ]
is "the name that matches comes first" "$(sed -n '1s/name: //p' out)" services.openssh
check "with its place" grep -qx 'location: services/dropbear.lua:[0-9]*' out
check "and what it is" grep -q '^description: .*SSH' out
while read -r word names; do
	cairn search "$word"
	is "what has another name elsewhere: $word" "$(sed -n 's/^name: //p' out | head -$(echo "$names" | wc -w) | sort | tr '\n' ' ')" "$names "
done <<'END'
sudo privileged_program services.doas
vpn services.wireguard
dns operating_system services.dhcp services.static_network
cron services.job
web services.httpd
wlan services.wifi
time services.ntp
fstab file_system
udev device_rule
encryption mapped_device
END
check "and says so" grep -q '^keywords: encryption ' out
cairn search '^nosuchthing$'
[ $? = 1 ] && grep -q 'no service type' err
result "what is not there" $?
cairn search '('
[ $? = 1 ] && grep -q 'not a regular expression' err
result "what is no expression" $?
cairn search --json
check "all, as JSON" python3 -c '
import json, sys
entries = json.load(open("out"))
names = {e["name"]: e for e in entries}
assert len(names) == len(entries)
assert {"dhcp", "simple", "operating_system", "file_system", "user", "init_service", "bootloader"} <= set(names), names
assert names["dhcp"]["kind"] == "service" and names["user"]["kind"] == "record"
for e in entries:
    assert e["doc"] and e["location"].count(":") == 1, e["name"]
    for f in e["fields"]:
        assert f["type"] and f["default"], (e["name"], f)
assert [f["name"] for f in names["user"]["fields"]][0] == "name"
'
cairn show dhcp file_system
check "fields" grep -q '^  resolv_conf: boolean; default: true$' out
check "their meaning" grep -q '^      write name servers' out
check "a record" grep -q '^  mount_point: path; required$' out
cairn show wireguard_peer
check "a record of a service type" grep -q '^  persistent_keepalive: integer, 1 to 65535; default: none$' out
cairn show dchp
[ $? != 0 ] && grep -q "did you mean 'dhcp'" err && [ ! -s out ]
result "a name that is nearly one" $?

cat >editor <<'X'
#!/bin/sh
echo "$@" >edited
X
chmod +x editor
EDITOR="$TMP/editor -x" cairn edit services.dhcp
is "the editor's options and the file" "$(cat edited)" "-x $SRC/services/dhcp.lua"
ln -s editor nano
VISUAL="$TMP/nano" cairn edit dhcp
line=$(grep -n 'service.service_type {' "$SRC/services/dhcp.lua" | cut -d: -f1)
is "and the line, where that is understood" "$(cat edited)" "+$line $SRC/services/dhcp.lua"
ln -s editor vi
PATH="$TMP:$PATH" cairn edit dhcp
is "as vi understands it" "$(cat edited)" "-c $line $SRC/services/dhcp.lua"
ln -s editor busybox
VISUAL="$TMP/busybox vi" cairn edit dhcp
is "also busybox's" "$(cat edited)" "vi -c $line $SRC/services/dhcp.lua"
ln -s editor hx
VISUAL="$TMP/hx" cairn edit dhcp
is "and others" "$(cat edited)" "$SRC/services/dhcp.lua:$line"
rm vi busybox hx

cairn extension-graph "$SRC/examples/server.lua"
check "the graph of extensions" grep -q '^	"web" -> "users" ' out
check "several of a type are one" grep -q '"getty (2)" -> "init"' out
cairn extension-graph --json "$SRC/examples/server.lua"
check "as JSON" python3 -c '
import json
rows = json.load(open("out"))
assert any(r["service"] == "getty" and r["extends"] == "init" and r["location"].split(":")[1].isdigit() for r in rows), rows'
cairn service-graph "$SRC/examples/server.lua"
check "the graph of services" grep -q '^	"base" -> "file-systems" \[style = bold\];$' out
check "is one that dot reads" python3 -c '
import re
lines = open("out").read().split("\n")
assert lines[0] == "digraph \"services\" {" and lines[-2] == "}", lines
name = r"\"[\w@.-]+\""
nodes = set()
for line in lines[2:-2]:
    m = re.fullmatch(rf"\t({name})(?: -> ({name}))? \[[a-z]+ = [a-z, =]+\];", line)
    assert m, line
    if m[2]:
        assert {m[1], m[2]} & nodes, line
    else:
        nodes.add(m[1])
assert len(nodes) > 15'
cairn service-graph --json "$SRC/examples/server.lua"
check "as JSON, with what each requires" python3 -c '
import json
rows = {r["name"]: r for r in json.load(open("out"))}
assert "activation" in rows["base"]["requires"] and rows["base"]["type"] == "group"'

# The manual is what the program says.
cairn show --markdown
check "doc/reference.md is up to date [make reference]" diff "$SRC/doc/reference.md" out
check "every field of a record and of a service says what it is for" python3 -c '
import json, subprocess, os
entries = json.loads(subprocess.check_output([os.environ["CAIRN"], "system", "show", "--json"]))
bad = [(e["name"], f["name"]) for e in entries if e["kind"] in ("record", "service") for f in e["fields"]
       if not f["doc"] or f["default"].startswith("depends on")]
assert not bad, bad'
check "every field is in an example" python3 -c '
import glob, json, os, re, subprocess
entries = json.loads(subprocess.check_output([os.environ["CAIRN"], "system", "show", "--json"]))
shown = "".join(open(f, encoding="utf-8").read() for d in ("doc/*.md", "examples/*.lua") for f in glob.glob(os.environ["SRC"] + "/" + d))
shown = set(re.findall(r"\b([a-z_]+) = ", shown))
bad = [(e["name"], f["name"]) for e in entries for f in e["fields"] if f["name"] not in shown]
assert len(shown) > 300 and not bad, bad'

# ---- A system made from another
cat >common.lua <<'X'
local services = require "services"
local system = require "system"
return {
	file_systems = { { device = "LABEL=cairn-root", mount_point = "/" } },
	users = { { name = "ann" }, system.user { name = "bob", comment = "Bob" } },
	services = services.base { services.simple { name = "a", exec = { "/bin/a" } } },
	sysctl = { ["vm.swappiness"] = 10, ["kernel.panic"] = 1 },
}
X
# shows EXPRESSION: what it prints of the system os
inherits() {
	cat >host.lua <<X
local services = require "services"
local system = require "system"
local os = system.inherit(require "common", {
	host_name = "b",
	$1
})
$2
return text("x", "y")
X
	"$CAIRN" build --root "$TMP/root" -f host.lua --dry-run >out 2>err
}
inherits 'kernel_arguments = system.change { add = { "panic=5" } },
	users = system.change { add = { { name = "eve" } }, remove = { "ann" }, modify = { bob = { comment = "Robert" } } },
	services = system.change { remove = { "dhcp", "a", "getty@tty1" }, modify = { daemon = { max_jobs = 2 } },
		add = { services.simple { name = "new", exec = { "/bin/new" } } } },
	sysctl = system.change { remove = { "kernel.panic" }, add = { ["vm.swappiness"] = 20 } }' '
	local function show(list, field)
		local out = {}
		for i, v in ipairs(list) do out[i] = schema.name(v) == "simple" and v.name or field and v[field] or (schema.name(v) == "getty" and v.terminal) or schema.name(v) or v end
		return table.concat(out, " ")
	end
	print("users", show(os.users, "name"), os.users[1].comment)
	print("services", show(os.services))
	print("jobs", os.services[2].max_jobs)
	print("arguments", show(os.kernel_arguments))
	for k, v in pairs(os.sysctl) do print("sysctl", k, v) end'
has() { check "$1" grep -qxF "$2" err; }
has "elements of a list" 'users\x09bob eve\x09Robert'
has "services by type, by name, and by a value" 'services\x09logs daemon ttyS0 new'
has "fields of a service" 'jobs\x092'
has "what the base leaves out has its default" 'arguments\x09quiet panic=5'
has "keys of a table" 'sysctl\x09vm.swappiness\x0920'
is "one is gone" "$(grep -c ^sysctl err)" 1
inherits 'services = system.change { remove = { "dhpc" } }' 'print(os.host_name)'
check "what the base does not have" grep -q "host.lua:5: services of the base: there is no 'dhpc' \[there are: logs, daemon" err
inherits 'users = { { nmae = "x" } }' 'print(os.host_name)'
check "the place of an error is that of the heir" grep -q "host.lua:3: operating_system . users\[1\]: unknown field 'nmae'" err
inherits 'services = system.modify_services(services.base {}, { dhcp = false, daemon = function(s) return s:with { cores = 3 } end })' \
	'print(#os.services, os.services[2].cores)'
has "a list of services alone" '4\x093'

# Every example makes what it is an example of. Some name a configuration that stands beside them.
echo 'return require("system").operating_system { host_name = "stone", file_systems = { { device = "LABEL=x", mount_point = "/" } } }' >stone.lua
cairn search --json
python3 - >examples.lua <<'X'
import json
print("""local services, system = require 'services', require 'system'
local n = 0
local function holds(v, name)
	if schema.name(v) == name then
		return true
	end
	for _, item in pairs((schema.name(v) or type(v) == 'table' and not v.drv and not is_node(v)) and v or {}) do
		if (type(item) == 'table') and holds(item, name) then
			return true
		end
	end
	return false
end
local root = { { device = 'LABEL=x', mount_point = '/' } }
local function machine(fields)
	fields.host_name, fields.file_systems = 'x', fields.file_systems or root
	return system.operating_system(fields)
end
""")
for e in json.load(open("out")):
    assert e["doc"] and e["example"], e["name"]
    value = e["example"] if e["example"].startswith(("services.", "system.", "require(")) else "machine {\n%s }" % e["example"]
    print("do local s = %s\nif not holds(schema.check(s), '%s') then error '%s: another type' end\nn = n + 1 end" % (value, e["name"], e["name"]))
print("return text('examples', tostring(n))")
X
"$CAIRN" build --root "$TMP/root" -f examples.lua --dry-run >out 2>err
result "every example makes what it is an example of" $?
finish
