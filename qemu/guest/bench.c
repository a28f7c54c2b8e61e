// SPDX-License-Identifier: GPL-2.0
/*
 * What each use of /dev/sysgenid costs, in instructions:
 *
 *   bench         all uses, and uses of the kernel's own devices
 *   bench polls   poll() of the device alone
 *
 * Prints a line for each use:
 *
 *   INSTRUCTIONS NAME
 *
 * It measures whatever driver is behind /dev/sysgenid, and leaves out what that
 * driver does not have.
 *
 * Everything goes through libc as in any program, and includes the one or two
 * instructions of the loop around it. Of many runs the shortest counts, as
 * no interrupt came in between.
 */
#define _GNU_SOURCE
#include <err.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <sysgenid.h>

#include "instructions.h"

#define RUNS		100
#define OPERATIONS	50
#define MOST_TRACKED	10000
#define PENDING_UEVENTS	64

static int null, zero, event;
static struct pollfd poll_event;
static __u64 count = 1;

/* A tracked watcher, what it has read last, and what it acknowledges. */
static int watcher;
static struct pollfd poll_watcher;
static __u32 value, generation;

/* More descriptors of the device, one for each operation of a run. */
static int others[OPERATIONS];

/*
 * Measures what has to return the expected value, after preparations before
 * each run that do not count. All is inlined, so that nothing is measured that
 * is not in the operation.
 */
static __always_inline
void measure_prepared(const char *name, void (*prepare)(void), int expected,
		      int (*operation)(int i))
{
	__u64 start, spent, least = ~0ULL;

	for (int run = 0; run < RUNS; run++) {
		prepare();
		start = instructions();
		for (int i = 0; i < OPERATIONS; i++)
			operation(i);
		spent = instructions() - start;
		if (spent < least)
			least = spent;
	}

	prepare();
	for (int i = 0; i < OPERATIONS; i++)
		if (operation(i) != expected)
			err(EXIT_FAILURE, "%s", name);
	printf("%llu %s\n", (least + OPERATIONS / 2) / OPERATIONS, name);
}

static void nothing(void)
{
}

static __always_inline
void measure(const char *name, int expected, int (*operation)(int i))
{
	measure_prepared(name, nothing, expected, operation);
}

/* What the figures are to be compared with. */

static int do_getppid(int)
{
	return syscall(SYS_getppid);
}

static int write_null(int)
{
	return write(null, &count, 4);
}

static int read_zero(int)
{
	return read(zero, &value, 4);
}

static int read_event(int)
{
	return read(event, &count, sizeof(count));
}

static int write_and_read_event(int)
{
	write(event, &count, sizeof(count));
	return read(event, &count, sizeof(count));
}

static int do_poll_event(int)
{
	return poll(&poll_event, 1, 0);
}

static int open_and_close_null(int)
{
	return close(open("/dev/null", O_RDWR));
}

static void measure_kernel(void)
{
	null = open("/dev/null", O_RDWR);
	zero = open("/dev/zero", O_RDONLY);
	event = eventfd(0, EFD_NONBLOCK);
	poll_event = (struct pollfd){ event, POLLIN, 0 };

	measure("getppid", getppid(), do_getppid);
	measure("write /dev/null", 4, write_null);
	measure("read /dev/zero", 4, read_zero);
	measure("eventfd read, nothing new", -1, read_event);
	count = 1;
	measure("eventfd write + read", sizeof(count), write_and_read_event);
	measure("eventfd poll, nothing new", 0, do_poll_event);
	measure("open + close /dev/null", 0, open_and_close_null);

	close(event);
	close(zero);
	close(null);
}

/* The device. */

static int device(int flags)
{
	int fd = open("/dev/sysgenid", flags);

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");
	return fd;
}

static int read_generation(int)
{
	return read(watcher, &value, sizeof(value));
}

static int acknowledge(int)
{
	return write(watcher, &generation, sizeof(generation));
}

static int do_poll(int)
{
	return poll(&poll_watcher, 1, 0);
}

/* Unlike the above it registers with the wait queue. */
static int poll_that_may_wait(int)
{
	return poll(&poll_watcher, 1, -1);
}

static int wait_watchers(int)
{
	return ioctl(watcher, SYSGENID_WAIT_WATCHERS, 0);
}

static int get_outdated_watchers(int)
{
	return ioctl(watcher, SYSGENID_GET_OUTDATED_WATCHERS);
}

static int get_generation(int)
{
	return ioctl(watcher, SYSGENID_GET_GENERATION, &generation);
}

static int trigger(int)
{
	return ioctl(watcher, SYSGENID_TRIGGER_GEN_UPDATE, 0);
}

static void renew(void)
{
	if (trigger(0) || get_generation(0))
		err(EXIT_FAILURE, "a new generation");
}

static void measure_up_to_date(void)
{
	renew();
	acknowledge(0);
	measure("read, nothing new", -1, read_generation);
	measure("acknowledge, once more", 4, acknowledge);
	measure("WAIT_WATCHERS, none outdated", 0, wait_watchers);
	measure("GET_OUTDATED_WATCHERS", 0, get_outdated_watchers);
	measure("GET_GENERATION", 0, get_generation);
}

static void open_others(int flags)
{
	for (int i = 0; i < OPERATIONS; i++)
		others[i] = device(flags);
}

static void close_others(void)
{
	for (int i = 0; i < OPERATIONS; i++)
		close(others[i]);
}

static int acknowledge_other(int i)
{
	return write(others[i], &generation, sizeof(generation));
}

static int read_other(int i)
{
	return read(others[i], &value, sizeof(value));
}

static void measure_outdated(void)
{
	renew();
	measure("read, outdated", 4, read_generation);

	/* The watcher itself stays outdated, so that nobody is the last one. */
	open_others(O_RDWR);
	measure_prepared("acknowledge, outdated", renew, 4, acknowledge_other);
	close_others();

	open_others(O_RDONLY);
	measure_prepared("read, outdated, read-only", renew, 4, read_other);
	close_others();
}

static void measure_polls(void)
{
	renew();
	acknowledge(0);
	measure("poll, nothing new", 0, do_poll);
	renew();
	measure("poll, outdated", 1, do_poll);
	measure("poll that may wait, outdated", 1, poll_that_may_wait);
}

static int trigger_read_acknowledge(int)
{
	ioctl(watcher, SYSGENID_TRIGGER_GEN_UPDATE, 0);
	read(watcher, &generation, sizeof(generation));
	return write(watcher, &generation, sizeof(generation));
}

/*
 * A worker sends the uevents, at some other time. Where it never gets the
 * processor, whoever triggers sends the pending ones once there are as many as
 * the driver can remember: in each run but the first as many as are added.
 */
static void measure_trigger_and_uevent(void)
{
	const struct sched_param first = { .sched_priority = 1 }, normal = { 0 };
	__u64 start, spent, least = ~0ULL;

	/* From here on the generation has as many digits, in the uevent, as it ever gets. */
	if (ioctl(watcher, SYSGENID_TRIGGER_GEN_UPDATE, 1000000) ||
	    sched_setscheduler(0, SCHED_FIFO, &first))
		err(EXIT_FAILURE, "trigger, and its uevent");
	for (int run = 0; run < RUNS / 4; run++) {
		start = instructions();
		for (int i = 0; i < PENDING_UEVENTS; i++)
			trigger(i);
		spent = instructions() - start;
		if (run && spent < least)
			least = spent;
	}
	if (sched_setscheduler(0, SCHED_OTHER, &normal))
		err(EXIT_FAILURE, "SCHED_OTHER");
	printf("%llu trigger, and its uevent\n", (least + PENDING_UEVENTS / 2) / PENDING_UEVENTS);
}

static void measure_triggers(void)
{
	static int idle[MOST_TRACKED];
	struct rlimit files = { MOST_TRACKED + 64, MOST_TRACKED + 64 };
	int tracked = 1;

	if (setrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "RLIMIT_NOFILE");
	for (int wanted = 1; wanted <= MOST_TRACKED; wanted *= 10) {
		char name[64];

		for (; tracked < wanted; tracked++)
			idle[tracked] = device(O_RDWR);
		snprintf(name, sizeof(name), "trigger, %d tracked", tracked);
		measure(name, 0, trigger);
	}
	while (--tracked)
		close(idle[tracked]);

	measure_trigger_and_uevent();
	measure("trigger + read + acknowledge", 4, trigger_read_acknowledge);
}

static int open_and_close(int)
{
	return close(open("/dev/sysgenid", O_RDWR));
}

static int open_and_close_read_only(int)
{
	return close(open("/dev/sysgenid", O_RDONLY));
}

static char *map(size_t size)
{
	char *page = mmap(NULL, size, PROT_READ, MAP_SHARED, watcher, 0);

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	return page;
}

static int map_and_unmap(int)
{
	return munmap(map(4096), 4096);
}

static int map_look_unmap(int)
{
	char *page = map(4096);

	(void)__atomic_load_n(page, __ATOMIC_RELAXED);
	return munmap(page, 4096);
}

static int map_and_unmap_both(int)
{
	return munmap(map(8192), 8192);
}

static int map_look_unmap_both(int)
{
	char *pages = map(8192);

	(void)__atomic_load_n(pages, __ATOMIC_RELAXED);
	(void)__atomic_load_n(pages + 4096, __ATOMIC_RELAXED);
	return munmap(pages, 8192);
}

static void measure_files_and_maps(bool has_live_id)
{
	measure("open + close, tracked", 0, open_and_close);
	measure("open + close, read-only", 0, open_and_close_read_only);
	measure("mmap + munmap", 0, map_and_unmap);
	measure("mmap + first look + munmap", 0, map_look_unmap);
	if (!has_live_id)
		return;
	measure("mmap + munmap, with live ID", 0, map_and_unmap_both);
	measure("mmap + first look + munmap, with live ID", 0, map_look_unmap_both);
}

/* The mapped page, without a system call. */

static inline bool word_is_current(const struct sysgenid *sg, __u32 known)
{
	/* Loads it each time, which GCC's atomics do in an instruction of its own. */
	__asm__ __volatile__("" : : : "memory");
	return sg->page->generation == known;
}

static inline bool page_is_current(const struct sysgenid *sg, __u32 known)
{
	return sysgenid_check(sg, known) == SYSGENID_CURRENT;
}

/* Has what it compares in registers, as a loop that draws random numbers. */
static __always_inline
void measure_check(const char *name, const struct sysgenid *sg, __u32 known,
		   bool (*is_current)(const struct sysgenid *sg, __u32 known))
{
	const struct sysgenid local = *sg;
	__u64 start, spent, least = ~0ULL;

	for (int run = 0; run < RUNS; run++) {
		start = instructions();
		for (int i = 0; i < OPERATIONS; i++)
			if (!is_current(&local, known))
				errx(EXIT_FAILURE, "%s", name);
		spent = instructions() - start;
		if (spent < least)
			least = spent;
	}
	printf("%llu %s\n", (least + OPERATIONS / 2) / OPERATIONS, name);
}

static void measure_checks(const struct sysgenid *sg)
{
	measure_check("check of the mapped counter", sg, generation, word_is_current);
	if (sg->live)
		measure_check("check of counter and live ID", sg, generation,
			      page_is_current);
}

int main(int argc, char **argv)
{
	const bool only_polls = argc == 2 && !strcmp(argv[1], "polls");
	struct sysgenid sg = {};

	if (argc > 1 && !only_polls)
		errx(EXIT_FAILURE, "usage: bench [polls]");

	watcher = device(O_RDWR | O_NONBLOCK);
	poll_watcher = (struct pollfd){ watcher, POLLIN, 0 };
	if (only_polls) {
		measure_polls();
		return EXIT_SUCCESS;
	}

	measure_kernel();
	measure_up_to_date();
	measure_outdated();
	measure_polls();
	measure_triggers();

	errno = -sysgenid_open(&sg);
	if (errno)
		err(EXIT_FAILURE, "sysgenid_open");
	measure_files_and_maps(sg.live);
	get_generation(0);
	measure_checks(&sg);
	return EXIT_SUCCESS;
}
