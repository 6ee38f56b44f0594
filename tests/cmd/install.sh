#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 600
# cairn install: a whole disk (here a file) from answers and from questions; what is refused; cut off.
set -u
. "$SRC/tests/cmd/install.inc"
disk=$TMP/disk

# ---- Answers
garbage "$disk"
cp "$disk" "$TMP/before"
answers "$TMP/a" "$disk"
check 'the plan' code 0 'EVERYTHING on it will be lost' install --answers "$TMP/a" --dry-run
check 'has the configuration' grep -qF 'services.static_network { address = "192.0.2.5/24", gateway = "192.0.2.1", }' "$TMP/code"
check 'and the disk is as before' cmp "$disk" "$TMP/before"
bad() { # TEXT SED-SCRIPT
	sed "$2" "$TMP/a" >"$TMP/bad"
	code 1 "$1" install --answers "$TMP/bad"
}
check 'no host name' bad 'host-name is not given' '/^host-name/d'
check 'no disk' bad 'disk is not given' '/^disk/d'
check 'a bad host name' bad 'is not a host name' 's/stone/a b/'
check 'a bad address' bad 'is not an address with prefix' 's|192.0.2.5/24|192.0.2.5|'
check 'an unknown key' bad 'disc' 's/^disk/disc/'
check 'a password in plain text' bad 'not the output of crypt' 's/^password = .*/password = secret/'
check 'is not repeated' sh -c "! grep -q secret '$TMP/code'"
check 'nobody could log in' bad 'root would have no way to log in' '/^password/d'
check 'an unknown zone' bad 'unknown time zone' 's|Europe/Berlin|Europe/Nowhere|'
check 'another size' bad 'bytes, not' 's/^ssh/disk-size = 5M\n&/'
check 'another disk' bad "has serial number '', not 'X1'" 's/^ssh/disk-serial = X1\n&/'
check 'a key that was cut' bad 'the SSH key is not all there, or not one of ssh-ed25519' 's/.... ann@host$/ ann@host/'
check 'a key of another kind' bad 'the SSH key is not all there, or not one of ssh-rsa' 's/ssh-ed25519/ssh-rsa/'
check 'a kind of keys that nobody knows' bad 'is not an SSH key' 's/ssh-ed25519/ssh-foo/'
check 'a kind without a key' bad 'the SSH key is not all there' 's/ssh-ed25519 .*/ssh-ed25519/'
ecdsa='AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA0PIRhZt8/L4U2HPhTZR5gb+1N4sWx64gM7A/NWvkwJ72sL6eYUfno/MYhYubeCew866ibO9tsSVAW01sf3aOU='
sed "s|^key = .*|key = ecdsa-sha2-nistp256 $ecdsa|" "$TMP/a" >"$TMP/ecdsa"
check 'a key of another kind that is there' code 0 'EVERYTHING' install --answers "$TMP/ecdsa" --dry-run
check 'control characters' bad 'is not' "s/ann@host/$(printf 'a\033[2Jb')/"
check 'do not reach the terminal' sh -c "! grep -q '$(printf '\033')' '$TMP/code'"
check 'no such disk' code 1 'No such file' sh -c "sed 's|^disk = .*|disk = /dev/none|' '$TMP/a' >'$TMP/bad'; '$CAIRN' install --modules '$TMP/world' --answers '$TMP/bad'"
check 'a directory' code 1 'is not a disk' sh -c "sed 's|^disk = .*|disk = /|' '$TMP/a' >'$TMP/bad'; '$CAIRN' install --modules '$TMP/world' --answers '$TMP/bad'"
truncate -s 100M "$TMP/small"
answers "$TMP/s" "$TMP/small"
check 'too small' code 3 'are needed' install --answers "$TMP/s"
check 'was not touched' cmp -n 104857600 "$TMP/small" /dev/zero
check 'and none of it touched the disk' cmp "$disk" "$TMP/before"

# ---- A disk
check 'installs' code 0 installed install --answers "$TMP/a"
check 'a sound table' sh -c "sfdisk --verify '$disk' | grep -q 'No errors'"
check 'three partitions' test "$(sfdisk -d "$disk" | grep -c start=)" = 3
fs="$disk?offset=$((66 * 1048576))"
check 'a sound root' e2fsck -fn "$fs"
dd if="$disk" of="$TMP/fat" bs=1M skip=2 count=64 status=none
check 'a sound ESP' fsck.fat -n "$TMP/fat"
look() { debugfs -R "$1" "$fs" 2>/dev/null; }
check 'the configuration' sh -c "debugfs -R 'cat /etc/cairn/system.lua' '$fs' 2>/dev/null >'$TMP/config'; grep -q 'host_name = \"stone\"' '$TMP/config'"
uuid=$(sed -n 's/.*UUID=\([0-9a-f-]*\).*/\1/p' "$TMP/config")
check 'names the root it has' sh -c "dumpe2fs -h '$fs' 2>/dev/null | grep -q 'UUID: *$uuid'"
check 'zeros are zeros' sh -c "f=\$(debugfs -R 'ls -p /gnu/store' '$fs' 2>/dev/null | grep -o '[a-z0-9]*-linux-1.0'); debugfs -R \"cat /gnu/store/\$f/zero\" '$fs' 2>/dev/null | cmp -n 3000001 - /dev/zero"
check 'the menu starts it' sh -c "debugfs -R 'cat /boot/grub/grub.cfg' '$fs' 2>/dev/null | grep -q 'root=UUID=$uuid'"
check 'GRUB for partition 3' sh -c "mtools -c mtype -i '$TMP/fat' ::/EFI/BOOT/BOOTX64.EFI | grep -qx 'partition 3' && dd if='$disk' bs=1M skip=1 count=1 status=none | grep -aqx 'partition 3'"
check 'a boot sector' test "$(dd if="$disk" bs=1 skip=510 count=2 status=none | od -An -tx1 | tr -d ' ')" = 55aa
check 'the word itself is nowhere' sh -c "! grep -aq canary-word '$disk' '$TMP/code' '$TMP/a'"
check 'no hash in the store' sh -c "! grep -rlF '$hash' '$R'"
check 'nor in what others can read' sh -c "! grep -qF '$hash' '$TMP/config' && grep -q 'password_file = \"/etc/cairn/passwords/root\"' '$TMP/config'"
check 'but in a private file' sh -c "debugfs -R 'cat /etc/cairn/passwords/root' '$fs' 2>/dev/null | grep -qxF '$hash' && debugfs -R 'stat /etc/cairn/passwords/root' '$fs' 2>/dev/null | grep -q 'Mode: *0600'"
cp "$disk" "$TMP/good"
garbage "$disk"
sed "s/^ssh/root-uuid = $uuid\n&/" "$TMP/a" >"$TMP/again"
check 'once more' code 0 installed install --answers "$TMP/again"
same_files() { # the parts that a boot loader or kernel reads
	for img in "$TMP/good" "$disk"; do
		rm -rf "$TMP/x.$$"
		mkdir "$TMP/x.$$"
		debugfs -R "rdump / $TMP/x.$$" "$img?offset=$((66 * 1048576))" 2>/dev/null
		(cd "$TMP/x.$$" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$img.sums"
	done
	cmp "$TMP/good.sums" "$disk.sums"
}
check 'makes the same files on another old disk' same_files

# ---- Cut off: no partition table, hence no machine, until the rest is there
now() { python3 -c 'import time; print(int(time.monotonic() * 1000))'; }
start=$(now)
install --answers "$TMP/again" >/dev/null
took=$(($(now) - start))
cuts=5 half=0 wrong=0
for i in $(seq $cuts); do
	k=$i # early ones are close together: the measured time may have been a long one
	ms=$((took * k * k / cuts / cuts))
	timeout --foreground -s KILL "$((ms / 1000)).$(printf %03d $((ms % 1000)))" "$CAIRN" install --root "$R" --modules "$TMP/world" --quiet --answers "$TMP/again" >"$TMP/k" 2>&1
	if ! sfdisk -d "$disk" >/dev/null 2>&1; then
		half=$((half + 1))
		[ "$(dd if="$disk" bs=512 count=1 status=none | tr -d '\0' | wc -c)" = 0 ] || wrong=$((wrong + 1))
	fi
done
echo "# $half of $cuts were cut off in the middle of $took ms"
check 'some were cut off in the middle' test $half -gt 0
check 'none of them looks like a machine' test $wrong = 0
check 'it is completed' code 0 installed install --answers "$TMP/again"
check 'to the very same' same_files

# ---- Without GRUB
truncate -s 0 "$TMP/efi"
truncate -s 400M "$TMP/efi"
answers "$TMP/e" "$TMP/efi" 'boot-loader = efi' "root-uuid = $uuid"
check 'our own loader' code 0 installed install --answers "$TMP/e"
dd if="$TMP/efi" of="$TMP/fat" bs=1M skip=1 count=64 status=none
efi="$TMP/efi?offset=$((65 * 1048576))"
check 'a sound root after a sound ESP' sh -c "e2fsck -fn '$efi' && fsck.fat -n '$TMP/fat' && test \$(sfdisk -d '$TMP/efi' | grep -c start=) = 2"
chain=$(mtools -c mshowfat -i "$TMP/fat" ::/EFI/cairn)
chain=${chain##*<} chain=${chain%>}
check 'with room for the names of all kernels that will come' test $((${chain#*-} - ${chain%-*} + 1)) = 64
check 'with program and kernel' sh -c "mtools -c mdir -/ -b -i '$TMP/fat' ::/ >'$TMP/list'; grep -qi BOOTX64.EFI '$TMP/list' && [ \$(wc -l <'$TMP/list') -gt 2 ]"
check 'which the machine mounts' sh -c "debugfs -R 'cat /etc/cairn/system.lua' '$efi' 2>/dev/null >'$TMP/config'; grep -q 'type = \"efi\"' '$TMP/config' && grep -qi \"PARTUUID=\$(sfdisk --part-uuid '$TMP/efi' 1)\" '$TMP/config'"
check 'not on partitions' code 1 'is for a whole disk only' sh -c "sed 's/^boot-loader.*/&\\nroot-partition = 2/' '$TMP/e' >'$TMP/bad'; '$CAIRN' install --modules '$TMP/world' --answers '$TMP/bad'"
check 'a boot loader that is none' bad "'lilo' is not grub or efi" 's/^ssh/boot-loader = lilo\n&/'
rm "$TMP/efi"

# ---- Partitions that are there
parts=$TMP/parts
part() { dd if="$parts" of="$TMP/part" bs=1M skip="$1" count="$2" status=none; }
other_system "$parts" || exit 1
cp "$parts" "$TMP/parts.old"
answers "$TMP/p" "$parts" 'keyboard = de-latin1' 'root-partition = 5' 'esp-partition = 2' 'bios-partition = 1' 'swap-partition = 3'
badpart() { # TEXT SED-SCRIPT
	sed "$2" "$TMP/p" >"$TMP/bad"
	code 1 "$1" install --answers "$TMP/bad"
}
check 'no such partition' badpart 'has no partition 9' 's/^root-partition.*/root-partition = 9/'
check 'a partition twice' badpart 'partition 5 is named twice' 's/^swap-partition.*/swap-partition = 5/'
check 'none to start from' badpart 'it would not start' '/^esp-partition/d; /^bios-partition/d'
check 'no root' badpart 'root-partition is not given' '/^root-partition/d'
check 'a root on an ESP' badpart "partition 2 has the type 'EFI system partition'" 's/^root-partition.*/root-partition = 2/; s/^esp-partition.*/esp-partition = 4/'
check 'an ESP that is none' badpart "does not have the type 'EFI system partition'" 's/^esp-partition.*/esp-partition = 4/'
check 'a name for a number' badpart "is not the number of a partition" 's/^root-partition.*/root-partition = vda5/'
check 'an unknown layout' badpart "there is no keyboard layout 'xx'" 's/^keyboard.*/keyboard = xx/'
sed 's/^root-partition.*/root-partition = 4/; /^swap/d' "$TMP/p" >"$TMP/bad"
check 'a partition that is too small' code 3 'partition 4 has 32.0 MiB' install --answers "$TMP/bad"
dd if=/dev/zero of="$parts" bs=1M seek=2 count=1 conv=notrunc status=none
check 'an ESP without a file system' badpart 'no FAT file system that can be read' ''
cp "$TMP/parts.old" "$parts"
check 'the plan names them' code 0 '5 300.0 MiB  ext4; EVERYTHING on it will be lost' install --answers "$TMP/p" --dry-run
check 'and touches nothing' cmp "$parts" "$TMP/parts.old"
check 'installs into partitions' code 0 installed install --answers "$TMP/p"
check 'the table is as before' cmp -n 16896 -i 512 "$parts" "$TMP/parts.old"
check 'and what was not named' cmp -n 33554432 -i $((45 * 1048576)) "$parts" "$TMP/parts.old"
check 'and what is behind' cmp -i $((377 * 1048576)) "$parts" "$TMP/parts.old"
pfs="$parts?offset=$((77 * 1048576))"
check 'a sound root there' e2fsck -fn "$pfs"
part 2 33
check 'a sound ESP there' fsck.fat -n "$TMP/part"
check 'the other system is left' sh -c "mtools -c mtype -i '$TMP/part' ::/EFI/Other/other.efi | cmp - '$TMP/other.efi'"
check 'and its default kept' sh -c "mtools -c mtype -i '$TMP/part' ::/EFI/BOOT/BOOTX64.EFI.saved | cmp - '$TMP/other.efi'"
check 'GRUB looks for partition 5' sh -c "mtools -c mtype -i '$TMP/part' ::/EFI/BOOT/BOOTX64.EFI | grep -qx 'partition 5' && dd if='$parts' bs=1M skip=1 count=1 status=none | grep -aqx 'partition 5'"
debugfs -R 'cat /etc/cairn/system.lua' "$pfs" 2>/dev/null >"$TMP/config"
swap=$(sed -n 's/.*swap = .*UUID=\([0-9a-f-]*\).*/\1/p' "$TMP/config")
part 35 10
check 'swap space that the configuration names' sh -c "[ -n '$swap' ] && [ \$(blkid -p -o value -s UUID '$TMP/part') = '$swap' ]"
check 'and the keyboard' grep -q 'keyboard = "de-latin1"' "$TMP/config"
part 2 33
cp "$TMP/part" "$TMP/esp.done"
check 'once more' code 0 installed install --answers "$TMP/p"
part 2 33
check 'changes nothing on the ESP' cmp "$TMP/part" "$TMP/esp.done"

# ---- Bad machines: disks that drop what is written from some byte on, fail, or have another byte; too little memory
cat >"$TMP/bad.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>
int sysinfo(struct sysinfo *info)
{
	int (*next)(struct sysinfo *) = dlsym(RTLD_NEXT, "sysinfo");
	int r = next(info);

	if (getenv("BAD_MEMORY")) {
		info->totalram = (unsigned long)atoll(getenv("BAD_MEMORY"));
		info->mem_unit = 1;
	}
	return r;
}
static int is_bad(int fd, off64_t at)
{
	char link[64], name[4096];
	const char *from = getenv("BAD_FROM"), *disk = getenv("BAD_DISK");

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = from ? readlink(link, name, sizeof(name) - 1) : -1;
	if (n < 0)
		return 0;
	name[n] = '\0';
	return strcmp(name, disk) == 0 && at >= atoll(from);
}
/* The disk is about to be read back: one byte of it is another by then. */
int posix_fadvise64(int fd, off_t at, off_t n, int advice) __attribute__((alias("posix_fadvise")));
int posix_fadvise(int fd, off_t at, off_t n, int advice)
{
	int (*next)(int, off_t, off_t, int) = dlsym(RTLD_NEXT, "posix_fadvise64");
	const char *where = getenv("BAD_BYTE");
	char byte;

	if (where && is_bad(fd, 0) && syscall(SYS_pread64, fd, &byte, 1, atoll(where)) == 1) {
		byte = 'X';
		syscall(SYS_pwrite64, fd, &byte, 1, atoll(where));
	}
	return next(fd, at, n, advice);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) __attribute__((alias("pwrite")));
ssize_t pwrite(int fd, const void *p, size_t n, off64_t at)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");

	if (!is_bad(fd, at))
		return next(fd, p, n, at);
	if (getenv("BAD_BYTE"))
		return next(fd, p, n, at);
	if (getenv("BAD_FAILS")) {
		errno = EIO;
		return -1;
	}
	return n < 16384 ? next(fd, p, n, at) : (ssize_t)n; /* tables survive, files do not */
}
C
bad_disk() { # FROM [NAME=VALUE]
	BAD_FROM=$1 BAD_DISK=$disk LD_PRELOAD=$TMP/bad.so env ${2-_=} "$CAIRN" install --root "$R" --modules "$TMP/world" --quiet --answers "$TMP/again"
}
if ldd "$CAIRN" 2>/dev/null | grep -q 'libc\.so' && ! ldd "$CAIRN" | grep -q asan; then
	${CC:-cc} -shared -fPIC -O1 -o "$TMP/bad.so" "$TMP/bad.c" -ldl || exit 1
	garbage "$disk"
	check 'a disk that drops writes from some byte on' code 3 'is not what is read there' bad_disk 90000000
	check 'is no machine' sh -c "! sfdisk -d '$disk' >/dev/null 2>&1"
	check 'a disk that fails there' code 3 'Input/output error' bad_disk 90000000 BAD_FAILS=1
	check 'is none, either' sh -c "! sfdisk -d '$disk' >/dev/null 2>&1"
	cp --sparse=always "$disk" "$TMP/before"
	check 'too little memory' code 3 'has 128.0 MiB of memory, 192.0 MiB are needed' bad_disk 0 BAD_MEMORY=134217728
	check 'and nothing is written' cmp "$disk" "$TMP/before"
	# A byte of GRUB's core, the table at the end.
	for byte in 1048600 419999800; do
		check "another byte at $byte" code 3 "what was written at byte $((byte / 4096 * 4096)) is not what is read there" bad_disk 0 BAD_BYTE=$byte
		check 'is no machine' sh -c "! sfdisk -d '$disk' >/dev/null 2>&1"
	done
	check 'a disk that is sound' code 0 installed bad_disk 999999999999
else
	echo '# skip: faults of disks need a program that is linked dynamically, without sanitizers'
fi

# ---- Questions
ask() { # LINES STATE: what is said goes to $TMP/said
	printf "$1" | install --state "$2" --log "$TMP/log" >"$TMP/said" 2>&1
}
S=$TMP/state
ask 'de-latin\nde-latin1\nEurope/Nowhere\n' "$S"
check 'a wrong keyboard layout' grep -q "there is no keyboard layout 'de-latin' .there are: de-latin1-nodeadkeys, de-latin1" "$TMP/said"
check 'a wrong zone' grep -q "unknown time zone 'Europe/Nowhere'" "$TMP/said"
ask '\nEurope/Berlin\nbad name\nstone\n' "$S"
check 'a wrong host name' grep -q 'is not a host name' "$TMP/said"
check 'the state knows the page' grep -qx 'page = network' "$S"
check 'and the answers' sh -c "grep -qx 'keyboard = us' '$S' && grep -qx 'timezone = Europe/Berlin' '$S' && grep -qx 'host-name = stone' '$S'"
check 'and is private' test "$(stat -c %a "$S")" = 600
ask 'carrier pigeon\nstatic\n\n192.0.2.5\n192.0.2.5/24\n192.0.2.1\nx\n9.9.9.9\nback\n' "$S"
check 'goes on there' grep -q 'Going on where the installer was cut off' "$TMP/said"
check 'a wrong network' grep -q 'answer dhcp, static or none' "$TMP/said"
check 'a wrong address' grep -q "'192.0.2.5' is not an address with prefix" "$TMP/said"
check 'wrong name servers' grep -q "'x' is not an address" "$TMP/said"
check 'back' test "$(grep -c 'of 9: Network' "$TMP/said")" = 2
sed -i 's/^page = .*/page = disk/' "$S"
ask 'nonesuch\nquit\n' "$S"
is 'who leaves is told apart from what fails' $? 6
check 'no disk is chosen by itself' grep -q 'There is no such disk' "$TMP/said"
sed -i "s/^page = .*/page = users/; s|^ssh|disk = $disk\n&|" "$S"
ask 'canary-word\nanother\ncanary-word\ncanary-word\n\nann\n\n\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7dHXRWqAOQ9mFIrvWL9IeXhz6CoCznG22t6tZfEfsx ann@host\n\n\npasswords\n' "$S"
check 'two passwords that differ' grep -q 'They differ' "$TMP/said"
check 'a hash is kept' grep -q '^password = \$6\$' "$S"
check 'and nothing else' sh -c "! grep -q canary-word '$S' '$TMP/said' '$TMP/log'"
sed -i 's/^page = .*/page = services/' "$S"
cp "$disk" "$TMP/before"
ask 'telnet\npasswords\n\nyes\nquit\n' "$S"
check 'a wrong answer about SSH' grep -q 'answer no, keys or passwords' "$TMP/said"
check 'shows the configuration' grep -q 'services.dropbear' "$TMP/said"
check 'a wrong confirmation' grep -q 'That is not its name; nothing was written' "$TMP/said"
check 'and nothing was written' cmp "$disk" "$TMP/before"
garbage "$disk"
ask '\ndisk\n' "$S"
check 'ends well' grep -q 'Done. Remove the medium' "$TMP/said"
check 'with a sound root' e2fsck -fn "$fs"
check 'and no state' test ! -e "$S"
echo 'what = this' >"$S"
check 'a state that is none' code 1 'remove the file to begin anew' install --state "$S" --log "$TMP/log"
finish
