// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/cross_call.rs. */

#include <linux/cpumask.h>
#include <linux/smp.h>

#include "helpers.h"

/* For contexts in which the task stays on its processor. */
unsigned int sysgenid_helper_this_cpu(void)
{
	return smp_processor_id();
}

/* How many there may ever be. */
unsigned int sysgenid_helper_cpu_count(void)
{
	return nr_cpu_ids;
}

void sysgenid_helper_kick_all_cpus_sync(void)
{
	kick_all_cpus_sync();
}

bool sysgenid_helper_cpu_online(unsigned int cpu)
{
	return cpu_online(cpu);
}
