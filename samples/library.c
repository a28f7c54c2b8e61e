// SPDX-License-Identifier: GPL-2.0
/*
 * A library that makes IDs of a random prefix and a number. For each ID it finds
 * out whether the system was cloned, mostly without a system call. This is for
 * one thread: several need a lock, or each a generation and a prefix of its own.
 *
 *	cc -O2 -Wall -Ilib -Iinclude/uapi -o library samples/library.c
 */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include <sysgenid.h>

static struct sysgenid sg;
static __u32 known;
static unsigned long long prefix;

static void renew(void)
{
	if (getrandom(&prefix, sizeof(prefix), 0) != sizeof(prefix))
		err(EXIT_FAILURE, "getrandom");
}

/* Whether another generation has begun since the last call. */
static bool cloned(void)
{
	__u32 before = known;

	if (sysgenid_check(&sg, known) == SYSGENID_CURRENT)
		return false;

	errno = -sysgenid_current(&sg, &known);
	if (errno)
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
	return known != before;
}

/* Asks after it has made the ID, so that none from before a clone is used. */
static void make_id(char *id, size_t size)
{
	static unsigned int number;

	for (;;) {
		snprintf(id, size, "%016llx-%u", prefix, number++);
		if (!cloned())
			return;
		renew();
	}
}

int main(void)
{
	char id[32];

	setlinebuf(stdout);
	errno = -sysgenid_open(&sg);
	if (errno)
		err(EXIT_FAILURE, "/dev/sysgenid");

	cloned();
	renew();
	for (;;) {
		make_id(id, sizeof(id));
		puts(id);
		usleep(100000);
	}
}
