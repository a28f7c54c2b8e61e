/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The clock of the benchmarks. Under QEMU's -icount shift=0 the time stamp
 * counter of the guest, or the counter of its timer on arm64, counts its
 * instructions, all of them, and goes on in a snapshot's clone where it was.
 */
#ifndef _INSTRUCTIONS_H
#define _INSTRUCTIONS_H

#include <linux/types.h>

static inline __u64 instructions(void)
{
#ifdef __aarch64__
	__u64 count;

	__asm__ __volatile__("isb\n\tmrs %0, cntvct_el0" : "=r" (count) : : "memory");
	return count;
#else
	__u32 low, high;

	__asm__ __volatile__("rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return (__u64)high << 32 | low;
#endif
}

#endif /* _INSTRUCTIONS_H */
