#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# cairn store: add, query, dump, restore, roots, gc, delete, verify, log; logical and physical paths.
set -u
. "$SRC/tests/tap.inc"
not() { ! "$@"; }

root=$TMP/root
unset CAIRN_ROOT
export HOME="$TMP/home"
mkdir "$HOME"
s() {
	sub=$1
	shift
	"$CAIRN" store "$sub" --root "$root" "$@" 2>"$TMP/err" </dev/null
}
cd "$TMP" || exit 1
printf 'hello world\n' >hello.txt
mkdir -p t/sub
printf a >t/b.txt
ln -s b.txt t/link
printf '#!/bin/sh\n' >t/run
printf 12345678 >t/sub/eight
: >t/sub/empty
chmod 644 t/b.txt t/sub/*
chmod 755 t/run

# ---- add ----
hello=$(s add --text hello.txt)
is "a text item" "$hello" /gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt
tree=$(s add --name tree t)
is "a tree" "$tree" /gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-tree
is "a file by its contents" "$(s add --flat hello.txt)" \
	/gnu/store/f6djnxadqm7b28g9f14i7q53fj9lavs1-hello.txt
is "a tree by SHA-1" "$(s add --hash sha1 --name tree t/)" \
	/gnu/store/khxhm3ab3smwy21m1n74x3zlk6lbcra2-tree
is "a file by MD5" "$(s add --flat --hash md5 hello.txt)" \
	/gnu/store/cxamjhgnjv8cq5zkfyh66x87br4vx3dm-hello.txt
is "nothing on standard error" "$(cat err)" ""
printf 'source\n' >src.txt
src=$(s add --text src.txt)
printf 'refers to %s\n' "$src" >ref.txt
ref=$(s add --text --reference "$src" ref.txt)
is "a text with a reference" "$ref" /gnu/store/m0h8619g5fplmmhknap1jfphyzwf5r2r-ref.txt
is "two at once" "$(s add t hello.txt | wc -l)" 2
physical=$(s add --physical --name tree t)
is "the physical path" "$physical" "$root$tree"
check "it can be opened" cmp -s "$physical/run" t/run
is "its mode" "$(stat -c '%a %Y' "$physical/run" "$physical/b.txt" "$physical" | tr '\n' ' ')" \
	"555 1 444 1 555 1 "

echo lost >lost.txt
(trap '' XFSZ; ulimit -f 80; s add lost.txt >out)
is "what cannot be registered: exit status" $? 1
check "and said" grep -q database err
check "and no path is told" test ! -s out

# ---- query ----
is "references" "$(s query --references "$ref")" "$src"
is "referrers" "$(s query --referrers "$src")" "$ref"
is "requisites" "$(s query --requisites "$ref" | sort | tr '\n' ' ')" "$(printf '%s\n' "$ref" "$src" | sort | tr '\n' ' ')"
is "hash" "$(s query --hash "$tree")" sha256:1yh0zvzbz8djqcsj5nya9vypn5kahm0kjbr6cyq8d9hnq8r8kzkn
is "size" "$(s query --size "$tree")" 1256
is "deriver" "$(s query --deriver "$tree")" unknown-deriver
is "tree" "$(s query --tree "$ref")" "$ref
\`---$src"
s query --graph "$ref" >graph
check "graph" grep -q "\"${ref##*/}\" -> \"${src##*/}\";" graph
s query --json --requisites "$ref" >json
is "JSON" "$(python3 -c 'import json,sys; print(*sorted((x["narSize"], len(x["references"])) for x in json.load(open("json"))))')" \
	"(120, 0) (176, 1)"
is "a physical path is understood" "$(s query --size "$root$tree/sub/eight")" 1256
ln -s "$tree" link-to-item
is "so is a link" "$(s query --size link-to-item)" 1256
is "physical answers" "$(s query --references --physical "$ref")" "$root$src"
is "all" "$(s query --all | wc -l)" "$(find "$root/gnu/store" -mindepth 1 -maxdepth 1 ! -name .links | wc -l)"
for p in $(s query --all --physical); do
	[ -e "$p" ] || no "$p is printed but not there"
done
s query --references /gnu/store/00000000000000000000000000000000-x >out
is "what is not valid: exit status" $? 66
check "and said" grep -q "is not valid" err
s query /etc/passwd >out
is "what is not in the store: exit status" $? 65
s query --hash --size "$tree" >out
is "two questions: exit status" $? 2

# ---- dump and restore ----
s dump "$tree" >tree.nar
is "an archive from the store" "$(sha256sum <tree.nar | cut -d' ' -f1)" \
	76fe8932c216a686b067262f3941856a167bfd4ecadb2235c3b2a1bffefe00fa
"$CAIRN" store dump t >t.nar
check "an archive of a directory" cmp -s t.nar tree.nar
"$CAIRN" store restore back <t.nar
"$CAIRN" store dump back >back.nar
check "unpacked and packed again" cmp -s back.nar t.nar
"$CAIRN" store restore back <t.nar 2>err
is "an existing target is refused: exit status" $? 1

# ---- sizes ----
# two ways from the top to the same item, which counts once
for x in left right; do
	echo $x >$x.txt
	s add --text --reference "$src" $x.txt >$x
done
echo top >top.txt
top=$(s add --text --reference "$(cat left)" --reference "$(cat right)" top.txt)
sizes='
import json, sys
x = json.load(sys.stdin)
assert x["items"] == sorted(x["items"], key=lambda i: (-i["closure"], i["path"]))
print(x["total"], *sorted((-i["closure"], i["path"][44:], i["self"]) for i in x["items"]))'
is "sizes of a closure" "$(s size --json "$top" | python3 -c "$sizes")" \
	"480 (-480, 'top.txt', 120) (-240, 'left.txt', 120) (-240, 'right.txt', 120) (-120, 'src.txt', 120)"
is "as a table" "$(s size "$(cat left)")" "   closure        self  item
     240 B       120 B  $(cat left)
     120 B       120 B  $src
total: 240 B"
is "the largest first" "$(s size --sort=self "$tree" "$src" | sed -n '2,3s/.* //p' | tr '\n' ' ')" "$tree $src "
s size --sort=age "$src"
is "another order: exit status" "$? $(grep -c "must be closure or self" err)" "2 1"
s size /gnu/store/00000000000000000000000000000000-x
is "sizes of what is not there" "$? $(grep -c "is not valid" err)" "66 1"

# ---- roots and collection ----
s add --link kept ref.txt --text --reference "$src" >out
is "a root" "$(s roots)" "$TMP/kept -> $ref"
is "its link is usable" "$(readlink kept)" "$root$ref"
s add-root kept2 "$tree"
is "another" "$(s roots | wc -l)" 2
is "roots as JSON" "$(s roots --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)))')" 2
s gc --dry-run >dead
check "a dry run says what would go" grep -q -- -hello.txt dead
check "and how much" grep -q "store paths, .* would be freed" err
check "and deletes nothing" test -e "$root$hello"
check "not what a root holds" not grep -qF -e "$ref" -e "$src" -e "$tree" dead
is "what lives" "$(s gc --list-live | sort | tr '\n' ' ')" "$(printf '%s\n' "$ref" "$src" "$tree" | sort | tr '\n' ' ')"
is "what does not" "$(s gc --list-dead | sort)" "$(sort dead)"
is "and the roots" "$(s gc --list-roots)" "$(s roots)"
s gc --list-live --list-dead >out
is "not both at once" $? 2
mkfifo ends
USED=$src CALLED=$src$src TOO=/gnu/store/11111111111111111111111111111111-none sh -c 'read x <ends' &
user=$!
check "what a process uses" retry sh -c '[ "$("$1" store gc --list-busy --root "$2")" = "$3" ]' - "$CAIRN" "$root" "$src"
is "it is no link" "$(s gc --list-roots)" "$(s roots)"
echo >ends
wait $user
is "and nothing when it is gone" "$(s gc --list-busy)" ""
s gc --free 1 >out
is "enough is free: nothing goes" "$(cat out; ls "$root$hello")" "$root$hello"
s gc --max-freed 0 >out
is "nothing is to be freed: nothing goes" "$(cat out; ls "$root$hello")" "$root$hello"
s delete "$src" >out
is "a live path is not deleted: exit status" $? 1
check "and said" grep -q "still alive" err
is "delete" "$(s delete "$hello")" "$hello"
check "it is gone" not test -e "$root$hello"
echo rubbish >"$root/gnu/store/rubbish"
s gc >gone
check "what is freed is said" grep -q "freed" err
is "three are left" "$(s query --all | wc -l)" 3
is "nothing else lies in the store" "$(ls "$root/gnu/store" | wc -l)" 3
rm kept
s gc --free 9000T >gone
is "without the link the item goes" "$(s query --all)" "$tree"
is "and the stale root" "$(ls "$root/var/guix/gcroots/auto" | wc -l)" 1

# Rows that went leave room in the file, while somebody reads it.
cat >reader.py <<'E'
import os, sqlite3, subprocess, sys
db = sqlite3.connect(sys.argv[2] + "/var/guix/db/db.sqlite", isolation_level=None)
paths = ["/gnu/store/%032d-gone" % i for i in range(5000)]
db.execute("begin")
db.executemany("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 1, 1)", [(p, "sha256:" + 64 * "0") for p in paths])
db.execute("commit")
db.execute("delete from ValidPaths where path like '%-gone'")
db.execute("begin")
n = db.execute("select count(*) from ValidPaths").fetchone()[0]
p = subprocess.run([sys.argv[1], "store", "gc", "--vacuum-database", "--root", sys.argv[2]])
same = db.execute("select count(*) from ValidPaths").fetchone()[0] == n
db.execute("commit")
sys.exit(p.returncode or not same)
E
size_of() { cat "$root"/var/guix/db/db.sqlite "$root"/var/guix/db/db.sqlite-wal | wc -c; }
check "the database is made small beside a reader" python3 reader.py "$CAIRN" "$root"
check "and to the end without one" s gc --vacuum-database
is "it is said" "$(grep -c "^the database takes .* KiB, before it was .*B$" err)" 1
result "it is small" "$([ "$(size_of)" -lt 100000 ]; echo $?)"
is "nothing is lost" "$(s query --all)" "$tree"
s gc --vacuum-database --dry-run
is "nothing else is done" "$? $(grep -c "only one of" err)" "2 1"

# ---- verify ----
check "a sound store" s verify
chmod 644 "$root$tree/b.txt"
printf b >"$root$tree/b.txt"
s verify
is "a changed file: exit status" $? 65
check "and said" grep -q "was modified" err
check "a quick look does not see it" s verify --quick
printf a >"$root$tree/b.txt"
check "put right" s verify

# ---- calls that do less than they were asked, or are interrupted ----
if gcc -shared -fPIC -O1 -o short.so "$SRC/tests/cmd/short.c" && grep -q ld-linux "$CAIRN"; then
	mkdir short
	head -c 20000 /dev/urandom >short/blob
	echo x >short/x
	slow() { LD_PRELOAD="$TMP/short.so" SHORT_COUNT="$TMP/heard" "$CAIRN" store "$1" --root "$TMP/short-root" "$2" 2>"$TMP/err"; }
	short=$(s add short)
	is "CR-05 an addition, byte by byte" "$(slow add short)" "$short"
	is "CR-05 by the command and by its daemon" "$(wc -c <heard)" 2
	slow dump "$short" >short.nar
	check "CR-05 has the same bytes" sh -c '"$0" store dump short | cmp - short.nar' "$CAIRN"
	is "CR-05 and the same row" "$(slow query "$short")" "$(s query "$short")"
	check "CR-05 verifies" slow verify --quick
	LD_PRELOAD="$TMP/short.so" "$CAIRN" store restore short-back <short.nar 2>err
	check "CR-05 is restored" diff -r short short-back
	is "CR-05 and collected" "$(slow gc --physical)" "$TMP/short-root$short"
else
	echo "# CR-05 needs a program that libraries can be preloaded to"
fi

# ---- exec ----
if unshare -r -m true 2>/dev/null; then
	is "a command sees the store" "$("$CAIRN" exec --root "$root" -- cat "$tree/run" 2>err)" '#!/bin/sh'
	is "from where it was called" "$("$CAIRN" exec --root "$root" -- pwd)" "$(pwd)"
	is "its status" "$("$CAIRN" exec --root "$root" -- sh -c 'exit 7'; echo $?)" 7
	is "what is not found" "$("$CAIRN" exec --root "$root" -- /no/such 2>err; echo $?)" 127
	is "a little environment" "$(SECRET=1 "$CAIRN" exec --root "$root" --pure -- /usr/bin/env | grep -c SECRET)" 0
	is "a place that the host does not have" \
		"$("$CAIRN" exec --root "$root" --store-dir /no-such/dir -- sh -c 'ls -d /no-such/dir /etc' | tr '\n' ' ')" \
		"/etc /no-such/dir "
	check "programs of items are found" sh -c '
		mkdir -p prog/bin && printf "#!/bin/sh\necho found\n" >prog/bin/prog-x && chmod +x prog/bin/prog-x &&
		p=$("$0" store add --root "$1" prog) &&
		[ "$("$0" exec --root "$1" --with "$p" -- prog-x)" = found ]' "$CAIRN" "$root"
fi

finish
