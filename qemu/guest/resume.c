// SPDX-License-Identifier: GPL-2.0
/*
 * resume: how many instructions a restored guest needs until something has
 * happened, from the very first on.
 *
 *   resume call PADDR          until the first system call has answered with
 *                              the new generation
 *   resume page PADDR          until the mapped counter has changed by itself
 *   resume program PADDR       until a program of ordinary priority sees that
 *   resume watchers PADDR      until 1,000 tracked watchers, each blocked in
 *                              read(), have acknowledged, and a control plane
 *                              has been told so
 *   resume kernel PADDR        until the kernel's own driver has reseeded the
 *                              RNG
 *
 * All but "program" and "kernel" have priority over the workers and programs
 * that also react, as if those ran on another processor. Interrupts and their
 * threads have priority over all.
 *
 * PADDR is where the hardware ID is, by which this program knows that it was
 * restored: it looks at it all the time, in no more than a dozen instructions,
 * and notes the time before each look. After each restore it writes a line to
 * the kernel's log, where the host finds it without disturbing the guest:
 *
 *   resume: INSTRUCTIONS       or "missed", if it did not look at that time
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sysgenid.h>

#include "instructions.h"

#define WATCHERS	1000
#define STACK_SIZE	(32 << 10)
#define LONG_ENOUGH	50000000
#define AWAKE		100000000
#define ASLEEP_US	20000

static struct sysgenid sg;
static __u32 generation;

static void observe(void)
{
	errno = -sysgenid_open(&sg);
	if (!errno)
		errno = -sysgenid_current(&sg, &generation);
	if (errno)
		err(EXIT_FAILURE, "/dev/sysgenid");
}

static __u64 until_call(void)
{
	__u32 before = generation;
	__u64 end;

	errno = -sysgenid_current(&sg, &generation);
	end = instructions();
	if (errno)
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
	if (generation == before)
		errx(EXIT_FAILURE, "the old generation after the restore");
	return end;
}

static __u64 until_page(void)
{
	__u64 end;

	while (__atomic_load_n(&sg.page->generation, __ATOMIC_ACQUIRE) == generation)
		;
	end = instructions();
	generation = sg.page->generation;
	return end;
}

static void *watch(void *argument)
{
	int fd = open("/dev/sysgenid", O_RDWR);
	__u32 value;

	for (;;)
		if (read(fd, &value, sizeof(value)) != sizeof(value) ||
		    write(fd, &value, sizeof(value)) != sizeof(value))
			err(EXIT_FAILURE, "read and acknowledge");
	return argument;
}

static void start_watchers(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	observe();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (int i = 0; i < WATCHERS; i++) {
		errno = pthread_create(&thread, &attr, watch, NULL);
		if (errno)
			err(EXIT_FAILURE, "pthread_create");
	}
	/* Until all are blocked. */
	sleep(1);
}

static __u64 until_watchers(void)
{
	__u64 end;

	/* The descriptor is read-only, so that reading acknowledges. */
	if (read(sg.fd, &generation, sizeof(generation)) != sizeof(generation))
		err(EXIT_FAILURE, "read");
	if (ioctl(sg.fd, SYSGENID_WAIT_WATCHERS, 0))
		err(EXIT_FAILURE, "SYSGENID_WAIT_WATCHERS");
	end = instructions();
	sleep(1);
	return end;
}

static int log_fd;

/* Times in the kernel's log are those of the same counter, but from another zero on. */
static __s64 log_offset;

/* The time of the next line in the log with this text, in microseconds. */
static __u64 log_time(const char *text)
{
	char line[1024];

	for (;;) {
		ssize_t size = read(log_fd, line, sizeof(line) - 1);
		unsigned long long time;

		if (size < 0 && errno == EPIPE)
			continue;
		if (size < 0)
			err(EXIT_FAILURE, "/dev/kmsg");
		line[size] = '\0';
		if (strstr(line, text) && sscanf(line, "%*u,%*u,%llu", &time) == 1)
			return time;
	}
}

static void open_log(void)
{
	__u64 before;

	log_fd = open("/dev/kmsg", O_RDWR);
	if (log_fd < 0 || lseek(log_fd, 0, SEEK_END))
		err(EXIT_FAILURE, "/dev/kmsg");
	before = instructions();
	dprintf(log_fd, "resume: now\n");
	log_offset = before - log_time("resume: now") * 1000;
}

/* Leaves the processor as little idle as the others do. */
static __u64 until_kernel(void)
{
	__u64 start = instructions();

	while (instructions() - start < LONG_ENOUGH)
		;
	return log_time("crng reseeded") * 1000 + log_offset;
}

static const struct what {
	const char *name;
	bool first;
	void (*prepare)(void);
	__u64 (*until)(void);
} whats[] = {
	{ "call", true, observe, until_call },
	{ "page", true, observe, until_page },
	{ "program", false, observe, until_page },
	{ "watchers", true, start_watchers, until_watchers },
	{ "kernel", false, open_log, until_kernel },
};

static const __u64 *map_id(unsigned long paddr)
{
	int fd = open("/dev/mem", O_RDONLY);
	char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, paddr & ~4095UL);

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/mem");
	return (const __u64 *)(page + paddr % 4096);
}

static bool is_new(const __u64 *id, const __u64 *old)
{
	return __atomic_load_n(&id[0], __ATOMIC_RELAXED) != old[0] ||
	       __atomic_load_n(&id[1], __ATOMIC_RELAXED) != old[1];
}

/*
 * Returns a time just before the restore, or 0 if nobody looked then: now and
 * then the rest of the guest has to have its turn.
 */
static __u64 wait_restored(const __u64 *id)
{
	__u64 old[] = { id[0], id[1] };

	for (;;) {
		__u64 begin = instructions(), before, now = begin;

		do {
			before = now;
			now = instructions();
			if (is_new(id, old))
				return before;
		} while (now - begin < AWAKE);
		usleep(ASLEEP_US);
		if (is_new(id, old))
			return 0;
	}
}

int main(int argc, char **argv)
{
	const struct sched_param param = { .sched_priority = 1 };
	const struct what *what = NULL;
	const __u64 *id;
	FILE *log;

	for (size_t i = 0; argc == 3 && i < sizeof(whats) / sizeof(*whats); i++)
		if (!strcmp(argv[1], whats[i].name))
			what = &whats[i];
	if (!what)
		errx(EXIT_FAILURE, "usage: resume call|page|program|watchers|kernel PADDR");
	log = fopen("/dev/kmsg", "w");
	if (!log)
		err(EXIT_FAILURE, "/dev/kmsg");
	setlinebuf(log);

	id = map_id(strtoul(argv[2], NULL, 0));
	what->prepare();
	if (what->first && sched_setscheduler(0, SCHED_FIFO, &param))
		err(EXIT_FAILURE, "SCHED_FIFO");
	puts("ready");
	fflush(stdout);
	for (;;) {
		__u64 start = wait_restored(id), end = what->until();

		if (start)
			fprintf(log, "resume: %llu\n", end - start);
		else
			fprintf(log, "resume: missed\n");
	}
}
