// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/uaccess.rs. */

#include <linux/uaccess.h>

#include "helpers.h"

int sysgenid_helper_put_user_u32(u32 value, u32 __user *to)
{
	return put_user(value, to);
}

int sysgenid_helper_get_user_u32(u32 *value, const u32 __user *from)
{
	return get_user(*value, from);
}
