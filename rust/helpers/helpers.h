/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Static inline functions and weak symbols of the kernel, for Rust: what each
 * does is said where it is used.
 */
#ifndef _SYSGENID_HELPERS_H
#define _SYSGENID_HELPERS_H

#include <linux/acpi.h>
#include <linux/device.h>
#include <linux/mod_devicetable.h>
#include <linux/mm_types.h>
#include <linux/notifier.h>
#include <linux/pm_domain.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

acpi_handle sysgenid_helper_acpi_handle(struct device *dev);
acpi_status sysgenid_helper_install_timer_handler(acpi_event_handler handler);
void sysgenid_helper_disable_timer_event(void);
void sysgenid_helper_remove_timer_handler(acpi_event_handler handler);
bool sysgenid_helper_matches_ids(struct device *dev, const struct acpi_device_id *acpi,
				 const struct of_device_id *of);
void sysgenid_helper_device_lock(struct device *dev);
void sysgenid_helper_device_unlock(struct device *dev);
void *sysgenid_helper_page_address(struct page *page);
bool sysgenid_helper_has_encrypted_memory(void);
void sysgenid_helper_dev_pm_domain_set(struct device *dev, struct dev_pm_domain *domain);
int sysgenid_helper_put_user_u32(u32 value, u32 __user *to);
s64 sysgenid_helper_get_user_u32(const u32 __user *from);
unsigned long sysgenid_helper_spin_lock_irqsave(spinlock_t *lock) __acquires(lock);
bool sysgenid_helper_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags);
void sysgenid_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
	__releases(lock);
void sysgenid_helper_begin_unless_rt(void);
void sysgenid_helper_end_unless_rt(void);
unsigned int sysgenid_helper_this_cpu(void);
unsigned int sysgenid_helper_cpu_count(void);
bool sysgenid_helper_cpu_online(unsigned int cpu);
void sysgenid_helper_kick_all_cpus_sync(void);
bool sysgenid_helper_irq_may_move(unsigned int irq, unsigned int cpu);
bool sysgenid_helper_irq_goes_to(unsigned int irq, unsigned int cpu);
int sysgenid_helper_irq_move_to(unsigned int irq, unsigned int cpu);
struct tracepoint *sysgenid_helper_find_tracepoint(const char *name);
int sysgenid_helper_tracepoint_probe_register(struct tracepoint *tracepoint, void *probe,
					      void *data);
void sysgenid_helper_tracepoint_probe_unregister(struct tracepoint *tracepoint, void *probe,
						 void *data);
long sysgenid_helper_ioctl_as_kernel(struct file *file, unsigned int cmd, unsigned long arg);
void sysgenid_helper_cond_resched(void);
/* <linux/random.h> declares it only where there is a VMGENID driver. */
void add_vmfork_randomness(const void *unique_vm_id, size_t len);
void sysgenid_helper_call_notifiers(u32 generation);
bool sysgenid_helper_try_add_vmfork_randomness(const void *id, size_t len);
int sysgenid_helper_register_vmfork_notifier(struct notifier_block *nb);
void sysgenid_helper_unregister_vmfork_notifier(struct notifier_block *nb);

#endif /* _SYSGENID_HELPERS_H */
