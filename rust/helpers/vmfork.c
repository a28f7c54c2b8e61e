// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/vmfork.rs: inline functions where there is no VMGENID driver. */

#include <linux/random.h>

#include "helpers.h"

int sysgenid_helper_register_vmfork_notifier(struct notifier_block *nb)
{
	return register_random_vmfork_notifier(nb);
}

void sysgenid_helper_unregister_vmfork_notifier(struct notifier_block *nb)
{
	unregister_random_vmfork_notifier(nb);
}
