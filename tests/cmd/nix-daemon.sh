#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 200
# Debian's nix, unmodified, as the client of `cairn daemon --dialect=nix`: two stores of ours, /nix/store in each.
set -u
command -v nix-store >/dev/null && command -v nix-build >/dev/null || { echo "skip: no nix-store (package nix-bin)"; exit 77; }
busybox=$(command -v busybox) || { echo "skip: no busybox (package busybox-static)"; exit 77; }
unshare -U true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT
. "$SRC/tests/tap.inc"

export HOME="$TMP" XDG_CACHE_HOME="$TMP/cache" NIX_CONF_DIR="$TMP/conf"
mkdir "$TMP/conf"
echo 'substitute = false' >"$TMP/conf/nix.conf"
pids=
trap 'for p in $pids; do kill $p; done' EXIT

# start NAME: a daemon with a store of its own; $NAME is its URI
start() {
	mkdir "$TMP/$1"
	socket=$TMP/$1/nix/var/nix/daemon-socket/socket
	"$CAIRN" daemon --dialect=nix --root "$TMP/$1" -M 2 2>"$TMP/$1.log" &
	pids="$pids $!"
	for _ in $(seq 200); do
		[ ! -S "$socket" ] || break
		sleep 0.05
	done
	eval "$1='unix://$socket?root=$TMP/$1'"
}
start one
start two
export NIX_REMOTE="$one"
# run COMMAND…: its output is in $TMP/out, its messages in $TMP/err
run() { "$@" >"$TMP/out" 2>"$TMP/err"; }
fails() { ! run "$@"; }
says() { grep -q -- "$1" "$TMP/err"; }
out() { cat "$TMP/out"; }

# ---- Adding and asking -----------------------------------------------------------------------------------------------------
mkdir -p "$TMP/tree/sub"
echo hello >"$TMP/hello.txt"
echo '#!/bin/sh' >"$TMP/tree/run"
chmod +x "$TMP/tree/run"
ln -s run "$TMP/tree/link"
run nix-store --add "$TMP/hello.txt"
hello=$(out)
is "add" "$hello" /nix/store/i9pmrzmpshapij2kin22pff6fc2adavx-hello.txt
check "add again" run nix-store --add "$TMP/hello.txt"
for algo in md5 sha1 sha256 sha512; do
	check "add-fixed $algo" run nix-store --add-fixed $algo "$TMP/hello.txt"
	check "add-fixed --recursive $algo" run nix-store --add-fixed --recursive $algo "$TMP/tree"
done
tree=$(out)
check "hash" run nix-store --query --hash "$hello"
is "it is that of the archive" "$(out)" "sha256:$(nix-store --dump "$TMP/hello.txt" | nix-hash --flat --type sha256 --base32 /dev/stdin)"
check "dump of an item" run nix-store --dump "$TMP/one$tree"
nix-store --restore "$TMP/back" <"$TMP/out"
check "restore" diff -r --no-dereference "$TMP/tree" "$TMP/back"
check "a path that is not valid" fails nix-store --query --hash /nix/store/00000000000000000000000000000000-no
check "is called so" says "is not valid"

# ---- Building --------------------------------------------------------------------------------------------------------------
mkdir "$TMP/tools"
cp "$busybox" "$TMP/tools/busybox"
for i in sh mkdir cat env pwd sleep sort; do ln -s busybox "$TMP/tools/$i"; done
cat >"$TMP/d.nix" <<'E'
let
  tools = ./tools;
  make = name: script: more: derivation ({
    inherit name; system = "x86_64-linux"; builder = "${tools}/sh"; args = [ "-c" "PATH=${tools}\n${script}" ];
  } // more);
in rec {
  first = make "first" "echo say first; mkdir $out; echo 1 > $out/x; echo lib > $lib" { outputs = [ "out" "lib" ]; };
  second = make "second" "echo ${first}/x ${first.lib} > $out" { };
  fixed = make "fixed" "echo -n hello > $out; echo $NIX_OUTPUT_CHECKED" {
    outputHash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; outputHashAlgo = "sha256"; outputHashMode = "flat"; };
  wrong = make "wrong" "echo other > $out" {
    outputHash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; outputHashAlgo = "sha256"; outputHashMode = "flat"; };
  files = make "files" "cat $textPath > $out; echo [$text] >> $out" { passAsFile = [ "text" ]; text = "a text"; };
  env = make "env" "{ env; pwd; cat /etc/passwd; } > $out" { };
  bad = make "bad" "echo oh no; exit 3" { };
  after = make "after" "echo ${bad} > $out" { };
  features = make "features" "echo > $out" { requiredSystemFeatures = [ "big-parallel" ]; };
  quantum = make "quantum" "echo > $out" { requiredSystemFeatures = [ "quantum" ]; };
  graph = make "graph" "cat refs > $out" { exportReferencesGraph = [ "refs" second ]; };
  allowed = make "allowed" "echo ${first} > $out" { allowedReferences = [ ]; };
  held = make "held" "echo ${placeholder "out"} $x $1 > $out; cat $yPath >> $out" { x = placeholder "out"; y = "y ${placeholder "out"}"; passAsFile = [ "y" ]; };
  # Structured attributes: the builder has no variables but those that say where the two files are.
  st = name: script: more: make name "out=${placeholder "out"}\n${script}" ({ __structuredAttrs = true; } // more);
  attrs = st "attrs" "cat $NIX_ATTRS_JSON_FILE $NIX_ATTRS_SH_FILE > $out; env; echo > ${placeholder "lib"}" {
    outputs = [ "out" "lib" ]; text = "it's \"é\"\n\ttab\\"; int = 1234567890123; real = 1.5; t = true; f = false; nul = null;
    list = [ "x y" 1 null true ]; table = { "k'" = "v"; b = 2; }; none = [ ]; empty = { }; nested = [ [ 1 ] ]; "bad-name" = 1;
    where = "${placeholder "lib"}/x"; exportReferencesGraph = { closure = [ second ]; }; outputChecks.out.maxSize = 10000; };
  kept = {
    size = st "size" "echo hi > $out" { outputChecks.out.maxSize = 10; };
    closure = st "closure" "echo ${first} > $out" { outputChecks.out = { maxSize = 200; maxClosureSize = 200; }; };
    reference = st "reference" "echo ${first} > $out" { outputChecks.out.allowedReferences = [ ]; };
    itself = st "itself" "echo hi > $out" { outputChecks.out.allowedRequisites = [ ]; };
    word = st "word" "echo hi > $out" { outputChecks.out.allowedReferences = [ "nonsense" ]; };
    feature = st "feature" "echo hi > $out" { requiredSystemFeatures = [ "quantum" ]; };
    input = st "input" "echo hi > $out" { exportReferencesGraph.g = [ "/nix/store/00000000000000000000000000000000-no" ]; };
    malformed = make "malformed" "echo hi > $out" { __json = "{"; };
  };
  free = st "free" "echo ${first} > $out" { allowedReferences = [ ]; outputChecks.out.allowedReferences = [ first ]; outputChecks.lib = 1; };
  many = builtins.foldl' (all: i: all ++ [ (make "n${toString i}" "echo ${toString i} ${toString (if i < 3 then [ ] else [ (builtins.elemAt all (i - 2)) (builtins.elemAt all (i / 2)) ])} > $out" { }) ]) [ ] (builtins.genList (i: i) 100);
}
E
build() { run nix-build "$TMP/d.nix" -o "$TMP/result" "$@"; }
check "instantiate" run nix-instantiate "$TMP/d.nix" -A second -A fixed
check "build" build -A second
second=$(out)
check "what it printed comes through" grep -qx "say first" "$TMP/err"
check "the result is there" grep -q first-lib "$TMP/one$second"
check "build again" build -A second
is "says nothing" "$(cat "$TMP/err")" ""
check "a fixed output" build -A fixed
check "a wrong one" fails nix-build "$TMP/d.nix" -A wrong -o "$TMP/r"
check "names both hashes" says "hash mismatch"
check "passAsFile" build -A files
is "the file instead of the variable" "$(cat "$TMP/one$(out)")" "a text[]"
build -A env
env=$TMP/one$(out)
is "what the environment says of Nix" "$(grep -E '^(NIX_|HOME|TERM|TMPDIR|PATH_)' "$env" | grep -v CORES | sort | tr '\n' ' ')" \
	"HOME=/homeless-shelter NIX_BUILD_TOP=/build NIX_LOG_FD=2 NIX_STORE=/nix/store TERM=xterm-256color TMPDIR=/build "
check "the build directory" grep -qx /build "$env"
check "a builder that fails" fails nix-build "$TMP/d.nix" -A bad -o "$TMP/r"
check "its output" says "oh no"
check "its exit code" says "failed with exit code 3"
nix-build "$TMP/d.nix" -A after -o "$TMP/r" >"$TMP/out" 2>"$TMP/err"
is "exit status 100 for what depends on it" $? 100
check "a feature that is offered" build -A features
check "one that is not" fails nix-build "$TMP/d.nix" -A quantum -o "$TMP/r"
check "is named" says quantum
check "exportReferencesGraph" build -A graph
check "lists the closure" grep -q -- "-first-lib" "$TMP/one$(out)"
check "allowedReferences" fails nix-build "$TMP/d.nix" -A allowed -o "$TMP/r"
check "says what is not allowed" says "not allowed to refer"
build -A held
held=$(out)
is "placeholders" "$(cat "$TMP/one$held")" "$held $held
y $held"
check "structured attributes" build -A attrs
check "as the two files" python3 - "$TMP/one" "$TMP/err" "$(out)" <<'E'
import json, subprocess, sys
root, err, out = sys.argv[1:]
text = open(root + out).read()
got, end = json.JSONDecoder().raw_decode(text)
script, lib = text[end:], got["outputs"]["lib"]
assert text.startswith('{"bad-name":1,"builder":'), text[:30]
assert [got[k] for k in ("text", "int", "real", "t", "f", "nul")] == ["it's \"é\"\n\ttab\\", 1234567890123, 1.5, True, False, None], got
assert got["list"] == ["x y", 1, None, True] and got["table"] == {"k'": "v", "b": 2} and got["nested"] == [[1]], got
assert got["outputs"] == {"out": out, "lib": lib} and lib.endswith("-attrs-lib") and got["where"] == lib + "/x", got
graph = {i["path"].split("-", 1)[1]: i for i in got["closure"]}
assert sorted(graph) == ["first", "first-lib", "second"], graph
assert graph["second"]["references"] == sorted(graph[n]["path"] for n in ("first", "first-lib")), graph
assert graph["second"]["closureSize"] == sum(i["narSize"] for i in graph.values()) and len(graph["first"]["narHash"]) == 59, graph
say = 'printf "<%s>" "$text" "$int" "$t" "$f" "$nul" "${list[@]}" "${table["k\'"]}" "${table[b]}" "${#none[@]}" "${outputs[lib]}" "${real-no}" "${nested-no}" "${closure-no}"'
told = subprocess.run(["bash", "-eu", "-c", script + say], capture_output=True, text=True)
want = ["it's \"é\"\n\ttab\\", "1234567890123", "1", "", "", "x y", "1", "", "1", "v", "2", "0", lib, "no", "no", "no"]
assert told.stdout == "".join("<%s>" % w for w in want), (told, script)
env = open(err).read()
assert "NIX_ATTRS_JSON_FILE=/build/.attrs.json\n" in env and "\ntext=" not in env and "__json" not in env, env
E
kept() {
	nix-build "$TMP/d.nix" -A kept.$1 -o "$TMP/r" >"$TMP/out" 2>"$TMP/err"
	[ $? = 100 ] && says "$2"
}
check "maxSize" kept size "maxSize is 10"
check "maxClosureSize" kept closure "maxClosureSize is 200"
check "outputChecks" kept reference "not allowed to refer"
check "a closure has the output itself" kept itself "not allowed to refer"
check "a word that is none" kept word "invalid reference"
check "a structured feature" kept feature quantum
check "a graph of what is no input" kept input "not in the input closure"
check "malformed attributes" kept malformed "are no JSON"
check "each output has its own checks" build -A free
check "a hundred derivations" build -A many
is "all of them" "$(wc -l <"$TMP/out")" 100
check "a dry run" run nix-build "$TMP/d.nix" --dry-run -A bad
check "says what would be built" says "will be built"
check "check" run nix-build "$TMP/d.nix" --check -A second -o "$TMP/r"
check "the log" run nix-store --read-log "$(nix-store --query --deriver "${second}" 2>/dev/null)"
first=$(nix-store --query --references "$second" | grep -v -e '-lib$' -e '-tools$')
check "of an output" run nix-store --read-log "$first"
is "is what was printed" "$(out)" "say first"

# ---- A machine that builds for another store ---------------------------------------------------------------------------------
farm() { run nix-build --store "$TMP/farm" "$TMP/d.nix" --max-jobs 0 --builders "$two x86_64-linux" --no-out-link "$@"; }
check "a build on another machine" farm -A second
cp "$TMP/out" "$TMP/second"
check "made there" test -e "$TMP/two$(cat "$TMP/second")"
check "and copied here" cmp "$TMP/two$(cat "$TMP/second")" "$TMP/farm$(cat "$TMP/second")"
check "its derivation is not there" test ! -e "$TMP/two$(nix-store --store "$TMP/farm" --query --deriver "$(cat "$TMP/second")")"
check "one that fails" fails nix-build --store "$TMP/farm" "$TMP/d.nix" --max-jobs 0 --builders "$two x86_64-linux" --no-out-link -A bad
check "says why" says "failed with exit code 3"

# ---- Graph, copies ---------------------------------------------------------------------------------------------------------
for q in --references --referrers --requisites --deriver --graph --tree --roots --size --valid-derivers; do
	[ "$q" != --valid-derivers ] || continue
	check "query $q" run nix-store --query $q "$second"
done
check "the roots" run nix-store --gc --print-roots
check "include the result" grep -q "$TMP/result" "$TMP/out"
check "outputs of a derivation" run nix-store --query --outputs "$(nix-store --query --deriver "$second")"
is "is the output" "$(out)" "$second"
closure=$(nix-store --query --requisites "$second")
check "export" run nix-store --export $closure
cp "$TMP/out" "$TMP/export"
check "import" run env NIX_REMOTE="$two" nix-store --import <"$TMP/export"
is "all of it" "$(NIX_REMOTE=$two nix-store --query --requisites "$second" | sort)" "$(echo "$closure" | sort)"
check "the same bytes" cmp "$TMP/one$second" "$TMP/two$second"
check "copy" run nix --extra-experimental-features nix-command copy --no-check-sigs --from "$one" --to "$two" "$hello"
check "it arrived" run env NIX_REMOTE="$two" nix-store --query --hash "$hello"
dump=$(NIX_REMOTE=$two nix-store --dump-db)
is "dump-db lists the items" "$(echo "$dump" | grep -c "^/nix/store/.*-hello.txt$")" 1
check "verify" run nix-store --verify --check-contents
chmod u+w "$TMP/one$second"
echo damaged >"$TMP/one$second"
check "finds what was changed" fails nix-store --verify --check-contents
check "and names it" says "$second"
check "repair" run nix-store --verify --check-contents --repair
check "makes it as it was" cmp "$TMP/one$second" "$TMP/two$second"
check "repair-path" fails nix-store --repair-path "$second"
check "is refused by nix itself, for any daemon" says "'repairPath' is not supported by store"
check "optimise" run nix-store --optimise

# ---- Deleting --------------------------------------------------------------------------------------------------------------
check "what a root needs is not deleted" fails nix-store --delete "$first"
check "because it is alive" says "still alive"
check "delete" run nix-store --delete "$hello"
check "it is gone" test ! -e "$TMP/one$hello"
rm -f "$TMP"/result* "$TMP"/r
check "collect" run nix-store --gc
check "the result is gone, too" test ! -e "$TMP/one$second"

# ---- The wrong door --------------------------------------------------------------------------------------------------------
mkdir "$TMP/guix"
"$CAIRN" daemon --root "$TMP/guix" 2>"$TMP/guix.log" &
pids="$pids $!"
socket=$TMP/guix/var/guix/daemon-socket/socket
for _ in $(seq 200); do
	[ ! -S "$socket" ] || break
	sleep 0.05
done
check "nix is refused by Guix's socket" fails env NIX_REMOTE="unix://$socket" nix-store --query --hash "$hello"
check "and told where to go" says "dialect=nix"
check "ours is refused by Nix's" fails "$CAIRN" store query --socket "${one#unix://}" --hash "$hello"
check "ours is taken by Guix's" run "$CAIRN" store add --socket "$socket" "$TMP/hello.txt"
check "a store keeps its family" fails timeout 20 "$CAIRN" daemon --dialect=nix --root "$TMP/guix" --state-dir /var/guix --listen "$TMP/s"
check "and says of which it is" says "of the family 'guix'"
finish
