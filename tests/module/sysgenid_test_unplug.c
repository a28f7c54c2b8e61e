// SPDX-License-Identifier: GPL-2.0
/*
 * Removes a platform device, whatever driver it has.
 */
#include <linux/module.h>
#include <linux/platform_device.h>

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "its name");

static int __init unplug_init(void)
{
	struct device *dev = bus_find_device_by_name(&platform_bus_type, NULL, device);

	if (!dev)
		return -ENODEV;
	platform_device_unregister(to_platform_device(dev));
	put_device(dev);
	return 0;
}
module_init(unplug_init);

static void __exit unplug_exit(void)
{
}
module_exit(unplug_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of devices that vanish");
