/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The clock of the benchmarks. Under QEMU's -icount shift=0 the time stamp
 * counter of the guest counts its instructions, all of them, and goes on in
 * a snapshot's clone where it was.
 */
#ifndef _INSTRUCTIONS_H
#define _INSTRUCTIONS_H

#include <linux/types.h>

static inline __u64 instructions(void)
{
	__u32 low, high;

	__asm__ __volatile__("rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return (__u64)high << 32 | low;
}

#endif /* _INSTRUCTIONS_H */
