// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/irq_lock.rs and rust/kernel/wait_queue.rs. */

#include <linux/spinlock.h>

#include "helpers.h"

unsigned long sysgenid_helper_spin_lock_irqsave(spinlock_t *lock)
	__acquires(lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

bool sysgenid_helper_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags)
{
	return spin_trylock_irqsave(lock, *flags);
}

void sysgenid_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
	__releases(lock)
{
	spin_unlock_irqrestore(lock, flags);
}
