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
 * @hwid:   physical address of the SYSGENID_HWID_SIZE bytes of the ID; aligned
 *          to 8 bytes and not crossing a page
 * @mix:    mixes an ID into the RNG without credit. Called once, while the
 *          source is being registered.
 * @reseed: mixes a new ID into the RNG without credit and reseeds it before it
 *          returns. Called before anybody sees the new generation. Returns 0 or
 *          a negative errno, which does not keep the generation from changing.
 * @report: tells the log of a change and of what @reseed has returned. Called
 *          when everybody has been told of the new generation: a line on a
 *          console takes longer than the change.
 *
 * The callbacks get the source, and an ID as SYSGENID_HWID_SIZE bytes. They may
 * sleep, are never called at the same time, and must neither register nor
 * unregister. The structure belongs to sysgenid.ko between
 * sysgenid_register_source() and sysgenid_unregister_source().
 */
struct sysgenid_source {
	phys_addr_t hwid;
	void (*mix)(struct sysgenid_source *source, const u8 *hwid);
	int (*reseed)(struct sysgenid_source *source, const u8 *hwid);
	void (*report)(struct sysgenid_source *source, int reseeded);
};

/*
 * sysgenid_register_source - attach a source of a hardware ID
 *
 * The first ID ever seen is adopted without a new generation. If an earlier
 * source has left another ID behind, the system was cloned in between, and the
 * change is processed before this returns.
 *
 * May sleep. Returns 0, -EBUSY if there is a source already, -EINVAL or -ENOMEM
 * if the ID cannot be mapped, or -ENODEV if the counter is not there (yet).
 */
int sysgenid_register_source(struct sysgenid_source *source);

/*
 * sysgenid_unregister_source - detach a source
 *
 * Generation and watchers stay as they are. May sleep; when it returns, no
 * callback runs or will run.
 */
void sysgenid_unregister_source(struct sysgenid_source *source);

/*
 * sysgenid_notify_source - the hardware ID may have changed
 *
 * For the notification handler of a source. Does nothing if the ID is the one
 * that was processed last, or if a change is being processed at this moment;
 * that one looks again. May be called from a notifier chain that a reseed
 * calls. May sleep.
 */
void sysgenid_notify_source(struct sysgenid_source *source);

/*
 * sysgenid_source_hwid - the hardware ID of a registered source
 *
 * Processes a pending change first; writes the SYSGENID_HWID_SIZE bytes of the
 * ID that was processed last. May sleep.
 */
void sysgenid_source_hwid(struct sysgenid_source *source, u8 *hwid);

/*
 * sysgenid_bump_generation - move to the next generation
 *
 * For code that knows of a clone by other means than a hardware ID, and has
 * already reseeded what it is responsible for. May sleep.
 */
void sysgenid_bump_generation(void);

/*
 * sysgenid_register_notifier - subscribe to new generations
 *
 * The notifier is called in process context with the new generation as its
 * action, and no data, once the RNG has been reseeded and all of user space
 * that waits has been woken. One change is over before the next one begins, so
 * that generations come in order, though a trigger may leave some out. The
 * notifier may sleep. It must not call the functions above, which would wait
 * for the change that it is called from, nor wait for somebody who uses
 * /dev/sysgenid.
 *
 * May sleep. Returns 0, or -EEXIST if the notifier is registered already.
 */
int sysgenid_register_notifier(struct notifier_block *nb);

/*
 * sysgenid_unregister_notifier - undo sysgenid_register_notifier()
 *
 * Waits until the notifier does not run any longer. May sleep. Returns 0, or
 * -ENOENT if it was not registered.
 */
int sysgenid_unregister_notifier(struct notifier_block *nb);

#endif /* _LINUX_SYSGENID_H */
