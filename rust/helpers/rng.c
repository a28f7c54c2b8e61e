// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/rng.rs. */

#include <linux/cred.h>
#include <linux/random.h>

#include "helpers.h"

const struct cred *sysgenid_helper_override_kernel_cred(void)
{
	return override_creds(kernel_cred());
}

void sysgenid_helper_revert_cred(const struct cred *cred)
{
	revert_creds(cred);
}

/*
 * The kernel exports this only where its own VMGENID driver is a module. The
 * module loader resolves a weak symbol that nobody exports to NULL.
 */
#pragma weak add_vmfork_randomness

bool sysgenid_helper_try_add_vmfork_randomness(const void *id, size_t len)
{
	if (!add_vmfork_randomness)
		return false;
	add_vmfork_randomness(id, len);
	return true;
}
