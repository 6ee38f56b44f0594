// SPDX-License-Identifier: GPL-3.0-or-later
// service INDEX [deaf]: says in its slot of the page that it runs, and waits to be killed. A deaf
// one takes no TERM.
#include "page.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = open(PAGE_PATH, O_RDWR | O_CLOEXEC);
	struct page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || page == MAP_FAILED || argc < 2)
		return 1;
	if (argc > 2)
		signal(SIGTERM, SIG_IGN);
	struct slot *slot = &page->slot[strtoul(argv[1], NULL, 10) % SLOTS];
	slot->pid = (uint32_t)getpid();
	slot->last = now();
	if (slot->starts == 0)
		slot->first = slot->last;
	__atomic_add_fetch(&slot->starts, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}
