/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In-kernel interface of the system generation counter.
 *
 * A source watches a hardware ID that changes when the system is cloned or
 * restored. sysgenid.ko owns the comparison of that ID with the last one it
 * has processed, and so the generation: whoever comes first, a system call on
 * /dev/sysgenid or the source's notification, runs the whole change.
 */
#ifndef _LINUX_SYSGENID_H
#define _LINUX_SYSGENID_H

#include <linux/notifier.h>
#include <linux/types.h>
#include <uapi/linux/sysgenid.h>

/**
 * struct sysgenid_source - where a hardware ID comes from
 * @name:   name of the device that has the ID, for the file "source" in sysfs
 * @hwid:   physical address of the SYSGENID_HWID_SIZE bytes of the ID; aligned
 *          to 8 bytes and not crossing a page
 * @mix:    mixes an ID into the RNG without credit. Called once, while the
 *          source is being registered. May sleep.
 * @reseed: mixes a new ID into the RNG without credit and reseeds it before it
 *          returns. Called before anybody sees the new generation, with a
 *          spinlock held and interrupts disabled, also within a hard
 *          interrupt: it must not sleep. Returns 0 or a negative errno,
 *          which does not keep the generation from changing. Called once more
 *          for the same generation if the ID changes again meanwhile.
 * @report: tells of a change, and of what @reseed has returned, those for whom
 *          there is time: the log, or other subscribers. Called by a worker,
 *          without a lock, after the subscribers of this header. May sleep.
 *
 * The callbacks get the source, and an ID as SYSGENID_HWID_SIZE bytes. None of
 * them is called at the same time as itself, and none may register or
 * unregister. The structure belongs to sysgenid.ko between
 * sysgenid_register_source() and sysgenid_unregister_source().
 */
struct sysgenid_source {
	const char *name;
	phys_addr_t hwid;
	void (*mix)(struct sysgenid_source *source, const u8 *hwid);
	int (*reseed)(struct sysgenid_source *source, const u8 *hwid);
	void (*report)(struct sysgenid_source *source, const u8 *hwid, int reseeded);
};

/**
 * sysgenid_register_source() - attach a source of a hardware ID
 * @source: the source, filled in by the caller
 *
 * The first ID ever seen is adopted without a new generation. If an earlier
 * source has left another ID behind, the system was cloned in between, and the
 * change is processed before this returns.
 *
 * A caller who installs a handler for notifications afterwards calls
 * sysgenid_notify_source() once that is there: a notification that came before
 * it was lost.
 *
 * Context: Process context. May sleep. The caller must not be a callback or a
 * notifier of this header.
 * Return: 0; -EBUSY if there is a source already; -EINVAL or -ENOMEM if the ID
 * cannot be mapped; -EINVAL without a name; -ENODEV if the counter is not there
 * (yet).
 */
int sysgenid_register_source(struct sysgenid_source *source);

/**
 * sysgenid_unregister_source() - detach a source
 * @source: the source, registered or not
 *
 * Processes a pending change first. Generation and watchers stay as they are.
 * When this returns, no callback runs or will run.
 *
 * Context: Process context. May sleep: waits for the subscribers of changes
 * that have happened. The caller must not be a callback or a notifier of this
 * header, nor hold a lock that one of them takes.
 */
void sysgenid_unregister_source(struct sysgenid_source *source);

/**
 * sysgenid_notify_source() - the hardware ID may have changed
 * @source: the source, registered
 *
 * For what tells a source of a change: a notification or an interrupt. Does
 * nothing if the ID is the one that was processed last.
 *
 * Context: Process context, also within a notifier chain that a reseed calls.
 * May sleep, but waits for nobody who does.
 */
void sysgenid_notify_source(struct sysgenid_source *source);

/**
 * sysgenid_source_is_pending() - whether the hardware ID has changed
 * @source: the source, registered
 *
 * For the handler of an interrupt that may mean a change, or something else.
 *
 * Context: Any context. Takes no lock.
 * Return: Whether sysgenid_notify_source() would find something to do.
 */
bool sysgenid_source_is_pending(struct sysgenid_source *source);

/**
 * sysgenid_process_source() - process a change without waking those who wait
 * @source: the source, registered
 *
 * For the handler of an interrupt, so that no program goes on before the change
 * has been processed. The caller sees to it that sysgenid_notify_source() is
 * called soon, which wakes those who wait. Does nothing if the ID is the one
 * that was processed last; nor where spinlocks sleep (PREEMPT_RT).
 *
 * Context: Any context, also hard interrupts. Waits for another processor that
 * is processing the change.
 */
void sysgenid_process_source(struct sysgenid_source *source);

/**
 * sysgenid_source_hwid() - the hardware ID of a source
 * @source: the source, registered
 * @hwid: where to store the SYSGENID_HWID_SIZE bytes of the ID that was
 *        processed last
 *
 * Processes a pending change first.
 *
 * Context: Process context. May sleep.
 */
void sysgenid_source_hwid(struct sysgenid_source *source, u8 *hwid);

/**
 * sysgenid_bump_generation() - move to the next generation
 *
 * For code that knows of a clone by other means than a hardware ID, and has
 * already reseeded what it is responsible for.
 *
 * Context: Process context. May sleep. The caller must not be a callback or a
 * notifier of this header.
 */
void sysgenid_bump_generation(void);

/**
 * sysgenid_register_notifier() - subscribe to new generations
 * @nb: the subscriber
 *
 * The notifier is called with the new generation as its action, and no data,
 * once the RNG has been reseeded and all of user space that waits has been
 * woken. One change is over before the next one begins, so that generations
 * come in order, though a trigger may leave some out.
 *
 * A worker calls it, and holds no lock but that of the chain. So it may sleep,
 * and may open /dev/sysgenid or any other device. It must not register or
 * unregister a notifier or a source, nor call sysgenid_bump_generation(): these
 * wait for it.
 *
 * Context: Process context. May sleep.
 * Return: 0, or -EEXIST if the notifier is registered already.
 */
int sysgenid_register_notifier(struct notifier_block *nb);

/**
 * sysgenid_unregister_notifier() - undo sysgenid_register_notifier()
 * @nb: the subscriber
 *
 * Waits until the notifier does not run any longer.
 *
 * Context: Process context. May sleep.
 * Return: 0, or -ENOENT if it was not registered.
 */
int sysgenid_unregister_notifier(struct notifier_block *nb);

#endif /* _LINUX_SYSGENID_H */
