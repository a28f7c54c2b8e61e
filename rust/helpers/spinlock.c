// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/irq_lock.rs and rust/kernel/wait_queue.rs. */

#include <linux/lockdep.h>
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

/*
 * To lockdep, a lock under which one may take what sleeps on PREEMPT_RT, as far
 * as one may here without it.
 */
static DEFINE_WAIT_OVERRIDE_MAP(unless_rt, LD_WAIT_CONFIG);

void sysgenid_helper_begin_unless_rt(void)
{
	lock_map_acquire_try(&unless_rt);
}

void sysgenid_helper_end_unless_rt(void)
{
	lock_map_release(&unless_rt);
}
