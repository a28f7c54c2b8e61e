// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/wait_queue.rs. */

#include <linux/sched.h>
#include <linux/wait.h>

#include "helpers.h"

void sysgenid_helper_cond_resched(void)
{
	cond_resched();
}
