/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Downloads by HTTP and FTP. Only this file's .c knows libcurl. */
#pragma once

#include <stdint.h>

#include "store/store.h"

typedef void fetch_progress_fn(void *arg, const char *url, uint64_t total, uint64_t done);

struct fetch {
	const char *const *urls; /* in order; mirror:// allowed */
	size_t nurls;
	const struct digest *want;
	int dirfd;
	const char *name;  /* made anew */
	const char *label; /* in messages; NULL: name */
	unsigned mode;
	bool nar;		     /* want is the hash of the file as a NAR, mode and all */
	fetch_progress_fn *progress; /* NULL: none */
	void *arg;
};

/* The file appears only with the wanted hash. URLs that fail for a reason that may pass (a server
 * that does not answer, an answer cut short) are tried again a few times, after all others were
 * tried. When all fail, each is named with its reason, without user names and passwords. */
int fetch_run(const struct fetch *f, struct err *e);

/* Hosts that could not be reached are asked last for some minutes. What this process and its
 * children (after fetch_hosts_share) found out can be kept in dirfd/unreachable. */
void fetch_hosts_share(void);
void fetch_hosts_load(int dirfd);
void fetch_hosts_save(int dirfd);
