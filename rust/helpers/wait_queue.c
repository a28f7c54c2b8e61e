// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/wait_queue.rs. */

#include <linux/sched.h>
#include <linux/wait.h>

#include "helpers.h"

unsigned long sysgenid_helper_wait_queue_lock(struct wait_queue_head *head)
	__acquires(&head->lock)
{
	unsigned long flags;

	spin_lock_irqsave(&head->lock, flags);
	return flags;
}

void sysgenid_helper_wait_queue_unlock(struct wait_queue_head *head, unsigned long flags)
	__releases(&head->lock)
{
	spin_unlock_irqrestore(&head->lock, flags);
}

void sysgenid_helper_cond_resched(void)
{
	cond_resched();
}
