/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * For libraries that have to know at each use, and without a system call,
 * whether the system was cloned: random number generators, nonces, UUIDs.
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
 * What was drawn between two checks that both said SYSGENID_CURRENT for the
 * same generation was drawn in one generation.
 *
 * The header is C (from C90 on) and C++ (from C++11 on). It takes the C library
 * of POSIX.1-2008, and the atomics that GCC and Clang have on all processors.
 *
 * Why this is correct. The hypervisor writes another ID into page 1 before it
 * lets a clone run. The kernel then stores the new generation and after it,
 * with release semantics, both halves of the ID into page 0. sysgenid_check()
 * loads, each with acquire semantics and so in this order: the first half of
 * the ID that was processed, the first half of the live one, both second
 * halves, and at last the generation. Say that both pairs are equal.
 *
 * - If no clone began between the loads of the live halves, the ID that was
 *   processed is the live one. Its generation was stored before it, and is
 *   what the last load finds, or a later one.
 * - If a clone began in between, then just before it the first pair was equal
 *   because that ID was the live one, and had been processed. If the second
 *   half comes from the clone's processed ID, the last load finds the clone's
 *   generation, which is not the caller's. If the two IDs share that half, it
 *   may still find the earlier generation: that was current when the first
 *   half was loaded, which is within this call.
 *
 * So SYSGENID_CURRENT says: at an instant during this call, the generation
 * was the caller's, and no change was pending. No check can say more, as a
 * snapshot can be taken right after it; whoever has to be certain of a value
 * checks once more after it was made.
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
 * sysgenid_open - open and map /dev/sysgenid
 * @sg: filled in on success
 *
 * The mapping is inherited by fork(), and usable in the child.
 *
 * Return: 0, or a negative errno, with nothing left open: -ENOENT without the
 * driver.
 */
static __inline__ int sysgenid_open(struct sysgenid *sg)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *map;
	int err;

	sg->live = NULL;
	sg->fd = open("/dev/sysgenid", O_RDONLY | O_CLOEXEC);
	if (sg->fd < 0)
		return -errno;

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
 * sysgenid_close - undo sysgenid_open()
 * @sg: what that has filled in
 */
static __inline__ void sysgenid_close(struct sysgenid *sg)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);

	munmap((void *)sg->page, sg->live ? 2 * size : size);
	close(sg->fd);
}

/**
 * sysgenid_check - compare the generation with the caller's, without a
 *                  system call
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
 * sysgenid_current - get the current generation, with a system call
 * @sg:         what sysgenid_open() has filled in
 * @generation: where to store it
 *
 * Processes a pending change first, so that the kernel's random number
 * generator has been reseeded for the generation that this gives.
 *
 * Return: 0, or a negative errno.
 */
static __inline__ int sysgenid_current(const struct sysgenid *sg,
				       __u32 *generation)
{
	if (ioctl(sg->fd, SYSGENID_GET_GENERATION, generation))
		return -errno;
	return 0;
}

#endif /* _SYSGENID_H */
