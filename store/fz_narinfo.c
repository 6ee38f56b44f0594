/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: narinfos of both forms (the first byte says which). Of what is accepted every path is
 * one of the store. One key of each form is trusted, of which one signature is known: what is
 * believed says what was signed. */
#include "store/format/narinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char acl[] = "(acl (entry (public-key (ecc (curve Ed25519) (q "
			  "#58239E212347D5D1C1AB14410DED63A810A37E061241C6E2FCF2EEF1890705CB#))) "
			  "(tag (guix import))))";
static const char nix_key[] = "test-1:HRGeY/iT3OyS9IW35XmJ9tEeTfULiGYljn/an+E4AJw=";

/* What was signed. */
static const struct {
	const char *path, *hash, *ref; /* ref NULL: none */
	uint64_t nar_size;
} known[] = {
	[DIALECT_GUIX] = { "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt",
			   "00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil", NULL, 128 },
	[DIALECT_NIX] = { "/nix/store/xa29p83zmcca0binrxwjiy94drzqdfvr-ref.txt",
			  "0m7pkcdvk9098jfxyk404pgm8s91cl6rcrym1kss0h0lsi0v8dig",
			  "/nix/store/86zk1hg65gxgl73mdz8hp3g2nmmbsdh5-src.txt", 176 },
};

static struct trust trust = TRUST_INIT;

static void make_trust(void)
{
	static bool made;
	char dir[] = "/dev/shm/fz_narinfo.XXXXXX";
	auto_fd int fd = -1;

	if (made)
		return;
	made = true;
	if (!mkdtemp(dir) || (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    file_write_atomic(fd, "acl", acl, strlen(acl), 0600, NULL) < 0 ||
	    trust_load(&trust, dir, NULL) < 0 || trust_add_words(&trust, nix_key, NULL) < 0)
		abort();
	(void)file_delete_tree(AT_FDCWD, dir, NULL, NULL); /* a scratch directory */
}

static bool is_known(enum dialect d, const struct store_info *info)
{
	char hash[DIGEST_TEXT_MAX];
	const char *ref = known[d].ref;

	digest_base32(&info->nar_hash, hash);
	return !strcmp(info->path, known[d].path) && !strcmp(hash, known[d].hash) &&
	       info->nar_size == known[d].nar_size && info->nrefs == (ref ? 1 : 0) &&
	       (!ref || !strcmp(info->refs[0], ref));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const stores[] = { "/gnu/store", "/nix/store" };
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n;
	enum dialect d = size && data[0] == 'G' ? DIALECT_GUIX : DIALECT_NIX;
	int r = size ? narinfo_parse(&a, d, stores[d],
				     (struct slice){ (const char *)data + 1, size - 1 }, &n, &e)
		     : -EINVAL;

	make_trust();
	if (r < 0)
		return 0;
	if (store_path_check(stores[d], slice_of(n->info.path), NULL) || !n->nfiles ||
	    !n->info.nar_size)
		abort();
	for (size_t i = 0; i < n->info.nrefs; i++)
		if (store_path_check(stores[d], slice_of(n->info.refs[i]), NULL))
			abort();
	if (!*n->info.ca && narinfo_check(n, d, stores[d], &trust, &e) == 0 &&
	    !is_known(d, &n->info))
		abort();
	return 0;
}
