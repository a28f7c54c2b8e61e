// SPDX-License-Identifier: GPL-2.0
/*
 * Requests an interrupt that somebody has already, as shared and otherwise in
 * the way of ACPI's own handlers, and gives it back at once. What the kernel has
 * said to that is in a parameter.
 */
#include <linux/interrupt.h>
#include <linux/module.h>

static unsigned int irq;
module_param(irq, uint, 0444);
MODULE_PARM_DESC(irq, "the interrupt, as /proc/interrupts numbers it");

static int error;
module_param(error, int, 0444);
MODULE_PARM_DESC(error, "0, or why it is refused");

static irqreturn_t never_ours(int number, void *data)
{
	return IRQ_NONE;
}

static int __init second_init(void)
{
	error = request_threaded_irq(irq, NULL, never_ours, IRQF_SHARED | IRQF_ONESHOT,
				     "irq_second", &error);
	if (!error)
		free_irq(irq, &error);
	return 0;
}
module_init(second_init);

static void __exit second_exit(void)
{
}
module_exit(second_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of who may share an interrupt");
