// SPDX-License-Identifier: GPL-2.0
/*
 * The chain of those in the kernel who want to hear of each new generation.
 * In C for the static initialiser alone; rust/sysgenid/notifiers.rs calls the chain.
 */

#include <linux/export.h>
#include <linux/notifier.h>
#include <linux/sysgenid.h>

#include "../helpers/helpers.h"

static BLOCKING_NOTIFIER_HEAD(sysgenid_chain);

int sysgenid_register_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_register(&sysgenid_chain, nb);
}
EXPORT_SYMBOL_GPL(sysgenid_register_notifier);

int sysgenid_unregister_notifier(struct notifier_block *nb)
{
	return blocking_notifier_chain_unregister(&sysgenid_chain, nb);
}
EXPORT_SYMBOL_GPL(sysgenid_unregister_notifier);

void sysgenid_helper_call_notifiers(u32 generation)
{
	blocking_notifier_call_chain(&sysgenid_chain, generation, NULL);
}
