// SPDX-License-Identifier: GPL-2.0
/*
 * Subscribes to new generations, as a driver would that has something to renew,
 * and to the kernel's own notification of forks. What it has seen is in its
 * parameters.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sysgenid.h>

#include "files.h"

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

static char *path = "";
module_param(path, charp, 0444);
MODULE_PARM_DESC(path, "a file to open in each generation");

static bool misc;
module_param(misc, bool, 0444);
MODULE_PARM_DESC(misc, "whether to register and deregister a misc device in each generation");

static int failed;
module_param(failed, int, 0444);
MODULE_PARM_DESC(failed, "how that has failed last");

static unsigned long shown;
module_param(shown, ulong, 0444);
MODULE_PARM_DESC(shown, "the generation that sysfs has then shown");

static const struct file_operations no_operations = { .owner = THIS_MODULE };

static int register_misc_device(void)
{
	struct miscdevice device = {
		.minor = MISC_DYNAMIC_MINOR,
		.name = "sysgenid_subscriber",
		.fops = &no_operations,
	};
	int err = misc_register(&device);

	if (!err)
		misc_deregister(&device);
	return err;
}

static int next_generation(struct notifier_block *nb, unsigned long next, void *data)
{
	static atomic_t running;

	if (atomic_inc_return(&running) != 1 || next <= generation)
		wrong++;
	drawn = get_random_long();
	if (*path)
		failed = open_file(path) ?: failed;
	if (misc)
		failed = register_misc_device() ?: failed;
	if (*path || misc)
		shown = shown_generation();
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
	int err;

	get_files();
	err = sysgenid_register_notifier(&generation_nb);
	if (err)
		goto put;
	err = register_random_vmfork_notifier(&fork_nb);
	if (err)
		goto unregister;
	return 0;

unregister:
	sysgenid_unregister_notifier(&generation_nb);
put:
	put_files();
	return err;
}
module_init(subscriber_init);

static void __exit subscriber_exit(void)
{
	unregister_random_vmfork_notifier(&fork_nb);
	sysgenid_unregister_notifier(&generation_nb);
	put_files();
}
module_exit(subscriber_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of sysgenid_register_notifier()");
