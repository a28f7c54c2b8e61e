/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Static inline functions and weak symbols of the kernel, for Rust: what each
 * does is said where it is used.
 */
#ifndef _SYSGENID_HELPERS_H
#define _SYSGENID_HELPERS_H

#include <linux/acpi.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/mm_types.h>
#include <linux/notifier.h>
#include <linux/pm_domain.h>
#include <linux/types.h>
#include <linux/wait.h>

acpi_handle sysgenid_helper_acpi_handle(struct device *dev);
void sysgenid_helper_device_lock(struct device *dev);
void sysgenid_helper_device_unlock(struct device *dev);
void *sysgenid_helper_page_address(struct page *page);
const struct cred *sysgenid_helper_override_kernel_cred(void);
void sysgenid_helper_revert_cred(const struct cred *cred);
bool sysgenid_helper_has_encrypted_memory(void);
void sysgenid_helper_dev_pm_domain_set(struct device *dev, struct dev_pm_domain *domain);
int sysgenid_helper_put_user_u32(u32 value, u32 __user *to);
int sysgenid_helper_get_user_u32(u32 *value, const u32 __user *from);
unsigned long sysgenid_helper_wait_queue_lock(struct wait_queue_head *head)
	__acquires(&head->lock);
void sysgenid_helper_wait_queue_unlock(struct wait_queue_head *head, unsigned long flags)
	__releases(&head->lock);
void sysgenid_helper_cond_resched(void);
/* <linux/random.h> declares it only where there is a VMGENID driver. */
void add_vmfork_randomness(const void *unique_vm_id, size_t len);
void sysgenid_helper_call_notifiers(u32 generation);
bool sysgenid_helper_try_add_vmfork_randomness(const void *id, size_t len);
int sysgenid_helper_register_vmfork_notifier(struct notifier_block *nb);
void sysgenid_helper_unregister_vmfork_notifier(struct notifier_block *nb);

#endif /* _SYSGENID_HELPERS_H */
