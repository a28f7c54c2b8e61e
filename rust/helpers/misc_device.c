// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/misc_device.rs. */

#include <linux/pm_domain.h>

#include "helpers.h"

void sysgenid_helper_dev_pm_domain_set(struct device *dev, struct dev_pm_domain *domain)
{
	dev_pm_domain_set(dev, domain);
}
