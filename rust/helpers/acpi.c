// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/acpi.rs. */

#include <linux/acpi.h>

#include "helpers.h"

acpi_handle sysgenid_helper_acpi_handle(struct device *dev)
{
	return ACPI_HANDLE(dev);
}
