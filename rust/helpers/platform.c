// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/platform.rs. */

#include <linux/acpi.h>
#include <linux/device.h>
#include <linux/of_device.h>

#include "helpers.h"

/* Inline functions where there is no ACPI, or no device tree. */
bool sysgenid_helper_matches_ids(struct device *dev, const struct acpi_device_id *acpi,
				 const struct of_device_id *of)
{
	return (acpi && acpi_match_device(acpi, dev)) || (of && of_match_device(of, dev));
}

void sysgenid_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

void sysgenid_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}
