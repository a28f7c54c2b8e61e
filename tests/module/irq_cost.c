// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what the kernel does in a hard interrupt that comes by a line and is
 * nobody's: the processor's cycles, which are instructions where QEMU counts
 * them as such. Of many interrupts the least counts.
 *
 * The interrupts are made up: a timer's handler calls that of the line.
 */
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/irq.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/timex.h>

#define INTERRUPTS	40

/* Until the line's threads have ended, as they keep it masked. */
#define INTERVAL	(20 * NSEC_PER_MSEC)

static unsigned int irq;
module_param(irq, uint, 0444);
MODULE_PARM_DESC(irq, "the interrupt, as /proc/interrupts numbers it");

static ulong least = ULONG_MAX;
module_param(least, ulong, 0444);
MODULE_PARM_DESC(least, "what the cheapest interrupt has cost");

static struct hrtimer timer;
static int left = INTERRUPTS;
static int error;
static DECLARE_COMPLETION(done);

static enum hrtimer_restart interrupt(struct hrtimer *unused)
{
	cycles_t start = get_cycles();

	error = generic_handle_irq_safe(irq);
	least = min_t(ulong, least, get_cycles() - start);

	left--;
	if (error || !left) {
		complete(&done);
		return HRTIMER_NORESTART;
	}
	hrtimer_forward_now(&timer, INTERVAL);
	return HRTIMER_RESTART;
}

static int __init cost_init(void)
{
	hrtimer_setup(&timer, interrupt, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&timer, INTERVAL, HRTIMER_MODE_REL_HARD);
	wait_for_completion(&done);
	hrtimer_cancel(&timer);
	return error;
}
module_init(cost_init);

static void __exit cost_exit(void)
{
}
module_exit(cost_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Counts what an interrupt that is nobody's costs");
