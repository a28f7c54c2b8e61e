// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/sysgenid/shared_page.rs. */

#include <linux/mm.h>

#include "helpers.h"

void *sysgenid_helper_page_address(struct page *page)
{
	return page_address(page);
}
