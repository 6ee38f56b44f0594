/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 *     nthcall LOG all COMMAND...
 *
 * Every system call of COMMAND and of all that it starts, one a line: whose, and its number.
 *
 *     nthcall LOG CALL WHO NTH[+] ERROR LINK COMMAND...
 *
 * The NTH such call of WHO, and of a + all later ones, fails with ERROR.
 *
 * Processes are named by their descent, so that they are the same ones in each run: 0 is COMMAND,
 * 0.2 the second that it starts, 0.2.1 the first of that one. LOG says what failed, and what LINK
 * was then, and who was killed. It ends when all of them have ended, with the status of COMMAND. A
 * filter stops them at that kind of call alone.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_TASKS 4096

struct task {
	pid_t pid;
	char name[64]; /* empty: it stopped before its parent said that it exists */
	int children, calls;
};

static struct task tasks[LIMIT_TASKS];
static int count;
static FILE *out;
static const char *who, *link_path;
static int call = -1, nth, error;
static bool lasting;

static void fail(const char *what)
{
	perror(what);
	exit(125);
}

static struct task *find(pid_t pid)
{
	for (int i = 0; i < count; i++)
		if (tasks[i].pid == pid)
			return &tasks[i];
	if (count == LIMIT_TASKS) {
		errno = EMFILE;
		fail("processes");
	}
	tasks[count] = (struct task){ .pid = pid };
	return &tasks[count++];
}

static void resume(pid_t pid, int sig)
{
	if (ptrace(PTRACE_CONT, pid, 0, sig) < 0 && errno != ESRCH)
		fail("PTRACE_CONT");
}

static void at_call(struct task *t)
{
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, t->pid, 0, &regs) < 0)
		return; /* it was killed meanwhile */
	if (call < 0) {
		fprintf(out, "%s %lld\n", t->name, regs.orig_rax);
		return;
	}
	if (strcmp(t->name, who) != 0 || (++t->calls != nth && !(lasting && t->calls > nth)))
		return;
	char at[256];
	ssize_t n = readlink(link_path, at, sizeof(at) - 1);
	fprintf(out, "failed %.*s\n", (int)(n < 0 ? 0 : n), at);
	regs.orig_rax = -1ULL;
	regs.rax = (unsigned long long)-error;
	(void)ptrace(PTRACE_SETREGS, t->pid, 0, &regs);
}

static void at_birth(struct task *parent)
{
	unsigned long pid = 0;
	if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) < 0)
		return;
	int before = count;
	struct task *t = find((pid_t)pid);
	int n = snprintf(t->name, sizeof(t->name), "%s.%d", parent->name, ++parent->children);
	if (n >= (int)sizeof(t->name))
		fail("a name");
	if (count == before)
		resume(t->pid, 0);
}

static void at_stop(pid_t pid, int status)
{
	bool is_new = true;
	for (int i = 0; i < count; i++)
		is_new = is_new && tasks[i].pid != pid;
	struct task *t = find(pid);
	switch (status >> 16) {
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		at_birth(t);
		break;
	case PTRACE_EVENT_SECCOMP:
		at_call(t);
		break;
	case PTRACE_EVENT_EXEC:
		if (call < 0)
			fprintf(out, "%s exec\n", t->name);
		break;
	case PTRACE_EVENT_STOP:
		if (is_new)
			return; /* until its parent's event names it */
		if (WSTOPSIG(status) != SIGTRAP) {
			(void)ptrace(PTRACE_LISTEN, pid, 0, 0);
			return;
		}
		break;
	default:
		resume(pid, WSTOPSIG(status));
		return;
	}
	resume(pid, 0);
}

static void start(char **argv, int gate)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE) };
	struct sock_filter one[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { .len = call < 0 ? 1 : 4, .filter = call < 0 ? all : one };
	char c;
	if (read(gate, &c, 1) != 1)
		_exit(125);
	if (getuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(125);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) < 0)
		_exit(125);
	execv(argv[0], argv);
	_exit(125);
}

int main(int argc, char **argv)
{
	int first = 3, gate[2], status, result = 125;
	if (argc > 8 && strcmp(argv[2], "all") != 0) {
		call = atoi(argv[2]);
		who = argv[3];
		nth = atoi(argv[4]);
		lasting = strchr(argv[4], '+') != NULL;
		error = atoi(argv[5]);
		link_path = argv[6];
		first = 7;
	}
	if (argc <= first || !(out = fopen(argv[1], "we")) || pipe(gate) < 0)
		fail("nthcall");
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(gate[1]);
		start(argv + first, gate[0]);
	}
	long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		       PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0)
		fail("PTRACE_SEIZE");
	close(gate[0]);
	strcpy(find(pid)->name, "0");
	if (write(gate[1], "g", 1) != 1)
		fail("write");
	close(gate[1]);
	for (pid_t p; (p = waitpid(-1, &status, __WALL)) > 0;) {
		if (WIFSTOPPED(status)) {
			at_stop(p, status);
			continue;
		}
		struct task *t = find(p);
		if (WIFSIGNALED(status))
			fprintf(out, "killed %s %d\n", t->name, WTERMSIG(status));
		if (p == pid)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		*t = tasks[--count];
	}
	return fclose(out) != 0 ? 125 : result;
}
