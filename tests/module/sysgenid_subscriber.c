// SPDX-License-Identifier: GPL-2.0
/*
 * Subscribes to new generations, as a driver would that has something to renew,
 * and to the kernel's own notification of forks. What it has seen is in its
 * parameters.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sysgenid.h>

static unsigned long generation;
module_param(generation, ulong, 0444);
MODULE_PARM_DESC(generation, "the latest generation");

static unsigned int calls;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "how many generations there were");

static unsigned int wrong;
module_param(wrong, uint, 0444);
MODULE_PARM_DESC(wrong, "how many came out of order, or at the same time as another");

static unsigned long drawn;
module_param(drawn, ulong, 0444);
MODULE_PARM_DESC(drawn, "a random number drawn when told of the latest generation");

static unsigned int forks;
module_param(forks, uint, 0444);
MODULE_PARM_DESC(forks, "how many forks the kernel's own driver has told of");

static int next_generation(struct notifier_block *nb, unsigned long next, void *data)
{
	static atomic_t running;

	if (atomic_inc_return(&running) != 1 || next <= generation)
		wrong++;
	drawn = get_random_long();
	/* Which a subscriber may. */
	usleep_range(100, 200);
	generation = next;
	calls++;
	atomic_dec(&running);
	return NOTIFY_OK;
}

static int vm_fork(struct notifier_block *nb, unsigned long action, void *data)
{
	forks++;
	return NOTIFY_OK;
}

static struct notifier_block generation_nb = { .notifier_call = next_generation };
static struct notifier_block fork_nb = { .notifier_call = vm_fork };

static int __init subscriber_init(void)
{
	int err = sysgenid_register_notifier(&generation_nb);

	if (err)
		return err;
	err = register_random_vmfork_notifier(&fork_nb);
	if (err)
		sysgenid_unregister_notifier(&generation_nb);
	return err;
}
module_init(subscriber_init);

static void __exit subscriber_exit(void)
{
	unregister_random_vmfork_notifier(&fork_nb);
	sysgenid_unregister_notifier(&generation_nb);
}
module_exit(subscriber_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of sysgenid_register_notifier()");
