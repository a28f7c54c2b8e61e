// SPDX-License-Identifier: GPL-2.0
/*
 * Exports add_vmfork_randomness(), as kernels do whose own VMGENID driver is a
 * module, and does nothing in it but to keep what it is given, and what one of
 * the kernel's subscribers to forks would do. For kernels that export none: what
 * they have is not called.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/string.h>

#include "files.h"

static unsigned int calls;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "how often it was called");

static char id[2 * 16 + 1];
module_param_string(id, id, sizeof(id), 0444);
MODULE_PARM_DESC(id, "what it was given last, in hexadecimal digits");

static char *path = "";
module_param(path, charp, 0444);
MODULE_PARM_DESC(path, "a file that a subscriber opens");

static int failed;
module_param(failed, int, 0444);
MODULE_PARM_DESC(failed, "how that has failed last");

static unsigned long shown;
module_param(shown, ulong, 0444);
MODULE_PARM_DESC(shown, "the generation that such a subscriber has found in sysfs");

void add_vmfork_randomness(const void *unique_vm_id, size_t len);

void add_vmfork_randomness(const void *unique_vm_id, size_t len)
{
	snprintf(id, sizeof(id), "%*phN", (int)len, unique_vm_id);
	if (*path) {
		failed = open_file(path) ?: failed;
		shown = shown_generation();
	}
	calls++;
}
EXPORT_SYMBOL_GPL(add_vmfork_randomness);

static int __init vmfork_init(void)
{
	get_files();
	return 0;
}
module_init(vmfork_init);

static void __exit vmfork_exit(void)
{
	put_files();
}
module_exit(vmfork_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of what kernels do that export add_vmfork_randomness()");
