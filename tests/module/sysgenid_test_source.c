// SPDX-License-Identifier: GPL-2.0
/*
 * A source of a hardware ID, and a host that changes it, both controlled by
 * parameters. What the driver calls is written down in "events", in its order,
 * together with the generations that a subscriber hears of.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/hex.h>
#include <linux/io.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/kstrtox.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/sysgenid.h>

/* Where QEMU has it in a page of its own. */
#define ID_OFFSET	40

static unsigned int wrong;
module_param(wrong, uint, 0444);
MODULE_PARM_DESC(wrong, "how many calls came twice at once, without the source, or out of place");

static int restores;
module_param(restores, int, 0644);
MODULE_PARM_DESC(restores, "how often a reseed finds the system restored once more; -1 always");

static int reseed_error;
module_param(reseed_error, int, 0644);
MODULE_PARM_DESC(reseed_error, "what a reseed returns");

static unsigned int report_ms;
module_param(report_ms, uint, 0644);
MODULE_PARM_DESC(report_ms, "how long a report sleeps");

/* --- What has been called */

enum call { MIX, RESEED, REPORT, GENERATION, CALLS };

static const char *const call_names[] = { "mix", "reseed", "report", "generation" };

static atomic_t running[CALLS];
static bool is_registered;

static DEFINE_SPINLOCK(events_lock);
static char events[2048];
static size_t events_size;

/* Writes a call down; what does not fit any longer is left out. */
static __printf(2, 3) void begin(enum call call, const char *format, ...)
{
	unsigned long flags;
	va_list args;

	if (atomic_inc_return(&running[call]) != 1)
		wrong++;
	if (call != GENERATION && !READ_ONCE(is_registered))
		wrong++;
	/* A reseed must not sleep, whoever calls it; the others may. */
	if (call != RESEED && !preemptible())
		wrong++;

	spin_lock_irqsave(&events_lock, flags);
	events_size += scnprintf(events + events_size, sizeof(events) - events_size, "%s ",
				 call_names[call]);
	va_start(args, format);
	events_size += vscnprintf(events + events_size, sizeof(events) - events_size, format,
				  args);
	va_end(args);
	spin_unlock_irqrestore(&events_lock, flags);
}

static void end(enum call call)
{
	atomic_dec(&running[call]);
}

static int get_events(char *buffer, const struct kernel_param *param)
{
	int size;

	spin_lock_irq(&events_lock);
	size = scnprintf(buffer, PAGE_SIZE, "%s", events_size ? events : "");
	spin_unlock_irq(&events_lock);
	return size;
}

static int clear_events(const char *value, const struct kernel_param *param)
{
	spin_lock_irq(&events_lock);
	events_size = 0;
	spin_unlock_irq(&events_lock);
	return 0;
}

static const struct kernel_param_ops events_ops = { .set = clear_events, .get = get_events };
module_param_cb(events, &events_ops, NULL, 0644);
MODULE_PARM_DESC(events, "what was called, a line each; writing forgets it");

/* --- The page of the ID */

static void *own_page;
static phys_addr_t paddr;
static unsigned int offset = ID_OFFSET;
static u8 *page;

static int set_paddr(const char *value, const struct kernel_param *param)
{
	unsigned long address;
	void *mapped;
	int err;

	err = kstrtoul(value, 0, &address);
	if (err)
		return err;
	if (is_registered)
		return -EBUSY;

	mapped = memremap(address, PAGE_SIZE, MEMREMAP_WB);
	if (!mapped)
		return -ENOMEM;
	if (page != own_page)
		memunmap(page);
	page = mapped;
	paddr = address;
	return 0;
}

static int get_paddr(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%#llx\n", (u64)paddr);
}

static const struct kernel_param_ops paddr_ops = { .set = set_paddr, .get = get_paddr };
module_param_cb(paddr, &paddr_ops, NULL, 0644);
MODULE_PARM_DESC(paddr, "the page of the ID; at first one of ordinary RAM");

module_param(offset, uint, 0644);
MODULE_PARM_DESC(offset, "where in the page the ID is");

/* The last byte of the page. */
static int set_rest(const char *value, const struct kernel_param *param)
{
	return kstrtou8(value, 0, &page[PAGE_SIZE - 1]);
}

static int get_rest(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%u\n", page[PAGE_SIZE - 1]);
}

static const struct kernel_param_ops rest_ops = { .set = set_rest, .get = get_rest };
module_param_cb(rest, &rest_ops, NULL, 0644);
MODULE_PARM_DESC(rest, "what the last byte of the page is");

/* --- The host */

static int store_id(void *id)
{
	memcpy(page + offset, id, SYSGENID_HWID_SIZE);
	return 0;
}

/* As hypervisors do: while the system stands still. */
static void change_id(const void *id)
{
	stop_machine(store_id, (void *)id, NULL);
}

static int set_id(const char *value, const struct kernel_param *param)
{
	u8 id[SYSGENID_HWID_SIZE];

	if (strlen(value) < 2 * sizeof(id) || hex2bin(id, value, sizeof(id)))
		return -EINVAL;
	change_id(id);
	return 0;
}

static int get_id(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%*phN\n", SYSGENID_HWID_SIZE, page + offset);
}

static const struct kernel_param_ops id_ops = { .set = set_id, .get = get_id };
module_param_cb(id, &id_ops, NULL, 0644);
MODULE_PARM_DESC(id, "the live ID, in hexadecimal digits");

/* --- The source */

static void test_mix(struct sysgenid_source *source, const u8 *hwid)
{
	begin(MIX, "%*phN\n", SYSGENID_HWID_SIZE, hwid);
	end(MIX);
}

static int test_reseed(struct sysgenid_source *source, const u8 *hwid)
{
	begin(RESEED, "%*phN\n", SYSGENID_HWID_SIZE, hwid);
	if (restores) {
		/* A snapshot was taken right now, and this is a clone of it. */
		page[offset + SYSGENID_HWID_SIZE - 1]++;
		if (restores > 0)
			restores--;
	}
	end(RESEED);
	return reseed_error;
}

static void test_report(struct sysgenid_source *source, const u8 *hwid, int reseeded)
{
	begin(REPORT, "%*phN %d\n", SYSGENID_HWID_SIZE, hwid, reseeded);
	if (report_ms)
		msleep(report_ms);
	end(REPORT);
}

static struct sysgenid_source test_source = {
	.name = "sysgenid_test_source",
	.mix = test_mix,
	.reseed = test_reseed,
	.report = test_report,
};

static int set_attached(const char *value, const struct kernel_param *param)
{
	bool attach;
	int err;

	err = kstrtobool(value, &attach);
	if (err || attach == is_registered)
		return err;

	if (attach) {
		test_source.hwid = paddr + offset;
		is_registered = true;
		err = sysgenid_register_source(&test_source);
		if (err)
			is_registered = false;
		return err;
	}
	sysgenid_unregister_source(&test_source);
	WRITE_ONCE(is_registered, false);
	return 0;
}

static const struct kernel_param_ops attached_ops = {
	.set = set_attached,
	.get = param_get_bool,
};

module_param_cb(attached, &attached_ops, &is_registered, 0644);
MODULE_PARM_DESC(attached, "whether the source is registered");

static int notify(const char *value, const struct kernel_param *param)
{
	if (!is_registered)
		return -ENODEV;
	sysgenid_notify_source(&test_source);
	return 0;
}

static const struct kernel_param_ops notify_ops = { .set = notify };
module_param_cb(notify, &notify_ops, NULL, 0200);
MODULE_PARM_DESC(notify, "writing tells that the ID may have changed");

static int get_hwid(char *buffer, const struct kernel_param *param)
{
	u8 id[SYSGENID_HWID_SIZE];

	if (!is_registered)
		return -ENODEV;
	sysgenid_source_hwid(&test_source, id);
	return sysfs_emit(buffer, "%*phN\n", SYSGENID_HWID_SIZE, id);
}

static const struct kernel_param_ops hwid_ops = { .get = get_hwid };
module_param_cb(hwid, &hwid_ops, NULL, 0444);
MODULE_PARM_DESC(hwid, "the ID that was processed last");

/* --- An ID that changes all the time */

/* More than there are processors, so that some are interrupted for long. */
#define LOOKERS	4

static unsigned int changes;
module_param(changes, uint, 0444);
MODULE_PARM_DESC(changes, "how often the ID has changed while it was looked at");

static atomic_t mixtures;

static int get_mixtures(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&mixtures));
}

static const struct kernel_param_ops mixtures_ops = { .get = get_mixtures };
module_param_cb(mixtures, &mixtures_ops, NULL, 0444);
MODULE_PARM_DESC(mixtures, "how often it then was one half each of two IDs");

/*
 * A probe at each instruction of what gives the ID, or the moment between two
 * of them would hardly ever be the one in which the ID changes.
 */
#define MOST_PROBES	64

static struct kprobe probes[MOST_PROBES];
static int probe_count;

static int linger(struct kprobe *probe, struct pt_regs *regs)
{
	udelay(2);
	return 0;
}

static void slow_down(void)
{
	char symbol[KSYM_SYMBOL_LEN];
	unsigned int size, at;

	sprint_symbol(symbol, (unsigned long)sysgenid_source_hwid);
	if (sscanf(symbol, "sysgenid_source_hwid+0x0/%x", &size) != 1)
		return;
	for (at = 1; at < size && probe_count < MOST_PROBES; at++) {
		probes[probe_count] = (struct kprobe) {
			.symbol_name = "sysgenid_source_hwid",
			.offset = at,
			.pre_handler = linger,
		};
		/* Refused where no instruction begins. */
		if (!register_kprobe(&probes[probe_count]))
			probe_count++;
	}
}

static void speed_up(void)
{
	while (probe_count)
		unregister_kprobe(&probes[--probe_count]);
}

/* The two halves of each ID are the same. */
static void change_to(u64 half)
{
	const u64 id[] = { half, half };

	change_id(id);
	sysgenid_notify_source(&test_source);
	changes++;
}

static int keep_looking(void *unused)
{
	while (!kthread_should_stop()) {
		u64 id[2];

		sysgenid_source_hwid(&test_source, (u8 *)id);
		if (id[0] != id[1])
			atomic_inc(&mixtures);
		cond_resched();
	}
	return 0;
}

static int look_for_ms(const char *value, const struct kernel_param *param)
{
	struct task_struct *lookers[LOOKERS];
	unsigned int ms;
	ktime_t stop;
	int err, n;

	err = kstrtouint(value, 0, &ms);
	if (err)
		return err;
	if (!is_registered)
		return -ENODEV;

	slow_down();
	if (!probe_count)
		return -ENXIO;
	change_to(1);
	for (n = 0; n < LOOKERS; n++) {
		lookers[n] = kthread_run(keep_looking, NULL, "sysgenid_look/%d", n);
		if (IS_ERR(lookers[n])) {
			err = PTR_ERR(lookers[n]);
			break;
		}
	}
	stop = ktime_add_ms(ktime_get(), ms);
	for (u64 half = 2; !err && ktime_before(ktime_get(), stop); half++)
		change_to(half);
	while (n)
		kthread_stop(lookers[--n]);
	speed_up();
	return err;
}

static const struct kernel_param_ops look_ops = { .set = look_for_ms };
module_param_cb(look_for_ms, &look_ops, NULL, 0200);
MODULE_PARM_DESC(look_for_ms, "writing changes the ID all the time, and looks at it, so long");

/* --- The module */

static int next_generation(struct notifier_block *nb, unsigned long next, void *data)
{
	begin(GENERATION, "%lu\n", next);
	end(GENERATION);
	return NOTIFY_OK;
}

static struct notifier_block generation_nb = { .notifier_call = next_generation };

static int __init test_source_init(void)
{
	int err;

	own_page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!own_page)
		return -ENOMEM;
	page = own_page;
	paddr = virt_to_phys(own_page);

	err = sysgenid_register_notifier(&generation_nb);
	if (err)
		free_page((unsigned long)own_page);
	return err;
}
module_init(test_source_init);

static void __exit test_source_exit(void)
{
	if (is_registered)
		sysgenid_unregister_source(&test_source);
	sysgenid_unregister_notifier(&generation_nb);
	if (page != own_page)
		memunmap(page);
	free_page((unsigned long)own_page);
}
module_exit(test_source_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of sysgenid_register_source()");
