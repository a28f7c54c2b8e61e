// SPDX-License-Identifier: GPL-2.0
/*
 * Refuses the driver of a module that insmod loads, as if there were no memory
 * left for a link to it: at the end of its registration, when it has its devices.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/sysfs.h>

static unsigned int refused;
module_param(refused, uint, 0444);
MODULE_PARM_DESC(refused, "how often a driver was refused");

/* In place of sysfs_create_link(). */
static int refuse(struct kobject *kobj, struct kobject *target, const char *name)
{
	refused++;
	return -ENOMEM;
}

static int called(struct kprobe *probe, struct pt_regs *regs)
{
	const char *name = (const char *)regs_get_kernel_argument(regs, 2);

	/* The link from a driver to its module. */
	if (strcmp(current->comm, "insmod") || strcmp(name, "module"))
		return 0;

	instruction_pointer_set(regs, (unsigned long)refuse);
	return 1;
}

/* With one, a probe may change where to go on. */
static void after(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe probe = {
	.symbol_name = "sysfs_create_link",
	.pre_handler = called,
	.post_handler = after,
};

static int __init refuse_init(void)
{
	return register_kprobe(&probe);
}
module_init(refuse_init);

static void __exit refuse_exit(void)
{
	unregister_kprobe(&probe);
}
module_exit(refuse_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of drivers that cannot be registered");
