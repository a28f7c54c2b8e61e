// SPDX-License-Identifier: GPL-2.0
/*
 * The device of sysgenid.ko once more, in C: what the benchmark compares with,
 * and nothing else.
 *
 * It follows the later SysGenID patches: the generation changes by the ioctl
 * alone. It never looks at a hardware ID, reseeds nothing, sends no uevent, and
 * has no sysfs attributes, no fdinfo and no subscribers; readv() is a call for
 * each segment. Descriptors that are open for writing are tracked, as
 * sysgenid.ko does by default. All else is as include/uapi/linux/sysgenid.h says.
 *
 * It is as fast as C makes it, else the comparison would say nothing: reading,
 * acknowledging and polling take no lock, nothing allocates memory, and slow
 * paths are out of line, so that the others save no registers for them.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <linux/sysgenid.h>

static char *node = "sysgenid_peer";
module_param(node, charp, 0444);
MODULE_PARM_DESC(node, "name of the device node; \"sysgenid\" lets all programs use it");

static bool looks_first;
module_param(looks_first, bool, 0444);
MODULE_PARM_DESC(looks_first, "poll() of an outdated descriptor does not register");

/*
 * What descriptors share. The generation is in the page that programs map, so
 * that they and the kernel cannot disagree. The count has the number of
 * outdated watchers in its upper half, and in the lower one the generation that
 * they are to acknowledge: an acknowledgment counts for its generation only.
 */
static struct page *page;
static u32 *generation;
static atomic64_t count;

/* Keeps the generation and who is tracked from changing. */
static DEFINE_SPINLOCK(lock);
static u32 tracked;

static DECLARE_WAIT_QUEUE_HEAD(changed);
static DECLARE_WAIT_QUEUE_HEAD(settled);

#define ONE_OUTDATED	((s64)BIT_ULL(32))

/*
 * What a descriptor has of its own, in place of the private data: the
 * generation that it has acknowledged, and whether it is tracked.
 */
#define TRACKED		BIT_ULL(32)

static_assert(BITS_PER_LONG == 64);

static inline unsigned long *state_of(struct file *file)
{
	return (unsigned long *)&file->private_data;
}

static inline u32 current_generation(void)
{
	/* Who sees it also sees the count of that generation, see trigger(). */
	return smp_load_acquire(generation);
}

static inline bool is_outdated(struct file *file)
{
	return (u32)READ_ONCE(*state_of(file)) != current_generation();
}

/* Whether no watcher is outdated in the generation that a descriptor knows. */
static inline bool is_settled(struct file *file)
{
	s64 now = atomic64_read_acquire(&count);

	return now < ONE_OUTDATED && (u32)now == (u32)READ_ONCE(*state_of(file));
}

static void wake_settled(void)
{
	if (wq_has_sleeper(&settled))
		wake_up_interruptible(&settled);
}

/* One outdated watcher less, if the generation still is the current one. */
static inline void uncount(u32 acknowledged)
{
	s64 now = atomic64_read_acquire(&count);

	do {
		if ((u32)now != acknowledged)
			return;
	} while (!atomic64_try_cmpxchg(&count, &now, now - ONE_OUTDATED));

	if (now < 2 * ONE_OUTDATED)
		wake_settled();
}

static inline int acknowledge(struct file *file, u32 acknowledged)
{
	unsigned long state;

	do {
		/* Before the generation: another thread may acknowledge a later one. */
		state = smp_load_acquire(state_of(file));
		if (acknowledged != current_generation())
			return -EINVAL;
		if ((u32)state == acknowledged)
			return 0;
	} while (!try_cmpxchg(state_of(file), &state, (state & TRACKED) | acknowledged));

	if (state & TRACKED)
		uncount(acknowledged);
	return 0;
}

static void track(struct file *file)
{
	unsigned long state;
	u32 now;

	spin_lock(&lock);
	now = current_generation();
	state = READ_ONCE(*state_of(file));
	if (!(state & TRACKED)) {
		/* First, as it may be acknowledged as soon as it is tracked. */
		atomic64_add(ONE_OUTDATED, &count);
		while (!try_cmpxchg(state_of(file), &state, state | TRACKED))
			;
		tracked++;
		if ((u32)state == now)
			uncount(now);
	}
	spin_unlock(&lock);
}

static void forget(struct file *file)
{
	unsigned long state;
	u32 now;

	spin_lock(&lock);
	now = current_generation();
	state = READ_ONCE(*state_of(file));
	if (state & TRACKED) {
		while (!try_cmpxchg(state_of(file), &state, state & ~TRACKED))
			;
		tracked--;
		if ((u32)state != now)
			uncount(now);
	}
	spin_unlock(&lock);
}

static int peer_open(struct inode *inode, struct file *file)
{
	unsigned long state;

	if (file->f_mode & FMODE_WRITE) {
		spin_lock(&lock);
		tracked++;
		state = current_generation() | TRACKED;
		spin_unlock(&lock);
	} else {
		state = current_generation();
	}
	WRITE_ONCE(*state_of(file), state);
	return stream_open(inode, file);
}

static int peer_release(struct inode *inode, struct file *file)
{
	if (READ_ONCE(*state_of(file)) & TRACKED)
		forget(file);
	return 0;
}

static inline ssize_t give_generation(struct file *file, char __user *buf)
{
	u32 now = current_generation();

	if (put_user(now, (u32 __user *)buf))
		return -EFAULT;
	/* If there is a newer one already, the next read returns it at once. */
	if (!(file->f_mode & FMODE_WRITE))
		acknowledge(file, now);
	return sizeof(now);
}

static noinline ssize_t wait_and_give_generation(struct file *file, char __user *buf)
{
	int err = wait_event_interruptible(changed, is_outdated(file));

	return err ? err : give_generation(file, buf);
}

static ssize_t peer_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	if (unlikely(len < sizeof(u32)))
		return len ? -EINVAL : 0;
	if (is_outdated(file))
		return give_generation(file, buf);
	if (file->f_flags & O_NONBLOCK)
		return -EAGAIN;
	return wait_and_give_generation(file, buf);
}

static ssize_t peer_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	u32 acknowledged;
	int err;

	if (unlikely(len != sizeof(acknowledged)))
		return -EINVAL;
	if (get_user(acknowledged, (const u32 __user *)buf))
		return -EFAULT;

	err = acknowledge(file, acknowledged);
	if (err)
		return err;
	return sizeof(acknowledged);
}

static inline __poll_t events(struct file *file)
{
	return is_outdated(file) ? EPOLLIN | EPOLLRDNORM : 0;
}

static noinline __poll_t register_and_poll(struct file *file, poll_table *table)
{
	poll_wait(file, &changed, table);
	return events(file);
}

/*
 * Registers whenever the caller may wait, as an edge-triggered one wants to
 * hear of what comes next. poll_wait() finds out the same, but the registers
 * that a call of it needs would have to be saved before.
 */
static __poll_t peer_poll(struct file *file, poll_table *table)
{
	if (unlikely(table && table->_qproc))
		return register_and_poll(file, table);
	return events(file);
}

/* As in the SysGenID patches. */
static __poll_t peer_poll_that_looks_first(struct file *file, poll_table *table)
{
	return is_outdated(file) ? EPOLLIN | EPOLLRDNORM : peer_poll(file, table);
}

static noinline long set_tracking(struct file *file, unsigned long track_it)
{
	if (track_it > 1)
		return -EINVAL;
	if (!track_it)
		forget(file);
	else if (file->f_mode & FMODE_WRITE)
		track(file);
	else
		return -EBADF;
	return 0;
}

static noinline long wait_settled(struct file *file, unsigned long timeout_ms)
{
	ktime_t timeout = KTIME_MAX;
	int err;

	if (timeout_ms && timeout_ms < KTIME_MAX / NSEC_PER_MSEC)
		timeout = ms_to_ktime(timeout_ms);

	err = wait_event_interruptible_hrtimeout(settled, is_outdated(file) || is_settled(file),
						 timeout);
	if (err == -ERESTARTSYS || (!err && is_outdated(file)))
		return -EINTR;
	return err;
}

static noinline long trigger(unsigned long minimum)
{
	u32 next;

	if (!checkpoint_restore_ns_capable(&init_user_ns))
		return -EACCES;
	if (minimum > U32_MAX)
		return -EINVAL;

	spin_lock(&lock);
	next = max_t(u32, minimum, current_generation() + 1);
	if (next > INT_MAX) {
		spin_unlock(&lock);
		return -EOVERFLOW;
	}
	atomic64_set_release(&count, ONE_OUTDATED * tracked | next);
	/* Who sees the generation also sees that all are outdated. */
	smp_store_release(generation, next);
	spin_unlock(&lock);

	/* All, also those who wait exclusively, as each has to acknowledge. */
	if (wq_has_sleeper(&changed))
		__wake_up(&changed, TASK_INTERRUPTIBLE, 0, poll_to_key(EPOLLIN | EPOLLRDNORM));
	/* The barrier above is for both. */
	if (waitqueue_active(&settled))
		wake_up_interruptible(&settled);
	return 0;
}

static long peer_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case SYSGENID_SET_WATCHER_TRACKING:
		return set_tracking(file, arg);
	case SYSGENID_WAIT_WATCHERS:
		return likely(is_settled(file)) ? 0 : wait_settled(file, arg);
	case SYSGENID_TRIGGER_GEN_UPDATE:
		return trigger(arg);
	case SYSGENID_GET_OUTDATED_WATCHERS:
		return atomic64_read_acquire(&count) >> 32;
	case SYSGENID_GET_GENERATION:
		return put_user(current_generation(), (u32 __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* After MADV_DONTNEED. */
static vm_fault_t peer_fault(struct vm_fault *vmf)
{
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct peer_mapping = {
	.fault = peer_fault,
};

static int peer_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EPERM;
	if (!(vma->vm_flags & VM_MAYSHARE) || vma->vm_pgoff + vma_pages(vma) > 2)
		return -EINVAL;
	/* There is no page 1. */
	if (vma->vm_pgoff + vma_pages(vma) > 1)
		return -ENODEV;

	/* Nobody else knows of the mapping yet. */
	vm_flags_init(vma, (vma->vm_flags | VM_DONTEXPAND | VM_MIXEDMAP) &
			   ~(VM_MAYWRITE | VM_MAYEXEC));
	vma->vm_ops = &peer_mapping;
	return vm_insert_page(vma, vma->vm_start, page);
}

#define PEER_OPERATIONS(poll_function)			\
	{						\
		.owner = THIS_MODULE,			\
		.open = peer_open,			\
		.release = peer_release,		\
		.read = peer_read,			\
		.write = peer_write,			\
		.poll = poll_function,			\
		.unlocked_ioctl = peer_ioctl,		\
		.compat_ioctl = compat_ptr_ioctl,	\
		.mmap = peer_mmap,			\
	}

static const struct file_operations operations = PEER_OPERATIONS(peer_poll);
static const struct file_operations operations_that_look_first =
	PEER_OPERATIONS(peer_poll_that_looks_first);

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sysgenid_peer",
	.mode = 0644,
};

static int __init peer_init(void)
{
	int err;

	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	generation = page_address(page);

	misc.nodename = node;
	misc.fops = looks_first ? &operations_that_look_first : &operations;
	err = misc_register(&misc);
	if (err)
		__free_page(page);
	return err;
}
module_init(peer_init);

static void __exit peer_exit(void)
{
	misc_deregister(&misc);
	__free_page(page);
}
module_exit(peer_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The device of sysgenid.ko in C, for comparison");
