#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What systems are put together from: trees, profiles, kernel modules, cpio archives; a configuration
# with most fields in use.
set -u
. "$SRC/tests/tap.inc"
. "$SRC/tests/cmd/world.inc"
linux=$W/packages/world/linux

# tree: $1 the name of the output; the description on standard input
tree() {
	spec=$(cat) out=$TMP/$1 "$CAIRN" builder tree 2>"$TMP/err"
}

check "a tree" tree t1 <<X
[file a/b/text]
text = "one \"two\"\n\ttab @out@ \\\\"
[file self]
text = "@out@"
self = yes
executable = yes
[file bytes]
hex = 00ff0a
[link z]
target = /nowhere
[directory empty]
mode = 1777
X
check "contents" [ "$(cat "$TMP/t1/a/b/text")" = "$(printf 'one "two"\n\ttab @out@ \\')" ]
check "its own path" [ "$(cat "$TMP/t1/self")" = "$TMP/t1" ]
check "executable" [ "$(stat -c %a "$TMP/t1/self" "$TMP/t1/bytes" | tr '\n' ' ')" = "555 444 " ]
check "any bytes" [ "$(od -An -tx1 "$TMP/t1/bytes" | tr -d ' \n')" = 00ff0a ]
check "link" [ "$(readlink "$TMP/t1/z")" = /nowhere ]

mkdir -p "$TMP/p1/bin" "$TMP/p1/share/x" "$TMP/p2/bin" "$TMP/p2/share/x" "$TMP/p2/lib"
touch "$TMP/p1/bin/a" "$TMP/p1/share/x/one" "$TMP/p2/bin/a" "$TMP/p2/bin/b" "$TMP/p2/share/x/two" "$TMP/p2/lib/c"
check "a union" tree t2 <<X
[union .]
from = $TMP/p1 $TMP/p2
parts = bin share
X
check "the first wins" [ "$(readlink "$TMP/t2/bin/a")" = "$TMP/p1/bin/a" ]
check "directories are merged" [ "$(ls "$TMP/t2/bin" "$TMP/t2/share/x" | tr '\n' ' ')" = "$TMP/t2/bin: a b  $TMP/t2/share/x: one two " ]
check "only the parts" [ ! -e "$TMP/t2/lib" ]

check "modules" tree t3 <<X
[modules m]
from = $linux
names = a b_c
X
check "what they need comes first" [ "$(tr '\n' ' ' <"$TMP/t3/m/order")" = "d.ko b-c.ko a.ko " ]
check "the files are there" [ "$(cat "$TMP/t3/m/a.ko")" = "module a" ]

refused() { # name, what it says
	name=$1
	! tree bad && grep -qF -- "$2" "$TMP/err" && [ ! -e "$TMP/bad" ]
	result "$name" $?
}
refused "a missing module" "no module 'bb'" <<X
[modules m]
from = $linux
names = bb
X
# Modules of packages among the kernel's. ko FILE WORD…: an object that says these words of itself, as a module does
ko() {
	file=$1
	shift
	mkdir -p "$(dirname "$file")"
	for word in "$@"; do printf '\t.asciz "%s"\n' "$word"; done >"$TMP/words"
	{ echo '	.section .modinfo,"a"'; cat "$TMP/words"; } | ${CC:-cc} -c -x assembler -o "$file" - || exit 1
}
magic="vermagic=1.0 SMP mod_unload "
top=lib/modules/1.0
ko "$TMP/k1/$top/extra/new-er.ko" "license=GPL" "depends=a,nested" "alias=pci:v0001*" "alias=fs-new er" "$magic" "softdep=pre: xts"
ko "$TMP/k1/$top/extra/deep/nested.ko" "depends=" "$magic"
echo "left out" >"$TMP/k1/$top/modules.dep"
ko "$TMP/k2/$top/updates/d.ko" "depends=xfs" "$magic" "alias=d-new"
mkdir -p "$TMP/kernel"
cp -r "$linux"/. "$TMP/kernel"
printf 'alias %s\n' 'd-old d' 'a-old a' >"$TMP/kernel/$top/modules.alias"
printf 'alias symbol:%s\n' 'd_do d' 'a_do a' >"$TMP/kernel/$top/modules.symbols"
echo kernel/inside.ko >"$TMP/kernel/$top/modules.builtin"
: >"$TMP/kernel/$top/modules.dep.bin"
merge() { # NAME PACKAGE…: a tree of the kernel's modules and theirs
	name=$1
	shift
	printf '[module-tree lib/modules]\nfrom = %s' "$TMP/kernel" >"$TMP/merge"
	printf ' %s' "$@" >>"$TMP/merge"
	echo >>"$TMP/merge"
	tree "$name" <"$TMP/merge"
}
check "modules of packages" merge t4 "$TMP/k1" "$TMP/k2"
v=$TMP/t4/$top
is "those of the kernel are there" "$(readlink "$v/kernel/a.ko")" "$TMP/kernel/$top/kernel/a.ko"
is "and those of packages" "$(readlink "$v/extra/deep/nested.ko" "$v/updates/d.ko")" "$TMP/k1/$top/extra/deep/nested.ko
$TMP/k2/$top/updates/d.ko"
check "one takes another's place" [ ! -e "$v/kernel/d.ko" ]
is "what each needs" "$(grep -v '^kernel/[!-bd-z]' "$v/modules.dep" | grep -v '^kernel/crypt')" "extra/deep/nested.ko:
extra/new-er.ko: extra/deep/nested.ko kernel/a.ko kernel/b-c.ko updates/d.ko kernel/xfs.ko
updates/d.ko: kernel/xfs.ko"
is "what the kernel's need" "$(grep -e '^kernel/[ab]' "$v/modules.dep")" "kernel/a.ko: kernel/b-c.ko updates/d.ko kernel/xfs.ko
kernel/aes_generic.ko:
kernel/aesni-intel.ko:
kernel/b-c.ko: updates/d.ko kernel/xfs.ko"
is "aliases" "$(cat "$v/modules.alias")" "alias a-old a
alias d-new d
alias fs-new er new_er
alias pci:v0001* new_er"
is "what is loaded with others" "$(cat "$v/modules.softdep")" "softdep new_er pre: xts"
is "symbols are looked for where they were" "$(cat "$v/modules.symbols")" "alias symbol:d_do d
alias symbol:a_do a"
check "other lists are the kernel's" [ "$(readlink "$v/modules.builtin")" = "$TMP/kernel/$top/modules.builtin" -a ! -e "$v/modules.dep.bin" ]
check "stage 1 gets them" tree t5 <<X
[modules m]
from = $TMP/t4
names = new_er
X
is "with what they need first" "$(tr '\n' ' ' <"$TMP/t5/m/order")" "nested.ko xfs.ko d.ko b-c.ko a.ko new-er.ko "
check "the file itself" cmp -s "$TMP/t5/m/new-er.ko" "$TMP/k1/$top/extra/new-er.ko"
unfit() { # NAME MESSAGE PACKAGE…
	name=$1 want=$2
	shift 2
	printf '[module-tree lib/modules]\nfrom = %s' "$TMP/kernel" >"$TMP/merge"
	printf ' %s' "$@" >>"$TMP/merge"
	echo >>"$TMP/merge"
	refused "$name" "$want" <"$TMP/merge"
}
ko "$TMP/u1/lib/modules/1.1/x.ko" "vermagic=1.1 SMP "
unfit "modules for another kernel" "$TMP/u1 has modules for the kernel 1.1, not for 1.0, which $TMP/kernel is" "$TMP/k1" "$TMP/u1"
ko "$TMP/u2/$top/x.ko" "vermagic=1.0+ SMP "
unfit "a module for another kernel" "$TMP/u2/$top/x.ko is made for the kernel 1.0+, not for 1.0, which $TMP/kernel is" "$TMP/u2"
ko "$TMP/u3/$top/x.ko" "license=GPL"
unfit "one for no kernel" "x.ko does not say which kernel it is made for" "$TMP/u3"
mkdir -p "$TMP/u4/$top" "$TMP/u5/$top" "$TMP/u6/bin"
echo text >"$TMP/u4/$top/x.ko"
unfit "one that is none" "$TMP/u4/$top/x.ko is no kernel module" "$TMP/u4"
: >"$TMP/u5/$top/x.ko.xz"
unfit "one that is compressed" "x.ko.xz is compressed" "$TMP/u5"
unfit "a package without modules" "$TMP/u6 has no modules in lib/modules" "$TMP/u6"
ko "$TMP/u7/$top/nested.ko" "$magic"
unfit "two of one name" "both $TMP/k1 and $TMP/u7 have the module 'nested'" "$TMP/k1" "$TMP/u7"
ko "$TMP/u8/$top/x.ko" "$magic" "depends=y-z"
unfit "one without what it needs" "the module 'x' of $TMP/u8 needs 'y-z', which neither" "$TMP/u8"
ko "$TMP/u9/$top/inside.ko" "$magic"
unfit "what the kernel has in itself" "the module 'inside', which is a part of the kernel itself" "$TMP/u9"

refused "a path that climbs" "expected a relative path" <<X
[file ../x]
text = a
X
refused "an absolute path" "expected a relative path" <<X
[file /x]
text = a
X
refused "two of one path" "described twice" <<X
[file x]
text = a
[link x]
target = b
X
refused "a file that is a directory elsewhere" "is a directory in one place" <<X
[file x]
text = a
[file x/y]
text = b
X
refused "an unknown key" "did you mean 'target'" <<X
[link x]
tarket = b
X
refused "a label that would change the menu" "label" <<X
[boot-entry boot/entry]
label = "a\nb"
kernel = /k
parameters = "quiet"
X

printf '[file init]\ntext = "x"\nexecutable = yes\n[node dev/console]\nmajor = 5\nminor = 1\n[link bin/sh]\ntarget = busybox\n' >"$TMP/cpio.spec"
spec=$(cat "$TMP/cpio.spec") out=/x "$CAIRN" builder cpio >"$TMP/a.cpio" 2>"$TMP/err"
check "an archive that cpio reads" sh -c "cd '$TMP' && busybox cpio -t <a.cpio 2>/dev/null >list && grep -qx init list && grep -qx dev/console list && grep -qx bin/sh list"
spec=$(cat "$TMP/cpio.spec") out=/y TZ=Asia/Tokyo "$CAIRN" builder cpio 2>"$TMP/err" | cmp -s - "$TMP/a.cpio"
check "the same bytes each time" [ $? = 0 ]

# ---- A configuration with everything in it
R=$TMP/root
mkdir "$R"
"$CAIRN" system build --physical --root "$R" --modules "$W" "$SRC/examples/server.lua" >"$TMP/out" 2>"$TMP/err"
check "examples/server.lua builds" [ $? = 0 ]
s=$(cat "$TMP/out")
part() { echo "$R$(readlink "$s/$1")"; }
check "PID 1 accepts its services" "$CAIRN" service check "$(part services)/set"
set=$(part services)/set
check "a service type of its own" grep -q '^exec = .*/bin/httpd -f -p 8080 -u web ' "$set"
check "a keyboard layout" grep -q '^exec = .*/share/keymaps/de-latin1.bmap$' "$set"
check "what is left out, and said otherwise" [ "$(grep -c 'log-keep = 9' "$set")" = 1 ]
check "old logs are compressed as said" grep -q '^exec = .*-compress-logs /var/log/cairn .*/bin/zstd -q -f --rm$' "$set"
check "environment of a service" grep -qx 'environment = TZ=UTC' "$set"
check "a mount that may fail is only wanted" grep -qx 'wants = mount@srv mount@var-www swap@1 swap@2' "$set"
check "a check that repairs all" grep -q 'sbin/e2fsck -y ext4 nodev LABEL=data /srv yes$' "$set"
check "one that is bound waits for what it lies on" [ "$(sed -n '/service mount@var-www/,/^$/s/^requires = //p' "$set")" = "devices mount@srv" ]
check "one that is not mounted is in fstab" grep -qxF "$(printf 'LABEL=archive\t/archive\text4\tnoauto\t0\t2')" "$(part etc)/fstab"
check "blanks in fstab" grep -q '^/srv/www\\040files	/var/www	ext4	bind	0	0$' "$(part etc)/fstab"
check "swap that tells what is free" grep -q ' swapon LABEL=swap -p 5 -d$' "$set"
check "swap by its label" grep -q '^exec = /gnu/store/[a-z0-9]*-swap /gnu/store/[a-z0-9]*-cairn[^ ]* swapon LABEL=' "$set"
check "a swap file is made before it is used" grep -qx 'requires = swap-file@2' "$set"
check "a directory" grep -qx '\[directory /srv/upload\]' "$s/activation"
check "that is emptied at boot" [ "$(sed -n '/srv.upload/,/^clean/p' "$s/activation" | tr '\n' ' ')" = "[directory /srv/upload] mode = 2770 user = web group = staff clean = yes " ]
check "a privileged program" grep -qx 'capabilities = 8192' "$s/activation"
sed -e 's|^	services = services.base {|	kernel_modules = { "b_c", "a" }, firmware = { require "packages.firmware" }, initrd_files = { ["etc/note"] = require "packages.firmware" .. "/lib/firmware/card/fw.bin" },\n&|' \
	-e 's|{ name = "ann",|& shell = require "packages.busybox" .. "/bin/ash",|' \
	-e 's|sysctl = {|& ["kernel.modprobe"] = require "packages.busybox" .. "/bin/busybox",|' \
	"$SRC/examples/server.lua" >"$TMP/more.lua"
"$CAIRN" system build --physical --root "$R" --modules "$W" "$TMP/more.lua" >"$TMP/out" 2>"$TMP/err"
check "more fields" [ $? = 0 ]
m=$(cat "$TMP/out")
is "firmware" "$(cat "$R$(readlink "$R$(readlink "$m/firmware")/lib/firmware/card/fw.bin")")" bits
check "is where the kernel looks" grep -qx 'target = /run/current-system/firmware/lib/firmware' "$m/activation"
shell=$(sed -n 's|^shell = \(/gnu/store/.*/bin/ash\)$|\1|p' "$m/accounts")
check "a shell that is a file of a package may be logged in with" grep -qx "${shell:-none}" "$R$(readlink "$m/etc")/shells"
check "a kernel setting that is a file of a package" grep -qx 'kernel.modprobe = /gnu/store/[a-z0-9]*-busybox-1.0/bin/busybox' \
	"$R$(sed -n 's/^exec = .*-sysctl //p' "$R$(readlink "$m/services")/set")"
# Files that a package does not have: known when it is built, and then no generation is made of it.
absent() { # NAME, what is said, CHANGE of more.lua
	sed "$3" "$TMP/more.lua" >"$TMP/absent.lua"
	"$CAIRN" system build --root "$R" --modules "$W" "$TMP/absent.lua" >"$TMP/out" 2>"$TMP/err"
	status=$?
	is "$1: status" "$status" 2
	grep -q "^ *$2" "$TMP/err"
	result "$1" $?
}
busybox='require "packages.busybox"' item='/gnu/store/[a-z0-9]*-busybox-1.0'
absent "a shell of a package that is not in packages" \
	"users › root › shell: there is no program /gnu/store/[a-z0-9]*-profile/bin/bash$" 's|{ name = "root",|& shell = "/run/current-system/profile/bin/bash",|'
absent "a shell that a package does not have" "users › root › shell: there is no program $item/bin/bash$" "s|{ name = \"root\",|& shell = $busybox .. \"/bin/bash\",|"
absent "a program that a package does not have" "service 'more' › exec: there is no program $item/bin/htpd$" \
	"s|^	services = services.base {|& services.simple { name = \"more\", exec = { $busybox .. \"/bin/htpd\" } },|"
absent "a program that is a directory" "service 'more' › reload_exec: there is no program $item/bin$" \
	"s|^	services = services.base {|& services.simple { name = \"more\", exec = { \"/bin/x\" }, reload_exec = { $busybox .. \"/bin\" } },|"
absent "a privileged program" "privileged_programs › pign › program: there is no program $item/bin/pign$" \
	"s|privileged_programs = {|& { program = $busybox .. \"/bin/pign\" },|"
absent "firmware that is none" "firmware: there is no directory $item/lib/firmware$" "s|firmware = {|& $busybox,|"
absent "a font" "console_font: there is no file $item/share/x.psf$" "s|kernel_modules =|console_font = $busybox .. \"/share/x.psf\", &|"
absent "options of the build daemon" "cairn daemon: unknown option '--rouns', did you mean '--rounds'?" \
	's|without = { "logs" },|without = { "daemon", "logs" }, services.daemon { extra_arguments = { "--rouns=2" } },|'
sed -e "s|^	services = services.base {|& services.simple { name = \"own\", exec = { \"/opt/own\" } }, services.simple { name = \"each@\", exec = { $busybox .. \"/bin/%i\" } }, services.simple { name = \"in\", root_directory = \"/srv/in\", exec = { $busybox .. \"/in\" } },|" \
	"$TMP/more.lua" >"$TMP/present.lua"
check "what is the machine's own is not looked for" "$CAIRN" system build --root "$R" --modules "$W" "$TMP/present.lua"
is "a file more in the initramfs" "$(busybox gzip -dc <"$R$(readlink "$m/initrd")" | busybox cpio -i --to-stdout etc/note 2>/dev/null)" bits
# Modules that the kernel does not have: said before anything is built where the kernel is there, else when it has come.
unknown() { # NAME, CHANGE of more.lua, ROOT, what is said after the place, words of the command: with its place, and nothing else
	sed "$2" "$TMP/more.lua" >"$TMP/bad.lua"
	root=$3 name=$1 want="$TMP/bad.lua:$(sed -n '/operating_system {/=' "$TMP/bad.lua" | head -1): $4"
	shift 4
	"$CAIRN" system "$@" --root "$root" --modules "$W" "$TMP/bad.lua" >"$TMP/out" 2>"$TMP/err"
	is "$name: status" $? 1
	is "$name: the message" "$(sed -n 's/^cairn system [a-z]*: //p' "$TMP/err")" "$want"
}
items=$(ls "$R/gnu/store" | cksum)
no_bc="the kernel has no module 'bc'; did you mean 'b_c'?"
mkdir "$TMP/empty"
for how in "build" "build --dry-run" "plan --target-root $R" "reconfigure --target-root $R"; do
	unknown "a module that is not there, $how" 's/"b_c"/"bc"/' "$R" "operating_system › kernel_modules[1]: $no_bc" $how
done
unknown "a module of the initramfs" 's/kernel_modules = { "b_c", "a"/initrd_modules = { "a", "bc"/' "$R" "operating_system › initrd_modules[2]: $no_bc" build
later='mount_point = "\/srv", may_fail = true' plain='s/kernel_modules = {[^}]*}, //; s/, repair = "all"//'
for need in "needed_for_boot = true" "may_fail = true"; do
	unknown "a file system, $need" "$plain; s/$later/type = \"jfs\", $need, mount_point = \"\/srv\"/" "$R" \
		"operating_system › file_systems[2] ('/srv') › type: the kernel has no module 'jfs'" build -n
done
for type in fuse.ntfs-3g=fuse rpc_pipefs=sunrpc functionfs=usb_f_fs; do
	unknown "the module of $type" "$plain; s/$later/type = \"${type%=*}\", mount_point = \"\/srv\"/; s/, flags = { \"no_dev\" }//" "$R" \
		"operating_system › file_systems[2] ('/srv') › type: the kernel has no module '${type#*=}'" build -n
done
sed -e "$plain; s/device = \"LABEL=data\", $later/type = \"selinuxfs\", mount_point = \"\/srv\"/" "$TMP/more.lua" >"$TMP/pseudo.lua"
check "what is of no device needs none" "$CAIRN" system build -n --root "$R" --modules "$W" "$TMP/pseudo.lua"
check "which was tried" grep -q selinuxfs "$TMP/pseudo.lua"
sed -e "$plain; s/$later/type = \"jfs\", mount_point = \"\/srv\"/; s/\"no_dev\"/\"bind\"/; s/LABEL=data/\/x/" "$TMP/more.lua" >"$TMP/bound.lua"
check "but of what is bound" "$CAIRN" system build -n --root "$R" --modules "$W" "$TMP/bound.lua"
sed 's/kernel_modules =/kernel = require "packages.firmware", &/' "$TMP/more.lua" >"$TMP/bad.lua"
"$CAIRN" system build --root "$R" --modules "$W" "$TMP/bad.lua" >"$TMP/out" 2>"$TMP/err"
check "a kernel without modules" grep -q "bad.lua:[0-9]*: operating_system › kernel_modules\[1\]: .*-firmware-1.0/lib/modules: No such file" "$TMP/err"
sed -e "$plain; s/$later/type = \"jfs\", mount_point = \"\/srv\"/" -e 's/	file_systems =/	kernel = require "packages.firmware",\n&/' "$TMP/more.lua" >"$TMP/whole.lua"
check "which may have a file system in itself" "$CAIRN" system build -n --root "$R" --modules "$W" "$TMP/whole.lua"
is "nothing was added to the store" "$(ls "$R/gnu/store" | cksum)" "$items"
unknown "a kernel that is built first" 's/"b_c"/"bc"/' "$TMP/empty" "operating_system › kernel_modules[1]: $no_bc" build
is "a skeleton" "$(cat "$(part skeletons)/.profile.local")" "alias ll='ls -l'"
check "subordinate numbers" grep -qx 'subids = 65536' "$s/accounts"
check "the keys" grep -qx 'ctrl-alt-del = ignore' "$set"
check "links in /tmp" grep -qx 'fs.protected_symlinks = 1' "$R$(sed -n 's/^exec = .*-sysctl //p' "$set")"

# Its scripts, run here: the paths in them are those of a machine.
script_of() { # NAME: the text
	sed "s|/gnu/store|$R/gnu/store|g" "$R$(grep -o "/gnu/store/[a-z0-9]*-$1 " "$set" | head -1 | tr -d ' ')"
}
cat >"$TMP/b" <<'X'
#!/bin/sh
# Stands for busybox in the script of the kernel's settings, which are files below $TMP/sys: one of a pair is 0 when the other one is set,
# one cannot be set, one cannot be read.
set_to() { # KEY VALUE
	case $1 in
	*/refused) return 1 ;;
	*/flush) return 0 ;;
	*_bytes) echo 0 >"$TMP/sys/${1%_bytes}_ratio" ;;
	*_ratio) echo 0 >"$TMP/sys/${1%_ratio}_bytes" ;;
	esac
	echo "$2" >"$TMP/sys/$1"
}
case "$*" in
"sysctl -e -p "*)
	echo "applied $(cat "$TMP/sys/kernel/old")" >>"$TMP/order"
	bad=0
	while read -r key _ value; do
		k=$(echo "$key" | tr ./ /.)
		! [ -e "$TMP/sys/$k" ] || set_to "$k" "$value" || bad=1
	done <"$4"
	exit $bad ;;
sysctl*)
	[ "$2" != -n ] || shift
	shift
	for key; do
		k=$(echo "$key" | tr ./ /.)
		if ! [ -e "$TMP/sys/$k" ]; then
			echo "sysctl: error: '$key' is an unknown key" >&2
		elif [ "${k##*/}" != flush ]; then
			echo "$(echo "$k" | tr ./ /.) = $(cat "$TMP/sys/$k")"
		fi
	done ;;
*) exec "$@" ;;
esac
X
chmod +x "$TMP/b"
script_of sysctl | sed "s|^b=.*|b=$TMP/b|; s|^sys=.*|sys=$TMP/sys|; s|^kept=.*|kept=$TMP/kept/sysctl|" >"$TMP/sysctl"
mkdir -p "$TMP/kept" "$TMP/sys/kernel" "$TMP/sys/vm" "$TMP/sys/net/conf/eth0.1" "$TMP/sys/net/route"
setting() { # VALUE KEY...
	value=$1
	shift
	for k; do echo "$value" >"$TMP/sys/$k"; done
}
value() { cat "$TMP/sys/$1"; }
# settings LINE...: the service's run for a system that has these
settings() {
	printf '%s\n' "$@" >"$TMP/settings"
	TMP=$TMP sh "$TMP/sysctl" "$TMP/settings" >"$TMP/out" 2>"$TMP/err"
}
setting 0 kernel/yes kernel/refused net/conf/eth0.1/mtu net/route/flush vm/dirty_bytes
setting 20 vm/dirty_ratio
setting '4	4 1' kernel/old
setting '' kernel/empty
settings 'kernel.yes = 1 2' 'kernel.nope = 1' 'kernel.refused = 1'
is "settings that the kernel does not take" $? 1
is "and those that it does not have" "$(cat "$TMP/err")" "sysctl: error: 'kernel.nope' is an unknown key"
is "others are as they are to be" "$(value kernel/yes)" "1 2"
check "a system that names more" settings 'kernel.yes = 3' 'kernel.old = 7' 'kernel.empty = |core' 'net.conf.eth0/1.mtu = 5' 'vm.dirty_bytes = 4096'
is "has them set" "$(value kernel/yes) $(value kernel/old) $(value kernel/empty) $(value net/conf/eth0.1/mtu) $(value vm/dirty_bytes) $(value vm/dirty_ratio)" \
	"3 7 |core 5 4096 0"
is "what was before is root's alone" "$(find "$TMP/kept" -mindepth 1 -perm /077)" ""
: >"$TMP/order"
check "one that names fewer" settings 'kernel.yes = 3'
is "takes the others back" "$(value kernel/yes) $(value kernel/old) $(value kernel/empty) $(value net/conf/eth0.1/mtu)" "3 4	4 1  0"
is "with the one of a pair that was set" "$(value vm/dirty_bytes) $(value vm/dirty_ratio)" "0 20"
is "before it sets its own" "$(cat "$TMP/order")" "applied 4	4 1"
is "and says nothing" "$(cat "$TMP/out" "$TMP/err")" ""
setting 9 kernel/old
check "one that names another one again" settings 'kernel.old = 7'
is "takes back to what was before the first one" "$(value kernel/yes)" 0
check "one that names none" settings 'kernel.nope = 1'
is "takes back to what was when it was named again" "$(value kernel/old)" 9
is "and nothing is kept any more" "$(find "$TMP/kept" -type f)" ""
check "what cannot be read" settings 'net.route.flush = 1' 'kernel.yes = 1'
is "is named" "$(cat "$TMP/err")" "net.route.flush: it cannot be read, so going back to another generation does not take it back"
# Nobody can write that of the kernel.
ln -sf /proc/sys/kernel/ostype "$TMP/sys/kernel/yes"
check "what the kernel does not take back is no failure" settings 'kernel.old = 9'
is "but named" "$(cat "$TMP/err")" "kernel.yes: the kernel does not take '0' back, so it stays 'Linux' until the next boot"
rm "$TMP/sys/kernel/yes"
check "what is there no more" settings 'kernel.old = 9'
is "is forgotten" "$(cat "$TMP/err"; find "$TMP/kept" -name yes)" ""
script_of swap-file >"$TMP/swap-file"
check "a swap file" sh "$TMP/swap-file" "$TMP/swap" 1048576
check "of that size, nobody else's" [ "$(stat -c '%a %s' "$TMP/swap")" = "600 1048576" ]
check "with the mark of one" [ "$(tail -c +4087 "$TMP/swap" | head -c 10)" = SWAPSPACE2 ]
inode=$(stat -c %i "$TMP/swap")
check "once more" sh "$TMP/swap-file" "$TMP/swap" 1048576
check "it stays" [ "$(stat -c %i "$TMP/swap")" = "$inode" ]
check "with another size" sh "$TMP/swap-file" "$TMP/swap" 2097152
check "it is another one" [ "$(stat -c %s "$TMP/swap")" = 2097152 ]
check "a file that cannot be made is an error" sh -c '! sh "$0" /proc/none/swap 1048576 2>/dev/null' "$TMP/swap-file"

cat >"$TMP/b" <<'X'
#!/bin/sh
# Stands for busybox in the script of the clock: tells the time that it is told, and what is asked of it.
case $1 in
cat) echo "$HARDWARE" ;;
date) case " $* " in *" -s "*) echo "$*" >>"$TMP/asked" ;; *) echo "$NOW" ;; esac ;;
hwclock) echo "$*" >>"$TMP/asked" ;;
*) exec "$@" ;;
esac
X
chmod +x "$TMP/b"
script_of clock | sed "s|^b=.*|b=$TMP/b|; s|^exec [^ ]* touch|exec touch|; s|/sys/class/rtc/rtc0|$TMP/rtc|" >"$TMP/clock"
mkdir "$TMP/rtc"
clock() { # WHAT NOW HARDWARE
	: >"$TMP/asked"
	TMP=$TMP NOW=$2 HARDWARE=$3 sh "$TMP/clock" "$1" "$TMP/stamp" >"$TMP/out"
}
check "no time seen yet" clock start 0 0
check "never before Cairn was written" grep -qx 'date -u -s @1767225600' "$TMP/asked"
touch -d @1800000000 "$TMP/stamp"
check "a clock that went back" clock start 1799999999 0
check "goes on from what was seen" grep -qx 'date -u -s @1800000000' "$TMP/asked"
check "and says so" grep -q 'the clock said' "$TMP/out"
touch -d @1800000000 "$TMP/stamp"
check "a clock that is right" clock start 1800000001 0
check "is left alone" [ ! -s "$TMP/asked" ]
check "the time is kept" [ "$(stat -c %Y "$TMP/stamp")" != 1800000000 ]
touch "$TMP/rtc/hctosys"
check "hardware that the kernel did not read" clock start 1900000000 0
check "is read" grep -qx 'hwclock -s -u' "$TMP/asked"
check "hardware that is right at the end" clock stop 1900000000 1900000002
check "is not written" [ ! -s "$TMP/asked" ]
check "hardware that is wrong" clock stop 1900000000 1900000007
check "is set" grep -qx 'hwclock -w -u' "$TMP/asked"
check "devices as they come" grep -q '^exec = .*/cairn system hotplug --ready --modprobe=/gnu/store/[^ ]*/bin/modprobe /gnu/store/[a-z0-9]*-device-rules$' "$set"
rules=$R$(grep -o '/gnu/store/[a-z0-9]*-device-rules' "$set")
check "the rules of the configuration come first" [ "$(head -1 "$rules")" = "video4linux video0 660 web" ]
check "then the usual ones" grep -qx 'block \* 660 disk' "$rules"
handlers=$(sed -n 's/^exec = .* acpid -d -c \([^ ]*\) .*/\1/p' "$set")
check "the power button" grep -q '/bin/cairn reboot$' "$R$handlers/PWRF/00000080"
check "its file" [ "$(head -1 "$(part etc)/httpd.conf")" = "H:/srv/www" ]
check "its account" grep -qx '\[user web\]' "$s/accounts"
check "fstab" grep -q "^LABEL=cairn-root	/	ext4	noatime	0	1$" "$(part etc)/fstab"
check "hosts" grep -q "^192.0.2.7	printer printer.example$" "$(part etc)/hosts"
check "name servers" grep -qx "nameserver 9.9.9.9" "$(part etc)/resolv.conf"
check "the command line" grep -q "^root=LABEL=cairn-root rootfstype=ext4 rootflags=noatime rw console=tty0 .* cairn.system=/gnu/store/[a-z0-9]*-system$" "$s/parameters"
check "the kernel arguments of the menu are the same" [ "$(sed -n 's/^parameters //p' "$s/boot/entry")" = "$(cat "$s/parameters")" ]
check "the gate: what must be up" grep -qx 'requires = base cairn-daemon' "$set"
check "the gate: what PID 1 waits for" grep -qx 'gate = boot-good' "$set"
check "the gate: until when" grep -qx 'gate-timeout = 5min' "$set"
check "the gate does not wait without a watchdog" grep -q '^exec = .* mark-good$' "$set"
check "no watchdog unless asked for" [ "$(grep -c watchdog "$set" "$s/parameters" | grep -vc ':0$')" = 0 ]
check "time zone" [ "$(TZ=:$(part etc)/localtime date -d @1700000000 +%H:%M)" = "$(TZ=CET-1CEST,M3.5.0,M10.5.0/3 date -d @1700000000 +%H:%M)" ]
check "in summer, too" [ "$(TZ=:$(part etc)/localtime date -d @1720000000 +%H:%M%Z)" = "$(TZ=CET-1CEST,M3.5.0,M10.5.0/3 date -d @1720000000 +%H:%M%Z)" ]
check "the configuration is kept" cmp -s "$R$(readlink "$s/config/system.lua")" "$SRC/examples/server.lua"

# ---- Gate, watchdog and boot loader
build() { # FILE: what it says is in $TMP/out, $s is the system
	"$CAIRN" system build --physical --root "$R" --modules "$W" "$1" >"$TMP/out" 2>"$TMP/err" || return 1
	s=$(cat "$TMP/out")
	set=$(part services)/set
}
sed 's/^return system.operating_system {/&\n	health_gate = { services = { "web", "compress-logs" }, timeout = "2min" }, watchdog = { timeout = "1min" },/' \
	"$SRC/examples/server.lua" >"$TMP/gate.lua"
check "a gate of one's own" build "$TMP/gate.lua"
check "its services" grep -qx 'requires = web compress-logs' "$set"
check "its time, and that" grep -qx 'gate-timeout = 150s' "$set"
check "as PID 1 starts it" [ "$(sed -n '/^\[service boot-good\]/,/^\[/s/^start-timeout = //p' "$set")" = 150s ]
check "a gate holds as long as the watchdog takes, at most half a minute" grep -q '^exec = .* mark-good --hold 30$' "$set"
check "the watchdog of PID 1" grep -qx 'watchdog = 1min' "$set"
check "the watchdog of stage 1" grep -q ' cairn.watchdog=60 cairn.system=' "$s/parameters"
sed 's/timeout = "2min"/timeout = "10s"/' "$TMP/gate.lua" >"$TMP/hold.lua"
check "a gate that soon closes" build "$TMP/hold.lua"
check "holds for half of that" grep -q '^exec = .* mark-good --hold 5$' "$set"
check "after it" grep -qx 'gate-timeout = 15s' "$set"
sed 's/timeout = "2min"/timeout = "10min", hold = "2min"/' "$TMP/gate.lua" >"$TMP/hold.lua"
check "a gate that holds for another time" build "$TMP/hold.lua"
check "is told so" grep -q '^exec = .* mark-good --hold 120$' "$set"
check "within what was said" grep -qx 'gate-timeout = 10min' "$set"
sed 's/"compress-logs" }, timeout/"comprses-logs" }, timeout/' "$TMP/gate.lua" >"$TMP/none.lua"
build "$TMP/none.lua"
check "a service that is not there" grep -q "none.lua:36: .*there is no service 'comprses-logs'" "$TMP/err"
sed 's/"1min"/"90"/' "$TMP/gate.lua" >"$TMP/unit.lua"
build "$TMP/unit.lua"
check "a time without a unit" grep -q "unit.lua:36: .*such as '30s'" "$TMP/err"
sed 's/"panic=10"/"cairn.trial=3"/' "$TMP/gate.lua" >"$TMP/trial.lua"
build "$TMP/trial.lua"
check "the count is the boot loader's" grep -q "trial.lua:[0-9]*: .*cairn.trial= is written by the boot loader" "$TMP/err"

# entries TEXT: a boot loader with these fields
entries() {
	text=$1 awk '/^	host_name/ { print "	bootloader = { " ENVIRON["text"] " }," } 1' "$SRC/examples/server.lua" >"$TMP/entries.lua"
	build "$TMP/entries.lua"
}
refused() { # NAME FIELDS REASON
	entries "$2"
	check "$1" grep -q "entries.lua:[0-9]*: .*$3" "$TMP/err"
}
entries 'entries = { { title = [[a "b" \c\]], kernel = require("packages.busybox") .. "/bin/busybox", parameters = "x=\"1 2\"" },
	{ title = "two", device = "LABEL=a b", chain = "/EFI/x.efi" } }, default = "two"'
check "entries of the menu" grep -qxF 'title = "a \"b\" \\c\\"' "$s/boot/menu"
check "with parameters" grep -qxF 'parameters = "x=\"1 2\""' "$s/boot/menu"
check "one of them is the default" grep -qxF 'default = "two"' "$s/boot/menu"
check "their kernel is in the store" grep -q '^kernel = "/gnu/store/[^ ]*/bin/busybox"$' "$s/boot/menu"
check "another boot loader" grep -qx 'chain = "/EFI/x.efi"' "$s/boot/menu"
entries 'terminal_inputs = { "console", "serial_1" }, terminal_outputs = { "serial" }'
check "terminals of the menu" [ "$(grep terminal- "$s/boot/menu" | tr '\n' ' ')" = "terminal-inputs = console serial_1 terminal-outputs = serial " ]
refused "a terminal that is none" 'terminal_outputs = { "serial_4" }' "serial_4"
refused "terminals without GRUB" 'type = "none", terminal_inputs = { "console" }' "only a menu of GRUB has a choice of terminals"
entries 'type = "extlinux", entries = { { title = "Memory test", kernel = "/memtest" } }'
check "an entry of extlinux" grep -qxF 'title = "Memory test"' "$s/boot/menu"
refused "a boot loader by extlinux" 'type = "extlinux", entries = { { title = "x", chain = "/c", device = "hd0" } }' "leave out chain"
refused "another file system by extlinux" 'type = "extlinux", entries = { { title = "x", kernel = "/c", device = "hd0" } }' "leave out device"
refused "a file of a package" 'type = "extlinux", entries = { { title = "x", kernel = require("packages.busybox") .. "/bin/busybox" } }' "where files of packages are not"
refused "another default than GRUB's" 'type = "extlinux", entries = { { title = "x", kernel = "/c" } }, default = "x"' "only a menu of GRUB can start"
refused "entries of the EFI program" 'type = "efi", entries = { { title = "x", kernel = "/c" } }' "has the generations alone"
refused "an entry without a kernel" 'entries = { { title = "x" } }' "needs either kernel or chain"
refused "an entry that is two things" 'entries = { { title = "x", kernel = "/k", chain = "/c", device = "hd0" } }' "needs either kernel or chain"
refused "a boot loader that is nowhere" 'entries = { { title = "x", chain = "/c" } }' "needs the device"
refused "a device that is none" 'entries = { { title = "x", chain = "/c", device = "hd0;reboot" } }' "is not LABEL="
refused "two entries of one name" 'entries = { { title = "x", kernel = "/k" }, { title = "x", kernel = "/l" } }' "two entries are called 'x'"
refused "a default that is no entry" 'default = "y"' "no entry called 'y'"
refused "parameters that GRUB cannot hand over" 'entries = { { title = "x", kernel = "/k", parameters = "it'"'"'s" } }' "single quote"
refused "entries without GRUB" 'type = "none", entries = { { title = "x", kernel = "/k" } }' "has the generations alone"

sed 's/^	host_name/	bootloader = { type = "none" }, host_name/' "$SRC/examples/server.lua" >"$TMP/direct.lua"
check "a machine that is started some other way" build "$TMP/direct.lua"
check "has a gate: stage 1 may count" grep -qx 'gate = boot-good' "$set"

# fields TEXT: a machine with these fields
fields() {
	text=$1 awk '/^	host_name/ { print "	" ENVIRON["text"] "," } !/^	(directories|device_rules) = .*},$/' "$SRC/examples/server.lua" >"$TMP/fields.lua"
	build "$TMP/fields.lua"
}
wrong() { # NAME FIELDS REASON
	fields "$2"
	check "$1" grep -q "fields.lua:[0-9]*: .*$3" "$TMP/err"
}
wrong "a directory that must stay" 'directories = { { path = "/etc", clean = true } }' "must not be emptied"
wrong "a directory given twice" 'directories = { { path = "/x" }, { path = "/x" } }' "'/x' is given twice"
wrong "a device rule of two words" 'device_rules = { { subsystem = "a b", mode = "660" } }' "a pattern without blanks"
wrong "a mode that is none" 'directories = { { path = "/x", mode = "rwx" } }' "an octal mode"

# ---- Caches
sed 's|services = services.base {},|services = services.base { without = { "daemon" }, services.daemon { substitute_urls = { "http://a.example", "https://b.example/x" } }, services.publish { port = 81, compression = { "zstd:9", "gzip" }, ttl = "30d" } },|' "$SRC/examples/minimal.lua" >"$TMP/caches.lua"
"$CAIRN" system build --physical --root "$R" --modules "$W" "$TMP/caches.lua" >"$TMP/out" 2>"$TMP/err"
check "a configuration with caches builds" [ $? = 0 ]
s=$(cat "$TMP/out")
set=$(part services)/set
check "PID 1 accepts it" "$CAIRN" service check "$set"
fields='max_silent_time = 60, timeout = 0, log_compression = "none", build_group = "staff", use_substitutes = false, socket_user = "ann",
	socket_group = "staff", chroot_directories = { "\/srv", "\/in=\/srv\/out" }, environment = { http_proxy = "http:\/\/proxy:3128" }, extra_arguments = { "--rounds=2" }'
sed "s/services = services.base {},/groups = { { name = \"staff\" } }, users = { { name = \"ann\" } }, $(echo $fields | sed 's/.*/services = services.base { without = { "daemon" }, services.daemon { & } },/')/" \
	"$SRC/examples/minimal.lua" >"$TMP/daemon.lua"
"$CAIRN" system build --physical --root "$R" --modules "$W" "$TMP/daemon.lua" >"$TMP/out" 2>"$TMP/err"
check "a daemon with other bounds" [ $? = 0 ]
d=$(cat "$TMP/out")
sed -n '/^\[service cairn-daemon\]/,/^$/p' "$R$(readlink "$d/services")/set" >"$TMP/daemon"
check "is told so" grep -q '^exec = .* daemon .* --max-silent-time=60 --timeout=0 --log-compression=none --build-users-group=staff --chroot-directory=/srv --chroot-directory=/in=/srv/out --no-substitutes --rounds=2$' "$TMP/daemon"
check "whose its socket is" grep -qx 'listen = stream /var/guix/daemon-socket/socket mode=0666 user=ann group=staff' "$TMP/daemon"
check "its variables" grep -qx 'environment = http_proxy=http://proxy:3128' "$TMP/daemon"
for field in socket_user socket_group build_group; do
	sed "s/$field = \"staff\"/$field = \"stuff\"/; s/$field = \"ann\"/$field = \"anna\"/" "$TMP/daemon.lua" >"$TMP/bad.lua"
	"$CAIRN" system build --root "$R" --modules "$W" "$TMP/bad.lua" >"$TMP/out" 2>"$TMP/err"
	check "$field: one that is not there" grep -q "bad.lua:[0-9]*: daemon › $field: there is no \(group 'stuff'; did you mean 'staff'\|user 'anna'; did you mean 'ann'\)?" "$TMP/err"
done
check "the daemon asks them" grep -q '^exec = .* daemon .*"--substitute-urls=http://a.example https://b.example/x"' "$set"
check "a cache" grep -q '^exec = /gnu/store/[a-z0-9]*-publish-start --user=nobody --port=81 --ttl=30d --compression=zstd:9 --compression=gzip$' "$set"
# Modules of packages in a system: stage 1 and services find them, and a reboot is needed for them.
mkdir -p "$W/packages/world/extra"
cp -r "$TMP/k1/lib" "$W/packages/world/extra"
sed 's/firmware/extra/g' "$W/packages/firmware.lua" >"$W/packages/extra.lua"
sed 's|^	services = services.base {|	kernel_loadable_modules = { require "packages.extra" }, kernel_modules = { "new_er" }, initrd_modules = { "nested" },\n&|' \
	"$SRC/examples/minimal.lua" >"$TMP/extra.lua"
check "a system with modules of a package" build "$TMP/extra.lua"
dir=$(part kernel-modules)/1.0
check "is given them" cmp -s "$R$(readlink "$dir/extra/new-er.ko")" "$W/packages/world/extra/$top/extra/new-er.ko"
check "and what they need" grep -qx "extra/new-er.ko: extra/deep/nested.ko kernel/a.ko kernel/b-c.ko kernel/d.ko" "$dir/modules.dep"
loads=$(sed -n 's|^exec = \(/gnu/store/[a-z0-9]*-kernel-modules-load\) .*|\1|p' "$set")
check "they are loaded from the tree" grep -qxF "exec = $loads $(readlink "$s/kernel-modules") new_er" "$set"
load() { "$CAIRN" exec --root "$R" -- "$loads" "$@" >"$TMP/out" 2>"$TMP/err"; }
load "$(readlink "$s/kernel-modules")" new_er
is "before a reboot what is new there is waited for" "$? $(cat "$TMP/out")" "0 new_er comes with the next boot"
load "$(readlink "$s/kernel-modules")" new_er no_such
is "what is not there either is an error, and the rest is looked at" "$? $(cat "$TMP/out")" "1 new_er comes with the next boot"
check "which is said" grep -q no_such "$TMP/err"
# One that the running kernel has, too, and that cannot be loaded; /lib/modules is a tree of this test's own.
mkdir -p "$TMP/running/1.0"
cp "$dir/modules.dep" "$TMP/running/1.0"
sed "s|/gnu/store/[^ ]*/bin/busybox|$(command -v busybox)|g; s|/lib/modules|$TMP/running|g" "$R$loads" >"$TMP/loads"
sh "$TMP/loads" "$R$(readlink "$s/kernel-modules")" new_er >"$TMP/out" 2>"$TMP/err"
is "one that the running kernel has does not come with the next boot" "$? $(cat "$TMP/out")" "1 "
load "$(busybox readlink -f /lib/modules || echo "")" new_er
check "after it one that is missing is an error" [ $? != 0 ]
is "stage 1 has one" "$(busybox gzip -dc <"$R$(readlink "$s/initrd")" | busybox cpio -t 2>/dev/null | grep '^modules/n')" modules/nested.ko
with=$s
sed 's/kernel_loadable_modules = {[^}]*}, kernel_modules = {[^}]*}, initrd_modules = { "nested" }/kernel_arguments = { "quiet" }/' "$TMP/extra.lua" >"$TMP/bare.lua"
sed 's/kernel_modules = {[^}]*}, initrd_modules = { "nested" }/kernel_arguments = { "quiet" }/' "$TMP/extra.lua" >"$TMP/only.lua"
check "one without" build "$TMP/bare.lua"
bare=$s
check "has the kernel's" [ "$(readlink "$s/kernel-modules")" = "$(dirname "$(readlink "$s/kernel")")/lib/modules" ]
check "one that loads none" build "$TMP/only.lua"
"$CAIRN" system diff --root "$R" "${bare#"$R"}" "${s#"$R"}" >"$TMP/out" 2>&1
check "needs a reboot for them" grep -q 'reboot  *needed for: kernel modules$' "$TMP/out"
check "and has a package more" grep -q 'packages  *+ extra 1.0' "$TMP/out"
sed 's/"new_er"/"newer"/' "$TMP/extra.lua" >"$TMP/typo.lua"
build "$TMP/typo.lua"
check "a module that is in neither" grep -q "typo.lua:[0-9]*: .*kernel_modules.*the kernel has no module 'newer'; did you mean 'new_er'?" "$TMP/err"
mv "$W/packages/world/extra/lib/modules/1.0" "$W/packages/world/extra/lib/modules/1.1"
build "$TMP/extra.lua"
check "modules for another kernel" grep -q 'extra-1.0 has modules for the kernel 1.1, not for 1.0, which /gnu/store/.*-linux-1.0 is' "$TMP/err"

# Keys: from a file beside the configuration, and as text; each goes where it counts.
q=58239E212347D5D1C1AB14410DED63A810A37E061241C6E2FCF2EEF1890705CB
nix=test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw=
printf '# of the farm\n(public-key\n (ecc\n  (curve Ed25519)\n  (q #%s#)))' $q >"$TMP/farm.pub"
keys() { # LIST: a machine with these keys
	text=$1 awk '{ gsub(/services.base {}/, "services.base { without = { \"daemon\" }, services.daemon { authorized_keys = { " ENVIRON["text"] " } } }") } 1' \
		"$SRC/examples/minimal.lua" >"$TMP/keys.lua"
	build "$TMP/keys.lua"
}
keys ""
is "no key is declared" "$(ls "$(part etc)" | grep -cx -e guix -e nix)" 0
none=$s
check "a configuration with keys builds" keys "read_file('farm.pub'), '$nix'"
is "the key of a file" "$(cat "$(part etc)/guix/authorized-keys")" "# Written by Cairn from the configuration of the system.
$(cat "$TMP/farm.pub")"
is "a key in Nix's form" "$(cat "$(part etc)/nix/authorized-keys")" "# Written by Cairn from the configuration of the system.
$nix"
"$CAIRN" system diff --root "$R" "${none#"$R"}" "${s#"$R"}" >"$TMP/out" 2>&1
check "the difference tells" grep -q '/etc  *+ guix/authorized-keys' "$TMP/out"
check "and that no service is touched" grep -q "services  *keep" "$TMP/out"
check "a store believes what was declared" sh -c 'mkdir -p "$2" && cp "$1" "$2" && head -c 8 /dev/zero | "$0" archive --import --root "$3"' \
	"$CAIRN" "$(part etc)/guix/authorized-keys" "$TMP/believer/etc/guix" "$TMP/believer"
printf '(public-key\n (ecc\n  (curve Ed25519)\n  (q #58239E#)))\n%s\n' "$nix" >"$TMP/short.pub"
printf '%s\n\n(private-key (ecc (curve Ed25519) (q #%s#) (d #%s#)))\n' "$nix" $q $q >"$TMP/secret"
bad_key() { # NAME LIST REASON: one line, with the place
	keys "$2"
	check "$1" grep -qF -- "$3" "$TMP/err"
	check "$1: where" grep -q 'keys.lua:[0-9]*: daemon › authorized_keys' "$TMP/err"
}
bad_key "a key that was cut" "'$nix', read_file('short.pub')" "authorized_keys[2]: line 1: the point of this public key has not 32 bytes"
bad_key "a secret key" "read_file('secret')" "authorized_keys[1]: line 3: this is a private key"
check "is not shown" [ "$(grep -c $q "$TMP/err")" = 0 ]
bad_key "a key of the other kind" "'ssh-ed25519 AAAA ann'" "authorized_keys[1]: this is no public key, neither"
bad_key "the name of a file" "'farm.pub'" '[read_file("FILE") gives what is in a file]'
bad_key "no key" "'# none'" "authorized_keys[1]: there is no key in it"
bad_key "what is no list" "a = '$nix'" "expected a list"

# Keys for logins are no files of root's in a home: a link there would lead him anywhere.
sed 's/hello/dropbear/g; s/2\.0/1/' "$W/packages/hello.lua" >"$W/packages/dropbear.lua"
login="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx bob"
sed "s|services.base {}|services.base { services.dropbear { authorized_keys = { root = { \"$login\" } } } }|" "$SRC/examples/minimal.lua" >"$TMP/logins.lua"
check "keys for logins" build "$TMP/logins.lua"
is "SYS-12 lie where root alone writes" "$(cat "$(part etc)/dropbear/authorized_keys.d/root")" "$login"
is "SYS-12 and nothing puts them elsewhere" "$(grep -A 9 '^\[command' "$s/activation")" ""

# What sshd takes first of several lines is what was said; it reads them once while the system is built.
cat >"$W/packages/openssh.lua" <<'LUA'
local busybox = require "packages.busybox" .. "/bin/busybox"
local program = [[#!$b sh
case $0 in */ssh-keygen) exec $b touch key ;; esac
while [ "$1" != -f ]; do shift; done
echo "Unable to load host key: /x" >&2
! $b grep -n Rotlogin "$2" >&2]]
local drv = derivation {
	name = "openssh-1.0", builder = busybox, env = { b = busybox, program = program },
	args = { "sh", "-ec", '$b mkdir -p $out/bin $out/sbin; for i in bin/ssh-keygen sbin/sshd; do echo "${program//\\$b/$b}" >$out/$i; $b chmod +x $out/$i; done' },
}
return setmetatable({ name = "openssh", version = "1.0", drv = drv }, {
	__tostring = function() return tostring(drv) end,
	__concat = function(a, b) return tostring(a) .. tostring(b) end,
})
LUA
echo "$login" >"$TMP/bob.pub"
openssh() { # FIELDS: a machine with this OpenSSH
	text=$1 awk '{ gsub(/services.base {}/, "services.base { services.openssh { " ENVIRON["text"] " } }") } 1' "$SRC/examples/minimal.lua" >"$TMP/openssh.lua"
	build "$TMP/openssh.lua"
}
check "OpenSSH" openssh 'settings = { "PermitRootLogin no", "Match User x", "PasswordAuthentication yes" }, authorized_keys = { root = { read_file("bob.pub"), "restrict " .. read_file("bob.pub") } }'
config=$(sed -n 's/.*sshd -D -e -f //p' "$R$(sed -n 's|^exec = \(/gnu/store/[^ ]*-openssh-start\)$|\1|p' "$set")")
is "settings win" "$(grep -m1 -e PermitRootLogin "$R$config")" "PermitRootLogin no"
is "what is for some only comes last" "$(tail -n 2 "$R$config")" "Match User x
PasswordAuthentication yes"
is "files of keys" "$(cat "$(part etc)/ssh/authorized_keys.d/root")" "$login
restrict $login"
check "subsystems" openssh 'settings = { "Subsystem netconf /x" }'
check "files in another way" openssh 'sftp = false, settings = { "Subsystem sftp internal-sftp" }'
check "keys with options" openssh "authorized_keys = { root = { 'cert-authority,principals=\"a,b\" ' .. read_file('bob.pub'), [[NO-pty,from=\"192.0.2.0/24,!192.0.2.7\",command=\"echo \\\"a b\\\"\" ]] .. read_file('bob.pub') } }"
is "stay as they are" "$(cat "$(part etc)/ssh/authorized_keys.d/root")" "cert-authority,principals=\"a,b\" $login
NO-pty,from=\"192.0.2.0/24,!192.0.2.7\",command=\"echo \\\"a b\\\"\" $login"
check "a setting that sshd does not know" eval '! openssh "settings = { \"PermitRotlogin no\" }"'
check "is shown" grep -q '^  1:PermitRotlogin no$' "$TMP/err"
check "without what is no fault" eval '! grep -q "Unable to load" "$TMP/err"'

finish
