// SPDX-License-Identifier: GPL-2.0
/*
 * Exports add_vmfork_randomness(), as kernels do whose own VMGENID driver is a
 * module, and does nothing in it but to keep what it is given. For kernels that
 * export none: what they have is not called.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/string.h>

static unsigned int calls;
module_param(calls, uint, 0444);
MODULE_PARM_DESC(calls, "how often it was called");

static char id[2 * 16 + 1];
module_param_string(id, id, sizeof(id), 0444);
MODULE_PARM_DESC(id, "what it was given last, in hexadecimal digits");

void add_vmfork_randomness(const void *unique_vm_id, size_t len);

void add_vmfork_randomness(const void *unique_vm_id, size_t len)
{
	snprintf(id, sizeof(id), "%*phN", (int)len, unique_vm_id);
	calls++;
}
EXPORT_SYMBOL_GPL(add_vmfork_randomness);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of what kernels do that export add_vmfork_randomness()");
