// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that draw random numbers as fast as they can, one on each processor,
 * and decide by one of the ways below which of them they may keep:
 *
 *   race getrandom  all of them: what programs get that know of no clones
 *   race word       the first word of the mapped page did not change
 *   race page       sysgenid_check() said before and after that nothing changed
 *   race call       SYSGENID_GET_GENERATION gave the same before and after
 *   race awslc      AWS-LC's RAND_bytes() has given it, which looks at the first
 *                   word by itself; in race-awslc only, see qemu/guest/awslc
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

/* In libawslc.a: NULL in /guest/race, which is built without that. */
#pragma weak awslc_rand_bytes
int awslc_rand_bytes(void *buffer, size_t size);
void __wrap_abort(void);

/* Read by the host: the number of turns so far, and the latest of them. */
struct record {
	__u64 turns;
	__u64 reserved;
	struct draw draws[DRAWS];
};

static struct sysgenid sg;
static struct record *records[MAX_CPUS];
static long cpus;

/* Of this thread, and of the draw that AWS-LC is busy with. */
static __thread long this_cpu;
static __thread bool in_awslc;
static __thread __u32 awslc_began;

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

static bool turn_getrandom(struct draw *d)
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

/* Whatever it gives may be kept: its own check is what is tried. */
static bool turn_awslc(struct draw *d)
{
	d->before = sg.page ? word() : 0;
	awslc_began = d->before;
	in_awslc = true;
	if (awslc_rand_bytes(&d->value, sizeof(d->value)) != 1)
		errx(EXIT_FAILURE, "RAND_bytes");
	in_awslc = false;
	d->after_and_kept = sg.page ? word() : 0;
	return true;
}

static const struct way {
	const char *name;
	bool (*turn)(struct draw *d);
} ways[] = {
	{ "getrandom", turn_getrandom },
	{ "word", turn_word },
	{ "page", turn_page },
	{ "call", turn_call },
	{ "awslc", turn_awslc },
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

static void end_turn(struct record *record, struct draw d, bool kept)
{
	__u64 turn = turns(record);

	d.after_and_kept |= kept ? KEPT : 0;
	record->draws[turn % DRAWS] = d;
	__atomic_store_n(&record->turns, turn + 1, __ATOMIC_RELEASE);
}

static void *race(void *argument)
{
	struct record *record;

	this_cpu = (long)argument;
	record = records[this_cpu];
	for (;;) {
		struct draw d = {};
		bool kept;

		let_others_follow(turns(record));
		kept = way->turn(&d);
		end_turn(record, d, kept);
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
	errno = pthread_create(&thread, &attr, race, (void *)cpu);
	if (errno)
		err(EXIT_FAILURE, "pthread_create");
	pthread_attr_destroy(&attr);
}

/*
 * What the linker puts in abort()'s place (--wrap). AWS-LC calls it if the
 * generation has changed within a draw, and gives no number then. A program
 * would be gone, and be started anew. So is this thread; those of the other
 * processors go on, although the end of the program would be theirs as well,
 * and what they draw counts.
 */
void __wrap_abort(void)
{
	struct draw d = { .before = awslc_began };

	if (!in_awslc || !sg.page || word() == awslc_began) {
		static const char message[] = "abort\n";

		write(STDERR_FILENO, message, sizeof(message) - 1);
		_exit(EXIT_FAILURE);
	}
	d.after_and_kept = word();
	end_turn(records[this_cpu], d, false);
	start(this_cpu);
	for (;;)
		pause();
}

/* Without the device there is nothing that AWS-LC could look at. */
static void open_device(void)
{
	errno = -sysgenid_open(&sg);
	if (errno && !(way->turn == turn_awslc && errno == ENOENT))
		err(EXIT_FAILURE, "/dev/sysgenid");
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(argv[1], ways[i].name))
			way = &ways[i];
	if (!way)
		errx(EXIT_FAILURE, "usage: race getrandom|word|page|call|awslc");
	if (way->turn == turn_awslc && !awslc_rand_bytes)
		errx(EXIT_FAILURE, "race-awslc can do that");

	if (way->turn != turn_getrandom)
		open_device();
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > MAX_CPUS)
		errx(EXIT_FAILURE, "at most %d processors", MAX_CPUS);
	for (long cpu = 0; cpu < cpus; cpu++)
		records[cpu] = new_record();
	for (long cpu = 0; cpu < cpus; cpu++) {
		start(cpu);
		printf("record 0x%llx\n", physical_address(records[cpu]));
	}
	puts("racing");
	fflush(stdout);
	pause();
}
