// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/rng.rs. */

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/sched.h>

#include "helpers.h"

/* For a file that has the operation. In any context that the operation allows. */
long sysgenid_helper_ioctl_as_kernel(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct cred *cred = override_creds(kernel_cred());
	unsigned int used = current->flags & PF_SUPERPRIV;
	long ret = file->f_op->unlocked_ioctl(file, cmd, arg);

	/* It is not the task, which happens to run here, that has used a privilege. */
	if (!used)
		current->flags &= ~PF_SUPERPRIV;
	revert_creds(cred);
	return ret;
}

/*
 * The kernel exports this only where its own VMGENID driver is a module, and has
 * it only where there is such a driver. A weak symbol that nobody exports, or
 * that nobody has, is NULL.
 */
#pragma weak add_vmfork_randomness

/*
 * Kept in memory: for arm64 the compiler would take the address of a weak symbol
 * from a table that modules have not got.
 */
static typeof(add_vmfork_randomness) *exported = add_vmfork_randomness;

bool sysgenid_helper_try_add_vmfork_randomness(const void *id, size_t len)
{
	typeof(add_vmfork_randomness) *add = READ_ONCE(exported);

	if (!add)
		return false;
	add(id, len);
	return true;
}
