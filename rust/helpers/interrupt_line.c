// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/interrupt_line.rs. */

#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/tracepoint.h>

#include "helpers.h"

/* Whether a line may go to any processor, so that nobody has chosen some. */
bool sysgenid_helper_irq_may_move(unsigned int irq, unsigned int cpu)
{
	const struct cpumask *mask = irq_get_affinity_mask(irq);

	return mask && cpu_online(cpu) && cpumask_subset(cpu_online_mask, mask) &&
	       irq_can_set_affinity(irq);
}

/* Whether a line may go to one processor alone. */
bool sysgenid_helper_irq_is_bound_to(unsigned int irq, unsigned int cpu)
{
	const struct cpumask *mask = irq_get_affinity_mask(irq);

	return mask && cpumask_equal(mask, cpumask_of(cpu));
}

/* Whether the next interrupt goes to a processor, for certain. */
bool sysgenid_helper_irq_goes_to(unsigned int irq, unsigned int cpu)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data && !irqd_is_setaffinity_pending(data) &&
	       cpumask_equal(irq_data_get_effective_affinity_mask(data), cpumask_of(cpu));
}

int sysgenid_helper_irq_bind_to(unsigned int irq, unsigned int cpu)
{
	return irq_set_affinity(irq, cpumask_of(cpu));
}

int sysgenid_helper_irq_unbind(unsigned int irq)
{
	return irq_set_affinity(irq, cpu_possible_mask);
}

void sysgenid_helper_tracepoint_synchronize_unregister(void)
{
	tracepoint_synchronize_unregister();
}
