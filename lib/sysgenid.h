/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * For libraries that must know at each use, without a system call, whether the
 * system was cloned: random number generators, nonces, UUIDs.
 *
 *	static struct sysgenid sg;
 *	static __u32 generation;
 *
 *	err = sysgenid_open(&sg);
 *	if (!err)
 *		err = sysgenid_current(&sg, &generation);
 *	...
 *	if (sysgenid_check(&sg, generation) != SYSGENID_CURRENT) {
 *		err = sysgenid_current(&sg, &generation);
 *		... if that has changed, renew what must be unique ...
 *	}
 *
 * If two checks say SYSGENID_CURRENT for the same generation, all that was
 * drawn between them was drawn in that generation.
 *
 * The header is C (from C90 on) and C++ (from C++11 on). It takes the C library
 * of POSIX.1-2008, and the atomics that GCC and Clang have on all processors.
 *
 * The program around the library
 *
 * fork(): The mapping and the descriptor are the child's as well, and work
 * there. A fork is no clone of the system, so the generation stays: a library
 * must find out about forks by other means.
 *
 * closefrom(), close_range(): Many programs close descriptors that they do not
 * know. The mapping stays, and sysgenid_check() works on. sysgenid_current()
 * finds that its descriptor is not that of the device any longer, and opens
 * the device for this one call. For that, /dev/sysgenid must still be there,
 * which it may not be after chroot().
 *
 * seccomp(): The system calls are
 *
 * - of sysgenid_open(): openat, ioctl, mmap once or twice, and close if it
 *   fails;
 * - of sysgenid_check(): none;
 * - of sysgenid_current(): ioctl, and, if the program has closed the
 *   descriptor, openat, ioctl, close;
 * - of sysgenid_close(): munmap, ioctl, close.
 *
 * If sysgenid_current() fails, the library does not know whether the system was
 * cloned. Then it must not give out anything that has to be unique.
 *
 * Why this is correct
 *
 * 1. The hypervisor writes another ID into page 1 before it lets a clone run.
 *    Nobody else writes there. No ID comes twice.
 * 2. For a new ID the kernel stores into page 0 a new generation, then the first
 *    half of the ID, then the second one, each with release semantics.
 *    Generations only grow. SYSGENID_PAGE_HWID is set after the first ID of all
 *    was stored.
 * 3. sysgenid_check() loads with acquire semantics: the flags first, then the
 *    halves of both IDs in any order, and the generation last.
 *
 * Say that the flag is set, that both pairs of halves are equal, and that the
 * generation is the caller's. The caller knew it before, so it was the current
 * one during the whole call. Let X be the ID that it accounts for.
 *
 * - Neither half from page 0 is that of an ID later than X: the generation of
 *   such an ID was stored before its halves, and the last load would have found
 *   that one. So both halves are X's, or, while the kernel is still storing
 *   them, those of the ID before X.
 * - Each half from page 1 is that of X or of a later ID, as X was live before
 *   its generation was stored. If one of them is X's, X was live when that
 *   half was loaded: no change was pending at that instant.
 * - Else the first half of a later ID is that of X or of the one before, and so
 *   is the second half of a later ID, of the same or of yet another one. IDs
 *   are random: this is as unlikely as two equal IDs.
 *
 * So SYSGENID_CURRENT says: at an instant during this call, the generation was
 * the caller's, and no change was pending. No check can say more, as a snapshot
 * can be taken right after it. To be certain of a value, check once more after
 * it was made.
 */
#ifndef _SYSGENID_H
#define _SYSGENID_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sysgenid.h>

#ifndef O_CLOEXEC
#error "sysgenid.h: define _POSIX_C_SOURCE as 200809L, or do not ask for strict ISO C"
#endif

/**
 * struct sysgenid - an open /dev/sysgenid
 * @fd:   a descriptor that only observes
 * @page: page 0
 * @live: the live hardware ID in page 1, or NULL where that cannot be mapped
 */
struct sysgenid {
	int fd;
	const struct sysgenid_page *page;
	const __u64 *live;
};

/**
 * enum sysgenid_state - what sysgenid_check() has found
 * @SYSGENID_CURRENT: the generation is the caller's
 * @SYSGENID_CHANGED: the generation is a later one
 * @SYSGENID_PENDING: a change has not been processed yet, or the pages cannot
 *                    tell; sysgenid_current() can
 */
enum sysgenid_state {
	SYSGENID_CURRENT,
	SYSGENID_CHANGED,
	SYSGENID_PENDING
};

/**
 * sysgenid_open() - open and map /dev/sysgenid
 * @sg: filled in on success
 *
 * Makes sure that no control plane waits for this descriptor, whatever the
 * module parameter "track" says: a library reacts when it is called next, which
 * may be after the control plane has let work in.
 *
 * Return: 0, or a negative errno, with nothing left open: -ENOENT without the
 * driver.
 */
static __inline__ int sysgenid_open(struct sysgenid *sg)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *map;
	int err;

	sg->page = NULL;
	sg->live = NULL;
	sg->fd = open("/dev/sysgenid", O_RDONLY | O_CLOEXEC);
	if (sg->fd < 0)
		return -errno;

	/* Drivers that refuse this do not track what is open for reading only. */
	(void)ioctl(sg->fd, SYSGENID_SET_WATCHER_TRACKING, 0UL);

	map = mmap(NULL, 2 * size, PROT_READ, MAP_SHARED, sg->fd, 0);
	if (map != MAP_FAILED) {
		sg->page = (const struct sysgenid_page *)map;
		sg->live = (const __u64 *)(const void *)
			   ((const char *)map + size + sg->page->hwid_offset);
		return 0;
	}

	map = mmap(NULL, size, PROT_READ, MAP_SHARED, sg->fd, 0);
	if (map != MAP_FAILED) {
		sg->page = (const struct sysgenid_page *)map;
		return 0;
	}

	err = -errno;
	close(sg->fd);
	return err;
}

/**
 * sysgenid_close() - undo sysgenid_open()
 * @sg: what that has filled in
 *
 * If the program has closed the descriptor and its number is now that of
 * another file, that file stays open.
 */
static __inline__ void sysgenid_close(struct sysgenid *sg)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	__u32 generation;

	munmap((void *)sg->page, sg->live ? 2 * size : size);
	if (ioctl(sg->fd, SYSGENID_GET_GENERATION, &generation) == 0)
		close(sg->fd);
}

/**
 * sysgenid_check() - compare the generation with the caller's, without a
 *                    system call
 * @sg:         what sysgenid_open() has filled in
 * @generation: the generation that the caller knows of
 *
 * May be called by any thread at any time, also in a signal handler.
 *
 * Return: see &enum sysgenid_state. Where page 1 cannot be mapped, or the
 * source has gone, never %SYSGENID_CURRENT.
 */
static __inline__ enum sysgenid_state sysgenid_check(const struct sysgenid *sg,
						     __u32 generation)
{
	const __u64 *hwid = (const __u64 *)(const void *)sg->page->hwid;
	const __u64 *live = sg->live;

	if (!live || !(__atomic_load_n(&sg->page->flags, __ATOMIC_ACQUIRE) &
		       SYSGENID_PAGE_HWID))
		return SYSGENID_PENDING;

	if (__atomic_load_n(&hwid[0], __ATOMIC_ACQUIRE) !=
	    __atomic_load_n(&live[0], __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&hwid[1], __ATOMIC_ACQUIRE) !=
	    __atomic_load_n(&live[1], __ATOMIC_ACQUIRE))
		return SYSGENID_PENDING;

	if (__atomic_load_n(&sg->page->generation, __ATOMIC_ACQUIRE) !=
	    generation)
		return SYSGENID_CHANGED;

	return SYSGENID_CURRENT;
}

/**
 * sysgenid_current() - get the current generation, with a system call
 * @sg:         what sysgenid_open() has filled in
 * @generation: where to store it
 *
 * Processes a pending change first, so that the kernel's random number
 * generator has been reseeded for the generation that this gives.
 *
 * May be called by any thread at any time, also in a signal handler that saves
 * errno.
 *
 * Return: 0, or a negative errno.
 */
static __inline__ int sysgenid_current(const struct sysgenid *sg,
				       __u32 *generation)
{
	int fd, err = 0;

	if (ioctl(sg->fd, SYSGENID_GET_GENERATION, generation) == 0)
		return 0;
	/* What the number gives if the program has closed it, or reused it. */
	if (errno != EBADF && errno != ENOTTY && errno != EINVAL)
		return -errno;

	fd = open("/dev/sysgenid", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SYSGENID_GET_GENERATION, generation) != 0)
		err = -errno;
	close(fd);
	return err;
}

#endif /* _SYSGENID_H */
