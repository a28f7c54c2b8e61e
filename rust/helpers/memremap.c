// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/memremap.rs. */

#include <linux/cc_platform.h>

#include "helpers.h"

bool sysgenid_helper_has_encrypted_memory(void)
{
	return cc_platform_has(CC_ATTR_MEM_ENCRYPT);
}
