/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/hosts.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/text.h"

#define HOSTS_MAX     64
#define HOST_MAX      120
#define HOSTS_OFFLINE 3 /* so many unreachable hosts mean: no way out of here */

struct host {
	char name[HOST_MAX];
	int64_t until; /* Unix seconds */
};

struct hosts {
	struct host v[HOSTS_MAX];
	unsigned next;	 /* slot to overwrite */
	int64_t reached; /* last time an upstream host answered */
};

static struct hosts own, *hosts = &own;

void hosts_share(void)
{
	if (hosts != &own)
		return;
	void *p = mmap(NULL, sizeof(*hosts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	if (p != MAP_FAILED) /* else children keep what they learn to themselves */
		hosts = p;
}

static bool is_bad(const char *name, int64_t now)
{
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (hosts->v[i].until > now && strncmp(hosts->v[i].name, name, HOST_MAX) == 0)
			return true;
	return false;
}

static void set_bad(const char *name, int64_t until)
{
	if (!*name || strlen(name) >= HOST_MAX)
		return;
	struct host *h = &hosts->v[hosts->next++ % HOSTS_MAX];
	h->until = 0; /* readers in other processes see no half name */
	memcpy(h->name, name, strlen(name) + 1);
	h->until = until;
}

/* Host of url into out; "" when there is none. */
static void url_host(const char *url, char out[HOST_MAX])
{
	out[0] = 0;
	const char *p = strstr(url, "://");
	if (!p)
		return;
	p += 3;
	size_t n = strcspn(p, "/?#");
	for (size_t i = 0; i < n; i++)
		if (p[i] == '@') { /* past the user */
			p += i + 1;
			n -= i + 1;
			i = (size_t)-1;
		}
	if (n < HOST_MAX) {
		memcpy(out, p, n);
		out[n] = 0;
	}
}

bool hosts_is_bad(const char *url)
{
	char host[HOST_MAX];
	url_host(url, host);
	return is_bad(host, time(NULL));
}

void hosts_set_bad(const char *url, int64_t seconds)
{
	char host[HOST_MAX];
	int64_t now = time(NULL);
	url_host(url, host);
	if (!is_bad(host, now))
		set_bad(host, now + seconds);
}

bool hosts_offline(void)
{
	int64_t now = time(NULL);
	unsigned n = 0;
	for (size_t i = 0; i < HOSTS_MAX; i++)
		n += hosts->v[i].until > now;
	return n >= HOSTS_OFFLINE && hosts->reached + HOSTS_FORGET < now;
}

void hosts_reached(void)
{
	hosts->reached = time(NULL);
}

void hosts_load(int dirfd)
{
	auto_str struct str text = STR_INIT;
	if (file_read(dirfd, "unreachable", &text, 1 << 16, NULL))
		return;
	struct slice rest = str_slice(&text), line, name;
	int64_t now = time(NULL);
	while (slice_cut(&rest, '\n', &line)) {
		uint64_t until;
		char buf[HOST_MAX];
		if (!slice_cut(&line, ' ', &name) || text_u64(line, INT64_MAX, &until) ||
		    name.n >= sizeof(buf) || (int64_t)until > now + HOSTS_FORGET)
			continue;
		memcpy(buf, name.p, name.n);
		buf[name.n] = 0;
		if ((int64_t)until > now && !is_bad(buf, now))
			set_bad(buf, (int64_t)until);
	}
}

void hosts_save(int dirfd)
{
	auto_str struct str text = STR_INIT;
	int64_t now = time(NULL);
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (hosts->v[i].until > now)
			str_addf(&text, "%.*s %lld\n", HOST_MAX - 1, hosts->v[i].name,
				 (long long)hosts->v[i].until);
	if (!text.len && faccessat(dirfd, "unreachable", F_OK, 0) < 0)
		return;
	/* Lost at a crash without harm: not worth a wait for the disk. */
	auto_fd int fd = openat(dirfd, "unreachable",
				O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0 && !str_err(&text))
		(void)fd_write_full(fd, text.buf, text.len);
}
