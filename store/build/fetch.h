/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Downloads of files whose hash is known, from the first place that has them. */
#pragma once

#include <stdint.h>

#include "store/build/transfer.h"

struct fetch {
	const char *const *urls; /* in order; mirror:// allowed */
	size_t nurls;
	const struct digest *want;
	int dirfd;
	const char *name;  /* made anew */
	const char *label; /* in messages; NULL: name */
	unsigned mode;
	uint64_t limit; /* bytes; 0: LIMIT_DOWNLOAD */
	bool nar;	/* want is the hash of the file as a NAR, mode and all */
	bool unchecked; /* want is of what will be made of the file: nobody looks here */
	transfer_progress_fn *progress; /* NULL: none */
	void *arg;
};

/* The file appears only with the wanted hash. URLs that fail for a reason that may pass (a server
 * that does not answer, an answer cut short) are tried again a few times, after all others were
 * tried. When all fail, each is named with its reason, without user names and passwords. */
int fetch_run(const struct fetch *f, struct err *e);
