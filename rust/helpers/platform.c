// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/platform.rs. */

#include <linux/device.h>

#include "helpers.h"

void sysgenid_helper_device_lock(struct device *dev)
{
	device_lock(dev);
}

void sysgenid_helper_device_unlock(struct device *dev)
{
	device_unlock(dev);
}
