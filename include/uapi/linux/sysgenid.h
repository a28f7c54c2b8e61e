/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * /dev/sysgenid: a generation counter that tells software that the system it
 * runs in was cloned or restored from a snapshot.
 *
 * Everything here is ABI. Times are in milliseconds. Generations are unsigned
 * 32-bit numbers in native byte order, and only ever grow.
 */
#ifndef _UAPI_LINUX_SYSGENID_H
#define _UAPI_LINUX_SYSGENID_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The "magic" of the ioctl numbers below. */
#define SYSGENID_IOCTL			0xE4

/*
 * Argument 1 tracks this descriptor as a watcher, argument 0 forgets it. A
 * watcher that has not acknowledged the current generation is outdated.
 *
 * EINVAL: another argument; EBADF: argument 1, and the descriptor is not open
 * for writing.
 */
#define SYSGENID_SET_WATCHER_TRACKING	_IO(SYSGENID_IOCTL, 1)

/*
 * Waits until no watcher is outdated. The argument is the timeout in
 * milliseconds; 0 waits for ever.
 *
 * ETIME: the timeout has expired; EINTR: a signal arrived, the process was
 * stopped and continued, the system was suspended, or the caller's own
 * descriptor is or becomes outdated.
 */
#define SYSGENID_WAIT_WATCHERS		_IO(SYSGENID_IOCTL, 2)

/*
 * Moves to the generation max(argument, current + 1).
 *
 * EACCES: the caller has neither CAP_CHECKPOINT_RESTORE nor CAP_SYS_ADMIN in
 * the initial user namespace; EINVAL: the argument does not fit into 32 bits;
 * EOVERFLOW: the new generation would be above 2^31 - 1, where only hardware
 * events may go.
 */
#define SYSGENID_TRIGGER_GEN_UPDATE	_IO(SYSGENID_IOCTL, 3)
#define SYSGENID_FORCE_GEN_UPDATE	SYSGENID_TRIGGER_GEN_UPDATE

/* Returns the number of outdated watchers. */
#define SYSGENID_GET_OUTDATED_WATCHERS	_IO(SYSGENID_IOCTL, 4)

/*
 * Writes the current generation to where the argument points. Acknowledges
 * nothing.
 *
 * EFAULT: the argument does not point to writable memory.
 */
#define SYSGENID_GET_GENERATION		_IOR(SYSGENID_IOCTL, 5, __u32)

/* Size of a hardware ID in bytes. */
#define SYSGENID_HWID_SIZE		16

/* In sysgenid_page.flags: page 1 of the device can be mapped. */
#define SYSGENID_PAGE_HWID		(1U << 0)

/**
 * struct sysgenid_page - page 0 of a mapping of /dev/sysgenid
 * @generation:  the current generation. The kernel stores it before @hwid.
 * @flags:       SYSGENID_PAGE_* bits, the others are 0
 * @hwid_offset: offset in bytes of the live hardware ID inside page 1. It has
 *               a meaning only while SYSGENID_PAGE_HWID is set.
 * @reserved:    0
 * @hwid:        the hardware ID that @generation accounts for; all zero until
 *               a source was attached
 *
 * The rest of the page is zero. Where page 1 can be mapped, a program compares
 * @hwid with the live hardware ID there:
 *
 * - If they are equal, @generation, loaded after both with acquire semantics,
 *   is current at an instant of the check, as long as SYSGENID_PAGE_HWID is
 *   set.
 * - If they differ, a change is pending. open(), read(), write(), poll() and each
 *   ioctl of the device process it before they answer.
 */
struct sysgenid_page {
	__u32 generation;
	__u32 flags;
	__u32 hwid_offset;
	__u32 reserved;
	__u8  hwid[SYSGENID_HWID_SIZE];
};

#endif /* _UAPI_LINUX_SYSGENID_H */
