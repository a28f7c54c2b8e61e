// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/uaccess.rs. */

#include <linux/uaccess.h>

#include "helpers.h"

notrace int sysgenid_helper_put_user_u32(u32 value, u32 __user *to)
{
	return put_user_inline(value, to);
}

/* The word, or -EFAULT. */
notrace s64 sysgenid_helper_get_user_u32(const u32 __user *from)
{
	u32 value;

	return get_user_inline(value, from) ? -EFAULT : (s64)value;
}
