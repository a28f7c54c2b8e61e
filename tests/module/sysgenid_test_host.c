// SPDX-License-Identifier: GPL-2.0
/*
 * Plays the hypervisor at a moment that no host could choose: gives the system
 * another hardware ID whenever a function of the kernel is called, as if a
 * snapshot had been taken there, and this was a clone of it.
 */
#include <linux/hex.h>
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>

#define ID_SIZE 16

static unsigned long paddr;
module_param(paddr, ulong, 0444);
MODULE_PARM_DESC(paddr, "where the ID is");

static char *symbol;
module_param(symbol, charp, 0444);
MODULE_PARM_DESC(symbol, "the function");

static char *comm = "";
module_param(comm, charp, 0444);
MODULE_PARM_DESC(comm, "the name of the task that calls it; empty for any");

static int second = -1;
module_param(second, int, 0444);
MODULE_PARM_DESC(second, "its second argument; -1 for any");

static char *id = "";
module_param(id, charp, 0444);
MODULE_PARM_DESC(id, "the other ID, in hexadecimal digits; its last byte grows each time");

static unsigned int restores = 1;
module_param(restores, uint, 0444);
MODULE_PARM_DESC(restores, "how often the ID is still to change");

static u8 *live;
static u8 other[ID_SIZE];

static int called(struct kprobe *probe, struct pt_regs *regs)
{
	if (!restores || (*comm && strcmp(comm, current->comm)) ||
	    (second >= 0 && (int)regs_get_kernel_argument(regs, 1) != second))
		return 0;

	restores--;
	memcpy(live, other, sizeof(other));
	other[ID_SIZE - 1]++;
	return 0;
}

static struct kprobe probe = { .pre_handler = called };

static int __init host_init(void)
{
	int err;

	if (strlen(id) != 2 * sizeof(other) || hex2bin(other, id, sizeof(other)))
		return -EINVAL;
	live = memremap(paddr, sizeof(other), MEMREMAP_WB);
	if (!live)
		return -ENOMEM;
	probe.symbol_name = symbol;
	err = register_kprobe(&probe);
	if (err)
		memunmap(live);
	return err;
}
module_init(host_init);

static void __exit host_exit(void)
{
	unregister_kprobe(&probe);
	memunmap(live);
}
module_exit(host_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of hardware IDs that change at the worst moments");
