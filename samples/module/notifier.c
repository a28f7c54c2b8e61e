// SPDX-License-Identifier: GPL-2.0
/*
 * A module that hears of each generation, and renews what must be unique.
 *
 *	make -C KDIR M=$PWD/samples/module \
 *	     KBUILD_EXTRA_SYMBOLS=$PWD/Module.symvers modules
 *
 * builds it after "make modules KDIR=..." has built sysgenid.ko.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/random.h>
#include <linux/sysgenid.h>

static u64 session;

static void renew(void)
{
	session = get_random_u64();
	pr_info("session %016llx\n", session);
}

static int new_generation(struct notifier_block *nb, unsigned long generation, void *data)
{
	pr_info("generation %lu\n", generation);
	renew();
	return NOTIFY_OK;
}

static struct notifier_block nb = { .notifier_call = new_generation };

static int __init notifier_init(void)
{
	int err = sysgenid_register_notifier(&nb);

	if (err)
		return err;
	/* After that, so that a clone in between does not go unheard. */
	renew();
	return 0;
}
module_init(notifier_init);

static void __exit notifier_exit(void)
{
	sysgenid_unregister_notifier(&nb);
}
module_exit(notifier_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Sample of sysgenid_register_notifier()");
