#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
# Passwords of an installation: not in the arguments or the environment of any program that it starts, in no log, in no file
# but those that must have the hash.
set -u
. "$SRC/tests/cmd/install.inc"
if ! ldd "$CAIRN" 2>/dev/null | grep -q 'libc\.so' || ldd "$CAIRN" | grep -q asan; then
	echo 'skip: watching programs needs one that is linked dynamically, without sanitizers'
	exit 77
fi
# In every program that is linked dynamically: what it was started with, and what it starts others with.
cat >"$TMP/spy.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
static void tell(char *const *v)
{
	const char *spy = getenv("SPY");
	int fd = spy ? open(spy, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	for (; fd >= 0 && v && *v; v++)
		if (write(fd, *v, strlen(*v)) < 0 || write(fd, "\n", 1) < 0)
			break;
	if (fd >= 0)
		close(fd);
}
__attribute__((constructor)) static void born(int argc, char **argv, char **envp)
{
	(void)argc;
	tell(argv);
	tell(envp);
}
int execve(const char *path, char *const argv[], char *const envp[])
{
	int (*next)(const char *, char *const *, char *const *) = dlsym(RTLD_NEXT, "execve");

	tell(argv);
	tell(envp);
	return next(path, argv, envp);
}
int execvpe(const char *path, char *const argv[], char *const envp[])
{
	int (*next)(const char *, char *const *, char *const *) = dlsym(RTLD_NEXT, "execvpe");

	tell(argv);
	tell(envp);
	return next(path, argv, envp);
}
C
${CC:-cc} -shared -fPIC -O1 -o "$TMP/spy.so" "$TMP/spy.c" -ldl || exit 1
SPY=$TMP/seen LD_PRELOAD=$TMP/spy.so env X=canary-1 sh -c : canary-2
check 'arguments and environment are seen' sh -c "grep -qx X=canary-1 '$TMP/seen' && grep -qx canary-2 '$TMP/seen'"
rm -f "$TMP/seen"
disk=$TMP/disk S=$TMP/state
garbage "$disk"
mkdir "$TMP/scratch"
printf 'de-latin1\nUTC\nstone\ndhcp\n\n' >"$TMP/lines"
printf 'canary-word\ncanary-word\n\nann\ncanary-ann\ncanary-ann\n\n\nno\n\ndisk\n' >"$TMP/more"
ask() { # FILE
	TMPDIR=$TMP/scratch SPY=$TMP/seen LD_PRELOAD=$TMP/spy.so "$CAIRN" install --root "$R" --modules "$TMP/world" --quiet --state "$S" --log "$TMP/log" <"$1" >>"$TMP/said" 2>&1
}
umask 022
ask "$TMP/lines"
sed -i "s/^page = .*/page = users/; s|^ssh|disk = $disk\n&|" "$S"
# Up to the review, to see the state with the hashes.
head -n 9 "$TMP/more" >"$TMP/some"
ask "$TMP/some"
hash=$(sed -n 's/^password = \(\$6\$.*\)/\1/p' "$S" | head -n 1)
check 'there is a hash' test -n "$hash"
check 'in a private file' test "$(stat -c %a "$S")" = 600
tail -n 2 "$TMP/more" >"$TMP/rest"
ask "$TMP/rest"
check 'ends well' grep -q 'Done. Remove the medium' "$TMP/said"
check 'programs were watched' sh -c "grep -qx mkpasswd '$TMP/seen' && grep -q mke2fs '$TMP/seen' && grep -q ^PATH= '$TMP/seen'"
check 'none was started with a password' sh -c "! grep -e canary -e '\$6\$' '$TMP/seen'"
check 'the log is private' test "$(stat -c %a "$TMP/log")" = 600
check 'and has neither' sh -c "! grep -e canary -e '\$6\$' '$TMP/log'"
check 'passwords are not shown' sh -c "! grep canary '$TMP/said'"
check 'nothing is left of the scratch files' test -z "$(ls -A "$TMP/scratch")"
check 'nor of the state' test ! -e "$S"
check 'no password in the store' sh -c "! grep -rl canary '$R'"
check 'nor on the disk' sh -c "! grep -qa canary '$disk'"
# The same by answers.
answers "$TMP/a" "$disk"
: >"$TMP/seen"
SPY=$TMP/seen LD_PRELOAD=$TMP/spy.so "$CAIRN" install --root "$R" --modules "$TMP/world" --quiet --answers "$TMP/a" >"$TMP/said" 2>&1
check 'by answers' grep -qx installed "$TMP/said"
check 'no program is started with a hash' sh -c "grep -q mke2fs '$TMP/seen' && ! grep '\$6\$' '$TMP/seen'"
check 'nor is one shown' sh -c "! grep '\$6\$' '$TMP/said'"
finish
