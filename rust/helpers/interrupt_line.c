// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/interrupt_line.rs. */

#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/tracepoint.h>

#include "helpers.h"

/* irq_can_set_affinity(), which is exported since Linux 7.3. */
static bool can_set_affinity(struct irq_data *data)
{
	struct irq_chip *chip = irq_data_get_irq_chip(data);

	return irqd_can_balance(data) && chip && chip->irq_set_affinity;
}

/* Whether a line may go to any processor, and nobody has chosen just now. */
bool sysgenid_helper_irq_may_move(unsigned int irq, unsigned int cpu)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data && cpu_online(cpu) && can_set_affinity(data) &&
	       !irqd_is_setaffinity_pending(data) &&
	       cpumask_subset(cpu_online_mask, irq_data_get_affinity_mask(data));
}

/* Whether the next interrupt goes to a processor, for certain. */
bool sysgenid_helper_irq_goes_to(unsigned int irq, unsigned int cpu)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data && !irqd_is_setaffinity_pending(data) &&
	       cpumask_equal(irq_data_get_effective_affinity_mask(data), cpumask_of(cpu));
}

int sysgenid_helper_irq_move_to(unsigned int irq, unsigned int cpu)
{
	return irq_set_affinity(irq, cpumask_of(cpu));
}

#ifdef CONFIG_TRACEPOINTS
struct search {
	const char *name;
	struct tracepoint *found;
};

static void compare(struct tracepoint *tracepoint, void *data)
{
	struct search *search = data;

	if (!strcmp(tracepoint->name, search->name))
		search->found = tracepoint;
}

/* NULL if the kernel itself has none of that name. */
struct tracepoint *sysgenid_helper_find_tracepoint(const char *name)
{
	struct search search = { .name = name };

	for_each_kernel_tracepoint(compare, &search);
	return search.found;
}

int sysgenid_helper_tracepoint_probe_register(struct tracepoint *tracepoint, void *probe,
					      void *data)
{
	return tracepoint_probe_register(tracepoint, probe, data);
}

/* Waits until the probe does not run any longer. */
void sysgenid_helper_tracepoint_probe_unregister(struct tracepoint *tracepoint, void *probe,
						 void *data)
{
	tracepoint_probe_unregister(tracepoint, probe, data);
	tracepoint_synchronize_unregister();
}
#else
struct tracepoint *sysgenid_helper_find_tracepoint(const char *name)
{
	return NULL;
}

int sysgenid_helper_tracepoint_probe_register(struct tracepoint *tracepoint, void *probe,
					      void *data)
{
	return -EOPNOTSUPP;
}

void sysgenid_helper_tracepoint_probe_unregister(struct tracepoint *tracepoint, void *probe,
						 void *data)
{
}
#endif
