// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that draw random numbers as fast as they can, one on each processor,
 * and decide by one of the ways below which of them they may keep:
 *
 *   race none    all of them: what the kernel gives without any check
 *   race word    the first word of the mapped page did not change
 *   race page    sysgenid_check() said before and after that nothing changed
 *   race call    SYSGENID_GET_GENERATION gave the same before and after
 *
 * What they draw goes into a huge page per thread, whose physical address is
 * printed, so that the host can look at it while the machine is stopped, at
 * the very point where a snapshot was taken.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <sysgenid.h>

#define HUGE_SIZE	(2UL << 20)
#define PAGE_SIZE	4096UL

/* What a thread has drawn in one turn, and the generations around it. */
struct draw {
	__u64 value;
	__u32 before;
	__u32 after_and_kept;
};

#define KEPT		0x80000000U
#define DRAWS		(HUGE_SIZE / sizeof(struct draw) - 1)

/* So many turns a thread may be ahead of another, lest its record overflows. */
#define LEAD		20000
#define MAX_CPUS	64

/* Read by the host: the number of turns so far, and the latest of them. */
struct record {
	__u64 turns;
	__u64 reserved;
	struct draw draws[DRAWS];
};

static struct sysgenid sg;
static struct record *records[MAX_CPUS];
static long cpus;

static __u64 draw(void)
{
	__u64 value;

	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		err(EXIT_FAILURE, "getrandom");
	return value;
}

static __u32 call(void)
{
	__u32 generation;

	errno = -sysgenid_current(&sg, &generation);
	if (errno)
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
	return generation;
}

static __u32 word(void)
{
	return __atomic_load_n(&sg.page->generation, __ATOMIC_ACQUIRE);
}

static bool turn_none(struct draw *d)
{
	d->value = draw();
	return true;
}

static bool turn_word(struct draw *d)
{
	d->before = word();
	d->value = draw();
	d->after_and_kept = word();
	return d->before == d->after_and_kept;
}

/* As a library would do it: a system call only when the pages ask for one. */
static bool turn_page(struct draw *d)
{
	static __thread __u32 known;

	if (sysgenid_check(&sg, known) != SYSGENID_CURRENT)
		known = call();
	d->before = known;
	d->value = draw();
	d->after_and_kept = known;
	return sysgenid_check(&sg, known) == SYSGENID_CURRENT;
}

static bool turn_call(struct draw *d)
{
	d->before = call();
	d->value = draw();
	d->after_and_kept = call();
	return d->before == d->after_and_kept;
}

static const struct way {
	const char *name;
	bool (*turn)(struct draw *d);
} ways[] = {
	{ "none", turn_none },
	{ "word", turn_word },
	{ "page", turn_page },
	{ "call", turn_call },
};

static const struct way *way;

static struct record *new_record(void)
{
	struct record *record = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
				     MAP_POPULATE, -1, 0);

	if (record == MAP_FAILED)
		err(EXIT_FAILURE, "a huge page (hugepages= on the command line?)");
	return record;
}

/* Documentation/admin-guide/mm/pagemap.rst: bits 0 to 54 are the frame. */
static __u64 physical_address(const void *address)
{
	__u64 entry;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, &entry, sizeof(entry), (unsigned long)address / PAGE_SIZE *
			    sizeof(entry)) != sizeof(entry))
		err(EXIT_FAILURE, "/proc/self/pagemap");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE_SIZE;
}

static __u64 turns(const struct record *record)
{
	return __atomic_load_n(&record->turns, __ATOMIC_ACQUIRE);
}

/* Busy while it waits, like everything in this race. */
static void let_others_follow(__u64 turn)
{
	for (long cpu = 0; cpu < cpus; cpu++)
		while (turn > turns(records[cpu]) + LEAD)
			;
}

static void *race(void *argument)
{
	struct record *record = argument;

	for (__u64 turn = 0;; turn++) {
		struct draw d = {};
		bool kept;

		let_others_follow(turn);
		kept = way->turn(&d);
		d.after_and_kept |= kept ? KEPT : 0;
		record->draws[turn % DRAWS] = d;
		__atomic_store_n(&record->turns, turn + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void start(long cpu)
{
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	errno = pthread_create(&thread, &attr, race, records[cpu]);
	if (errno)
		err(EXIT_FAILURE, "pthread_create");
	printf("record 0x%llx\n", physical_address(records[cpu]));
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name))
			way = &ways[i];
	if (!way)
		errx(EXIT_FAILURE, "usage: race none|word|page|call");

	if (way->turn != turn_none) {
		errno = -sysgenid_open(&sg);
		if (errno)
			err(EXIT_FAILURE, "/dev/sysgenid");
	}
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > MAX_CPUS)
		errx(EXIT_FAILURE, "at most %d processors", MAX_CPUS);
	for (long cpu = 0; cpu < cpus; cpu++)
		records[cpu] = new_record();
	for (long cpu = 0; cpu < cpus; cpu++)
		start(cpu);
	puts("racing");
	fflush(stdout);
	pause();
}
