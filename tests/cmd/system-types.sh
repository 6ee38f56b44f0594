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
is "the name that matches comes first" "$(sed -n '1s/name: //p' out)" services.dropbear
check "with its place" grep -qx 'location: services/dropbear.lua:[0-9]*' out
check "and what it is" grep -q '^description: .*SSH' out
cairn search '^nosuchthing$'
[ $? != 0 ] && grep -q 'no service type' err
result "what is not there" $?
cairn search '('
[ $? = 2 ] && grep -q 'not a regular expression' err
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
check "and the line, where that is understood" grep -q "^+[0-9]* $SRC/services/dhcp.lua" edited

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

# Every example makes a service.
cairn search --json
python3 - >examples.lua <<'X'
import json
print("local services, system = require 'services', require 'system'\nlocal n = 0\n")
for e in json.load(open("out")):
    assert e["kind"] == "record" or e["doc"], e["name"]
    if e["example"]:
        print("do local s =", e["example"], "\nif schema.name(schema.check(s)) ~= '%s' then error 'another type' end\nn = n + 1 end" % e["name"])
print("return text('examples', tostring(n))")
X
"$CAIRN" build --root "$TMP/root" -f examples.lua --dry-run >out 2>err
result "every example makes a service of its type" $?
finish
