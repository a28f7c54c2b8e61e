// SPDX-License-Identifier: GPL-2.0
/*
 * sysgenid_check() of lib/sysgenid.h, or of a copy with an error in it, whose
 * loads are those of the model. Built with CHECK, the name that the model calls
 * it by.
 */
#include <linux/types.h>

struct sysgenid;

static __u64 load(const struct sysgenid *sg, const void *word, int order);

#define __atomic_load_n(word, order) load(sg, (word), (order))
#include "sysgenid.h"

/* The same numbers as in library.rs. */
enum word {
	FLAGS,
	GENERATION,
	PROCESSED_0,
	PROCESSED_1,
	LIVE_0,
	LIVE_1,
};

/*
 * struct check - one call of sysgenid_check()
 * @sg:    what that gets
 * @loads: how it loads, for the model
 * @page:  page 0, of which only the addresses count
 * @live:  the same of the ID in page 1
 */
struct check {
	struct sysgenid sg;
	const void *loads;
	struct sysgenid_page page;
	__u64 live[2];
};

__u64 sysgenid_model_load(const void *loads, enum word word, int order);
int CHECK(const void *loads, __u32 generation);

static __u64 load(const struct sysgenid *sg, const void *word, int order)
{
	const struct check *check = (const struct check *)sg;
	const struct sysgenid_page *page = &check->page;
	const void *words[] = {
		[FLAGS] = &page->flags,
		[GENERATION] = &page->generation,
		[PROCESSED_0] = &page->hwid[0],
		[PROCESSED_1] = &page->hwid[8],
		[LIVE_0] = &check->live[0],
		[LIVE_1] = &check->live[1],
	};
	enum word i;

	for (i = FLAGS; i < LIVE_1 && word != words[i]; i++)
		;
	return sysgenid_model_load(check->loads, i, order);
}

int CHECK(const void *loads, __u32 generation)
{
	struct check check = { .loads = loads };

	check.sg.page = &check.page;
	check.sg.live = check.live;
	return sysgenid_check(&check.sg, generation);
}
