#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds that fail, differ, run side by side, are seen from outside, are killed; embedded and through
# a daemon.
set -u
busybox=$(command -v busybox) || { echo "skip: no busybox"; exit 77; }
command -v pgrep >/dev/null || { echo "skip: no pgrep (procps)"; exit 77; }
unshare -U -r true 2>/dev/null || { echo "skip: no user namespaces"; exit 77; }
unset CAIRN_ROOT XDG_STATE_HOME
root=$TMP/root
conf=$TMP/conf
mark=cairn-test-$$
mkdir -p "$conf/bb/bin"
cp "$busybox" "$conf/bb/bin/busybox"
gcc -static -O1 -w -o "$conf/bb/bin/attack" "$SRC/tests/ns/attack.c" || exit 1
cd "$conf" || exit 1
. "$SRC/tests/tap.inc"
daemon=

has() { grep -qF -- "$2" "$1"; }
empty() { [ -z "$(ls "$@" 2>/dev/null)" ]; }

# drv NAME SCRIPT [FIELDS] > FILE: a derivation in Lua, run by busybox sh
drv() {
	cat <<END
local bb = source("bb", { name = "bb" })
return derivation { name = "$1", builder = bb .. "/bin/busybox", args = { "sh", "-c", [==[$2]==] },
	env = { b = bb .. "/bin/busybox" }, ${3:-} }
END
}
build() { "$CAIRN" build --root "$root" "$@"; }

# Wait for a command to succeed; fail after 60 seconds.
await() {
	i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -lt 1200 ] || return 1
		sleep 0.05
	done
}
running() { # processes whose arguments have the text
	pgrep -f -- "$1"
}
builders() { # with the text, in a pid namespace of their own
	for p in $(running "${1:-$mark}"); do
		[ "$(grep NSpid "/proc/$p/status" 2>/dev/null | wc -w)" -gt 2 ] && echo "$p"
	done
	:
}
some() { [ -n "$("$@")" ]; }
none() { [ -z "$("$@")" ]; }

# ---- failure ----
drv fails 'for i in 1 2 3; do echo line $i; done; echo rest > left; exit 3' >fails.lua
build -K -f fails.lua >out 2>err
status=$?
result "a failed build ends with 100" "$([ $status = 100 ]; echo $?)" err
result "nothing on standard output" "$([ ! -s out ]; echo $?)" out
result "the exit code is told" "$(has err "failed with exit code 3"; echo $?)" err
result "the last lines are shown" "$(has err "line 3"; echo $?)" err
log=$(sed -n 's/^whole log: //p' err | head -n 1)
result "the log is where it is said to be" "$(gzip -dc "$log" 2>/dev/null | has - "line 1"; echo $?)" err
tree=$(sed -n "s/.*keeping build directory \`\\(.*\\)'/\\1/p" err)
result "the tree is kept" "$([ "$(cat "$tree/left")" = rest ]; echo $?)" err
result "neither output nor lock is left" "$(empty -d "$root"/gnu/store/*-fails "$root"/gnu/store/*-fails.lock; echo $?)"

drv nothing 'exit 0' >nothing.lua
build -f nothing.lua >out 2>err
result "an output that is not made" "$([ $? = 100 ] && has err "failed to produce output path"; echo $?)" err
drv open '$b mkdir $out; $b chmod 0777 $out' >open.lua
build -f open.lua >out 2>err
result "a world-writable output" "$([ $? = 100 ] && has err "suspicious ownership or permission"; echo $?)" err
drv pipe '$b mkdir $out; $b mkfifo $out/p' >pipe.lua
build -f pipe.lua >out 2>err
result "a pipe in an output" "$([ $? = 100 ] && has err "/p has a type"; echo $?)" err
# More nested directories than a process may have descriptors, as output and beside it.
deep='i=0; d=; while [ $i -lt 1000 ]; do d=d/$d; i=$((i + 1)); done
	$b mkdir -p x/$d; for i in 1 2 3; do $b mkdir -p y/$d; $b mv x y/$d; $b mv y x; done'
drv deep "cd \$NIX_STORE; $deep; \$b mv x \$out" >deep.lua
build -f deep.lua >out 2>err
result "an output that is nested too deeply" "$([ $? = 100 ] && has err "nested deeper than 512"; echo $?)" err
(ulimit -Sn 1024; build -f deep.lua >out 2>err)
result "with few descriptors" "$([ $? = 100 ] && has err "nested deeper than 512"; echo $?)" err
hash=$(printf 'hi\n' | sha256sum | cut -d' ' -f1)
drv deepfixed "cd \$NIX_STORE; $deep; \$b mv x \$out" \
	"outputHash = \"$hash\", outputHashAlgo = \"sha256\", outputHashMode = \"recursive\"" >deepfixed.lua
(ulimit -Sn 1024; build -f deepfixed.lua >out 2>err)
result "a fixed one" "$([ $? = 100 ] && has err "nested deeper than 512"; echo $?)" err
drv deepleft "$deep; exit 3" >deepleft.lua
build -K -f deepleft.lua >out 2>err
result "a failed build cannot keep it" "$([ $? = 100 ] && has err "too deeply to be kept"; echo $?)" err
result "nothing of these is left" \
	"$(empty -d "$root"/gnu/store/*-deep "$root"/gnu/store/*-deepfixed "$root"/gnu/store/.tmp* "$root"/var/guix/builds/*; echo $?)"
"$CAIRN" store gc --root "$root" >out 2>err
result "and a collection works" $? err
cat >stranger.lua <<'END'
return derivation { name = "stranger", builder = "/bin/sh", args = { "-c", "true" } }
END
build -f stranger.lua >out 2>err
result "a builder that is no input" "$([ $? = 100 ] && has err "cannot find the builder '/bin/sh'"; echo $?)" err
cat >self.lua <<'END'
return derivation { name = "self", builder = "/proc/self/exe" }
END
build -f self.lua >out 2>err
result "the daemon's program as builder" "$([ $? = 100 ] && has err "is outside the store"; echo $?)" err
for x in "/proc/self/exe build" "	/proc/self/exe" /gnu/store/../../proc/self/exe; do
	printf '#!%s\n' "$x" >script
	chmod 755 script
	echo 'return derivation { name = "script", builder = source("script", { name = "script" }) }' >script.lua
	build -f script.lua >out 2>err
	result "the daemon's program as interpreter: $x" \
		"$([ $? = 100 ] && has err "exe' is outside the store"; echo $?)" err
done
printf '#!/bin/sh\n' >script
build -f script.lua >out 2>err
result "an interpreter that is no input" "$([ $? = 100 ] && has err "cannot find the interpreter '/bin/sh'"; echo $?)" err
cat >script.lua <<'END'
local bb = source("bb", { name = "bb" })
local b = bb .. "/bin/busybox"
local script = text("script", "#!" .. b .. " sh\necho made >$out\n", { executable = true, busybox = b })
return derivation { name = "script", builder = script }
END
path=$(build --physical -f script.lua 2>err)
result "an interpreter in the store" "$([ "$(cat "$path")" = made ]; echo $?)" err
cat >traced.lua <<'END'
local bb = source("bb", { name = "bb" })
return derivation { name = "traced", builder = bb .. "/bin/attack", args = { "traced" } }
END
build --timeout 20 -f traced.lua >out 2>err
result "a builder that wants to be traced" $? err
drv slow '$b sleep 100' >slow.lua
build --timeout 1 -f slow.lua >out 2>err
result "a time-out ends with 101" "$([ $? = 101 ] && has err "timed out"; echo $?)" err
drv silent 'echo x; $b sleep 100' >silent.lua
build --max-silent-time 1 -f silent.lua >out 2>err
result "silence ends with 101" "$([ $? = 101 ] && has err "silence"; echo $?)" err
drv full 'echo >$out' >full.lua
build --derivation -f full.lua >out 2>err
(trap '' XFSZ; ulimit -f 80; build -f full.lua >out 2>err)
result "an output that cannot be registered" "$([ $? = 1 ] && has err database && empty -d "$root"/gnu/store/*-full "$root"/gnu/store/*-full.lock; echo $?)" err
drv unfiled 'echo >$out' >unfiled.lua
(trap '' XFSZ; ulimit -f 80; build --derivation -f unfiled.lua >out 2>err)
result "nor is its derivation told" "$([ $? = 1 ] && has err database && [ ! -s out ]; echo $?)" err

# ---- fixed outputs ----
hash=$(printf 'hi\n' | sha256sum | cut -d' ' -f1)
drv fixed 'echo hi >$out' "outputHash = \"$hash\", outputHashAlgo = \"sha256\", outputHashMode = \"flat\"" >fixed.lua
path=$(build --physical -f fixed.lua 2>err)
result "a fixed output" "$([ "$(cat "$path")" = hi ]; echo $?)" err
drv wrong 'echo ho >$out' "outputHash = \"$hash\", outputHashAlgo = \"sha256\", outputHashMode = \"flat\"" >wrong.lua
build -f wrong.lua >out 2>err
result "a wrong hash" "$([ $? = 100 ] && has err "expected sha256 $hash" && empty "$root"/gnu/store/*-wrong; echo $?)" err
drv exec 'echo hi >$out; $b chmod 755 $out' "outputHash = \"$hash\", outputHashAlgo = \"sha256\", outputHashMode = \"flat\"" >exec.lua
build -f exec.lua >out 2>err
result "an executable where a flat file is due" "$([ $? = 100 ] && has err "non-executable regular file"; echo $?)" err

# ---- references ----
drv refs '$b mkdir $out; echo $b $out >$out/x; : >$out/bare' >refs.lua
path=$(build -f refs.lua 2>err)
got=$("$CAIRN" store query --root "$root" --references "$path" 2>/dev/null | sed 's/.*-//' | tr '\n' ' ')
result "references are found" "$([ "$got" = "bb refs " ] || [ "$got" = "refs bb " ]; echo $?)" err
drv forbidden '$b mkdir $out; echo $b >$out/x' >forbidden.lua
sed 's|env = {|env = { disallowedReferences = bb,|' forbidden.lua >forbidden2.lua
build -f forbidden2.lua >out 2>err
result "disallowedReferences" "$([ $? = 100 ] && has err "is not allowed to refer to"; echo $?)" err
sed 's|env = {|env = { allowedRequisites = "",|; s/name = "forbidden"/name = "forbidden3"/' forbidden.lua >forbidden3.lua
build -f forbidden3.lua >out 2>err
result "allowedRequisites" "$([ $? = 100 ] && has err "(allowedRequisites)"; echo $?)" err
drv graph '$b cp g $out' >graph.lua
sed -i 's|env = {|env = { exportReferencesGraph = "g " .. bb,|' graph.lua
path=$(build --physical -f graph.lua 2>err)
result "exportReferencesGraph" "$([ "$(sed 's/.*-//' "$path" | tr '\n' ,)" = "bb,,0," ]; echo $?)" err

head -c 20000 /dev/urandom >large
"$CAIRN" store add --root "$root" large >added 2>err
cat >linked.lua <<END
local bb = source("bb", { name = "bb" })
return derivation { name = "linked", builder = bb .. "/bin/busybox",
	args = { "sh", "-c", "\$b mkdir \$out; \$b cp \$large \$out/a; \$b cp \$large \$out/b; \$b chmod 755 \$out/b" },
	env = { b = bb .. "/bin/busybox", large = source("large", { name = "large" }) } }
END
path=$(build --physical -f linked.lua 2>err)
result "equal files are links to one" "$([ "$(stat -c %i "$path/a")" = "$(stat -c %i "$root$(cat added)")" ]; echo $?)" err
result "and the directory is as before" "$([ "$(stat -c '%a %Y' "$path")" = "555 1" ] && cmp -s "$path/b" large; echo $?)" err

# ---- check ----
drv same 'echo x >$out' >same.lua
build -f same.lua >out 2>err
build --check -f same.lua >out 2>err
result "the same bytes again" $? err
drv differs '$b cat /proc/sys/kernel/random/uuid >$out' >differs.lua
build -f differs.lua >out 2>err
build --check -f differs.lua >out 2>err
result "other bytes end with 102" "$([ $? = 102 ] && has err "may not be deterministic"; echo $?)" err

# ---- what is known of builds ----
store() {
	sub=$1
	shift
	"$CAIRN" store "$sub" --root "$root" "$@" 2>err
}
# All the words of FILE that are paths can be opened; there are N of them.
opens() { # FILE N
	words=$(sed 's/^.*---//' "$1" | tr ' ' '\n' | grep '^/')
	[ "$(echo "$words" | grep -c /)" = "$2" ] || return 1
	for w in $words; do
		[ -r "$w" ] || return 1
	done
}
cat >known.lua <<'END'
local bb = source("bb", { name = "bb" })
return derivation { name = "known", outputs = { "out", "lib" }, builder = bb .. "/bin/busybox",
	args = { "sh", "-c", "echo of known >&2; echo $out >$lib; echo $bb >$out" }, env = { bb = bb } }
END
item=$(build -f known.lua 2>err)
drv=$(build --derivation -f known.lua 2>err)
lib=$(store query --outputs "$drv" | grep -- -known-lib)
is "query --outputs" "$(store query --outputs "$drv" | sort | tr '\n' ' ')" "$(printf '%s\n' "$item" "$lib" | sort | tr '\n' ' ')"
store query --outputs "$item" >out
result "of what is no derivation" "$([ $? = 65 ] && has err "is no derivation"; echo $?)" err
is "query --deriver" "$(store query --deriver "$lib")" "$drv"
is "query --derivers" "$(store query --derivers "$lib")" "$drv"
is "store log of a derivation" "$(store log "$drv")" "of known"
is "of an output" "$(store log "$item")" "of known"
is "of a link to an output" "$(ln -s "$root$item" known; store log known)" "of known"
store log --path "$lib" >out
result "store log --path" "$(opens out 1 && [ "$(gzip -dc "$(cat out)")" = "of known" ]; echo $?)" err
store log "$(store query --references "$item")" >out
result "of what nothing made" "$([ $? = 66 ] && has err "not known which derivation" && [ ! -s out ]; echo $?)" err
rm "$(store log --path "$drv")"
store log "$drv" >out
result "a log that is gone" "$([ $? = 66 ] && has err "there is no log" && [ ! -s out ]; echo $?)" err
for question in "build 1 -f known.lua" "build 1 --derivation -f known.lua" \
	"query 2 --outputs $drv" "query 1 --deriver $lib" "query 1 --derivers $lib" "query 1 --references $item" \
	"query 1 --referrers $item" "query 3 --requisites $lib" "query 3 --tree $lib" "query 3 $lib" "add 2 bb large"; do
	# shellcheck disable=SC2086
	set -- $question
	command=$1 count=$2
	shift 2
	case $command in build) build --physical "$@" >out 2>err ;; *) store "$command" --physical "$@" >out ;; esac
	result "$command $*: what is printed can be opened" "$(opens out "$count"; echo $?)" out
done
build --root-link "$TMP/kept" -f known.lua >out 2>err
store roots >out
result "roots: so can these" "$(sed 's/ -> .*//' out >links; opens links 1; echo $?)" out
store gc --list-live --physical >out
result "gc --list-live: and what lives" "$(opens out "$(wc -l <out)" && has out "$item"; echo $?)" out
store gc --dry-run --physical >out
result "gc --dry-run: and what would go" "$(opens out "$(wc -l <out)" && has out -same; echo $?)" out
rm "$TMP/kept"

# ---- several at once ----
cat >many.lua <<'END'
local bb = source("bb", { name = "bb" })
local b = bb .. "/bin/busybox"
local function one(name, script, env)
	return derivation { name = name, builder = b, args = { "sh", "-c", script }, env = { b = b, dep = env } }
end
local deps = {}
for i = 1, 6 do deps[i] = one("part" .. i, "echo start >&2; $b date +%s%N; $b sleep 0.4; $b date +%s%N; echo " .. i .. " >$out") end
return one("whole", "for i in $dep; do $b cat $i; done >$out", deps)
END
path=$(build -M 2 --physical -f many.lua 2>err)
result "a graph is built" "$([ "$(tr '\n' ' ' <"$path")" = "1 2 3 4 5 6 " ]; echo $?)" err
result "the count goes down" "$(has err ", 7 left" && has err "building whole, 1 left"; echo $?)" err
cat >keep.lua <<'END'
local bb = source("bb", { name = "bb" })
local b = bb .. "/bin/busybox"
local function one(name, script, env)
	return derivation { name = name, builder = b, args = { "sh", "-c", script }, env = { b = b, dep = env } }
end
return one("top", "true", { one("bad", "exit 1"), one("good", "echo >$out"), one("late", "$b sleep 0.3; echo >$out") })
END
build -k -M 4 -f keep.lua >out 2>err
result "--keep-going goes on" "$([ $? = 100 ] && [ -e "$(ls "$root"/gnu/store/*-late)" ] && empty "$root"/gnu/store/*-top; echo $?)" err

# Three clients share the slots of one store: with -M 1 no two builders overlap in time.
for i in 1 2 3; do
	drv "lone$i" 'read a x </proc/uptime; $b sleep 0.3; read z x </proc/uptime; echo $a $z >$out' >"lone$i.lua"
	"$CAIRN" build --root "$root" --physical -M 1 -f "lone$i.lua" >"out$i" 2>"err$i" &
	eval "c$i=\$!"
done
wait "$c1" "$c2" "$c3"
# shellcheck disable=SC2046
cat $(cat out1 out2 out3) | sort -n | awk '$1 < end || NF != 2 { bad = 1 } { end = $2 } END { exit bad || NR != 3 }'
result "one job limit for all clients" $? err1

# The same derivation twice at once: the second client waits, says so, and gets the first one's result.
# A builder waits in its directory for the file `go`.
waits='until [ -e go ]; do echo >here; $b usleep 20000; done'
let_go() { # when it waits there
	await some find "$root/var/guix/builds" -name here
	: >"$(find "$root/var/guix/builds" -name here | sed 's/here$/go/')"
}
drv twice "$waits; "'$b cat /proc/sys/kernel/random/uuid >$out' >twice.lua
"$CAIRN" build --root "$root" -f twice.lua >out1 2>err1 &
client=$!
await has err1 "building twice"
build -f twice.lua >out2 2>err2 &
second=$!
await has err2 "waiting for other builds"
let_go
wait $client && wait $second
result "one build for two clients" "$([ $? = 0 ] && cmp -s out1 out2 && ! has err2 building; echo $?)" err2
result "the second says that it waits" "$(has err2 "waiting for other builds"; echo $?)" err2

# A collection beside a build takes nothing that the build still needs, not even what was there before.
cat >held.lua <<'END'
local bb = source("bb", { name = "bb" })
local b = bb .. "/bin/busybox"
local function one(name, script, env)
	return derivation { name = name, builder = b, args = { "sh", "-c", script }, env = { b = b, dep = env } }
end
local dep = one("dep", "echo held >$out")
if HELD_DEP then return dep end
return one("above", "for i in $dep; do $b cat $i; done >$out", { dep, one("pause", "WAITS; echo >$out") })
END
sed 's/HELD_DEP/true/' held.lua >dep.lua
sed "s/HELD_DEP/false/; s/WAITS/$waits/" held.lua >above.lua
build -f dep.lua >out 2>err
build --physical -f above.lua >out1 2>err1 &
client=$!
await has err1 "building pause"
"$CAIRN" store gc --root "$root" >gone 2>err
let_go
wait $client
result "a build keeps its inputs" "$([ $? = 0 ] && has gone -same && [ "$(head -n 1 "$(cat out1)")" = held ]; echo $?)" err1

# ---- from outside ----
drv long "echo $mark; while :; do \$b sleep 100 # $mark
done" >long.lua
seen_as() { # NAME: owners of the builders, and what a killed client leaves
	result "$1: the builder runs" "$(await some builders; echo $?)" err
	bad=
	for p in $(builders); do
		uid=$(sed -n 's/^Uid:[[:space:]]*//p' "/proc/$p/status" | tr '\t' '\n' | sort -u | tr '\n' ' ')
		case " $uid" in *" 0 "*) bad="$bad $p" ;; esac
	done
	result "$1: no builder has host uid 0" "$([ -z "$bad" ]; echo $?)"
}
clean_after() {
	result "$1: no builder is left" "$(await none builders; echo $?)"
	result "$1: no partial result" "$(empty -d "$root"/gnu/store/*-long; echo $?)"
}
"$CAIRN" build --root "$root" -f long.lua >out 2>err &
client=$!
seen_as "embedded"
kill -9 $client
wait $client 2>/dev/null
clean_after "client killed"
result "client killed: its directories go" "$(await empty "$root/var/guix/builds"; echo $?)"

"$CAIRN" build --root "$root" -f long.lua >out 2>err &
client=$!
await some builders
for p in $(running "build --root $root"); do
	[ "$p" != $client ] && kill -9 "$p"
done
wait $client
status=$?
result "SBX-24 server killed: the client says so" "$([ $status != 0 ] && has err "closed the connection"; echo $?)" err
clean_after "server killed"
build -f same.lua >out 2>err
result "SBX-24 server killed: the next run works" $? err
cat >orphan.lua <<END
local bb = source("bb", { name = "bb" })
return derivation { name = "orphan", builder = bb .. "/bin/attack", args = { "orphan", "$mark" } }
END
"$CAIRN" build --root "$root" -f orphan.lua >out 2>err &
client=$!
await some builders
for p in $(running "build --root $root"); do
	[ "$p" != $client ] && kill -9 "$p"
done
wait $client
result "SBX-24 server killed: a builder that does not want to die with it" "$(await none builders; echo $?)"
drv sweep 'echo >$out' >sweep.lua
build -f sweep.lua >out 2>err
result "SBX-24 server killed: the next build sweeps" "$(await empty "$root/var/guix/builds"; echo $?)" err

# ---- daemon ----
# Its store is a private root, its socket is found by --socket.
droot=$TMP/d
mkdir "$droot"
"$CAIRN" daemon --root "$droot" -M 2 2>derr &
daemon=$!
sock=$droot/var/guix/daemon-socket/socket
answers() { "$CAIRN" build --socket "$sock" --derivation -f same.lua >out 2>err; }
result "daemon: answers" "$(await answers; echo $?)" derr
path=$("$CAIRN" build --socket "$sock" -f same.lua 2>err)
result "daemon: builds" "$([ "$(cat "$droot$path")" = x ]; echo $?)" err
result "daemon: prints where things are" "$([ "$(cat "$("$CAIRN" build --socket "$sock" --physical -f same.lua 2>err)")" = x ]; echo $?)" err
"$CAIRN" build --socket "$sock" -f fails.lua >out 2>err
result "daemon: tells of failures" "$([ $? = 100 ] && has err "line 3"; echo $?)" err
log=$(sed -n 's/^whole log: //p' err | head -n 1)
result "daemon: and where the log is" "$(gzip -dc "$log" 2>/dev/null | has - "line 1"; echo $?)" err
drv=$("$CAIRN" build --socket "$sock" --derivation -f fails.lua 2>err)
"$CAIRN" store log --socket "$sock" "$drv" >out 2>err
result "daemon: shows the log" "$([ $? = 0 ] && has out "line 1"; echo $?)" err
(cd "$droot/var/guix" && "$CAIRN" store log --socket daemon-socket/socket --path "$droot$drv") >out 2>err
result "daemon: and its path, by a relative name of the socket" "$(gzip -dc "$(cat out)" 2>/dev/null | has - "line 1"; echo $?)" err
if [ "$(id -u)" = 0 ]; then
	chmod 711 "$TMP"
	setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent \
		"$CAIRN" build --socket "$sock" -f same.lua >out 2>err
	result "daemon: serves other users" $? err
fi
root=$droot
"$CAIRN" build --socket "$sock" -f long.lua >out 2>err &
client=$!
seen_as "daemon"
kill -9 $client
wait $client 2>/dev/null
clean_after "daemon, client killed"
"$CAIRN" build --socket "$sock" -f long.lua >out 2>err &
client=$!
await some builders
for p in $(running "daemon --root $droot"); do
	kill -9 "$p"
done
wait $client
result "SBX-24 daemon killed: the client says so" "$([ $? != 0 ] && has err "closed the connection"; echo $?)" err
clean_after "daemon killed"
wait $daemon 2>/dev/null
"$CAIRN" daemon --root "$droot" 2>derr &
daemon=$!
again() { "$CAIRN" build --socket "$sock" -f sweep.lua >out 2>err; }
result "SBX-24 daemon killed: a new one takes over" "$(await again; echo $?)" err
kill $daemon
wait $daemon
result "daemon: ends on TERM" $? derr
finish
