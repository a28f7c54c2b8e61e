// SPDX-License-Identifier: GPL-2.0
/*
 * awake: never rests, and says what user space sees first when the system wakes
 * up: the generation in the mapped page, looked at without any system call
 * right after the clocks have told of a sleep.
 *
 * CLOCK_BOOTTIME goes on while the system sleeps, CLOCK_MONOTONIC does not. The
 * difference never grows otherwise: whatever comes between the two readings
 * makes it smaller.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sysgenid.h>

#define LEAST_SLEEP	500000000

static __s64 now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static __s64 slept(void)
{
	__s64 boottime = now(CLOCK_BOOTTIME);

	return boottime - now(CLOCK_MONOTONIC);
}

/* Folds a reading into the largest one; whether it tells of a sleep. */
static bool woke(__s64 *most)
{
	__s64 reading = slept(), before = *most;

	if (reading <= before)
		return false;
	*most = reading;
	return reading - before > LEAST_SLEEP;
}

static void print_generation(const char *event, const struct sysgenid_page *page)
{
	printf("%s generation=%u\n", event, __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE));
}

int main(void)
{
	int fd = open("/dev/sysgenid", O_RDONLY);
	const struct sysgenid_page *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ,
						MAP_SHARED, fd, 0);
	__s64 most = slept();

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/sysgenid");
	setlinebuf(stdout);
	for (int i = 0; i < 1000; i++)
		woke(&most);
	print_generation("ready", page);
	for (;;) {
		if (woke(&most))
			print_generation("woke", page);
	}
}
