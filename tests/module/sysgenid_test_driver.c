// SPDX-License-Identifier: GPL-2.0
/*
 * A platform driver that is in the way of sysgenid_vmgenid.ko: by its name, or
 * because it takes the device, or only seems to.
 */
#include <linux/acpi.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/string.h>

static char *name = "sysgenid_test_driver";
module_param(name, charp, 0444);
MODULE_PARM_DESC(name, "the driver's name");

static bool match = true;
module_param(match, bool, 0444);
MODULE_PARM_DESC(match, "whether it is one for VMGENID devices");

static int probe_error;
module_param(probe_error, int, 0444);
MODULE_PARM_DESC(probe_error, "what its probe returns");

static unsigned int probe_ms;
module_param(probe_ms, uint, 0444);
MODULE_PARM_DESC(probe_ms, "how long its probe takes");

static bool race;
module_param(race, bool, 0444);
MODULE_PARM_DESC(race, "whether it is registered while insmod registers another platform driver");

static bool probing;
module_param(probing, bool, 0444);
MODULE_PARM_DESC(probing, "whether its probe runs");

static int test_probe(struct platform_device *pdev)
{
	probing = true;
	if (probe_ms)
		msleep(probe_ms);
	probing = false;
	return probe_error;
}

static const struct acpi_device_id ids[] = {
	{ "VM_GEN_COUNTER", 0 },
	{ }
};

static struct platform_driver test_driver = {
	.probe = test_probe,
	.driver = {
		/* The way to this file, and not what a rival should be slow by. */
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
};

/*
 * Just as insmod registers a platform driver: it has looked around, and another
 * processor is faster. Until that is done, insmod's stands still.
 */
static bool is_time;
static bool is_done;
static int registered = -ENODEV;

static int register_in_time(void *unused)
{
	while (!READ_ONCE(is_time) && !kthread_should_stop())
		usleep_range(50, 100);
	if (READ_ONCE(is_time))
		registered = platform_driver_register(&test_driver);
	/* The driver is registered, or is not, for whoever sees this. */
	smp_store_release(&is_done, true);
	while (!kthread_should_stop())
		usleep_range(1000, 2000);
	return 0;
}

static int hold_insmod(struct kprobe *probe, struct pt_regs *regs)
{
	if (READ_ONCE(is_time) || strcmp(current->comm, "insmod"))
		return 0;
	WRITE_ONCE(is_time, true);
	/* For five seconds at most. Pairs with the store above. */
	for (int i = 0; i < 5000 && !smp_load_acquire(&is_done); i++)
		mdelay(1);
	return 0;
}

static struct task_struct *rival;
static struct kprobe registering = {
	.symbol_name = "__platform_driver_register",
	.pre_handler = hold_insmod,
};

static int __init test_driver_init(void)
{
	int err;

	test_driver.driver.name = name;
	test_driver.driver.owner = THIS_MODULE;
	if (match)
		test_driver.driver.acpi_match_table = ids;
	if (!race) {
		registered = platform_driver_register(&test_driver);
		return registered;
	}

	rival = kthread_run(register_in_time, NULL, "sysgenid_rival");
	if (IS_ERR(rival))
		return PTR_ERR(rival);
	err = register_kprobe(&registering);
	if (err)
		kthread_stop(rival);
	return err;
}
module_init(test_driver_init);

static void __exit test_driver_exit(void)
{
	if (race) {
		unregister_kprobe(&registering);
		kthread_stop(rival);
	}
	if (!registered)
		platform_driver_unregister(&test_driver);
}
module_exit(test_driver_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of drivers that are in the way");
