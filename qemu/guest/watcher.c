// SPDX-License-Identifier: GPL-2.0
/*
 * The users of /dev/sysgenid that the demo and the clone tests put into a
 * guest. Each prints one line per event, NAME KEY=VALUE...:
 *
 *   watcher read      a tracked watcher that blocks in read()
 *   watcher poll      a tracked watcher that sleeps in poll()
 *   watcher mmap      looks at the mapped counter, without any system call
 *   watcher control   a control plane: waits until every watcher has adjusted
 *   watcher status    prints the current state once
 *
 * The tracked ones acknowledge a generation only when they are sent SIGUSR1,
 * so that the host can look at the time before.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sysgenid.h>

static int device(int flags)
{
	int fd = open("/dev/sysgenid", flags);

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");
	return fd;
}

static __u32 generation(int fd)
{
	__u32 gen;

	if (ioctl(fd, SYSGENID_GET_GENERATION, &gen))
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
	return gen;
}

static int outdated(int fd)
{
	int n = ioctl(fd, SYSGENID_GET_OUTDATED_WATCHERS);

	if (n < 0)
		err(EXIT_FAILURE, "SYSGENID_GET_OUTDATED_WATCHERS");
	return n;
}

static __u32 read_generation(int fd)
{
	__u32 gen;

	if (read(fd, &gen, sizeof(gen)) != sizeof(gen))
		err(EXIT_FAILURE, "read");
	return gen;
}

static __u32 poll_generation(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, -1) != 1 || p.revents != POLLIN)
		err(EXIT_FAILURE, "poll");
	return generation(fd);
}

/* A newer generation makes the kernel refuse this one; the next round gets it. */
static void acknowledge_when_told(int fd, __u32 gen)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &sig);
	if (write(fd, &gen, sizeof(gen)) == sizeof(gen))
		printf("acknowledged generation=%u\n", gen);
	else
		printf("refused generation=%u errno=%d\n", gen, errno);
}

static void watch(__u32 (*next)(int fd))
{
	int fd = device(O_RDWR);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready generation=%u\n", generation(fd));
	for (;;) {
		__u32 gen = next(fd);

		printf("changed generation=%u\n", gen);
		acknowledge_when_told(fd, gen);
	}
}

static void watch_mapping(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct sysgenid_page *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ,
					  MAP_SHARED, device(O_RDONLY), 0);
	__u32 seen, gen;

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "mmap");
	seen = __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE);
	printf("ready generation=%u\n", seen);
	for (;;) {
		while ((gen = __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE)) == seen)
			nanosleep(&nap, NULL);
		printf("changed generation=%u\n", gen);
		seen = gen;
	}
}

/* Read-only: a control plane must not be among those that it waits for. */
static void control(void)
{
	int fd = device(O_RDONLY);

	printf("ready generation=%u outdated=%d\n", generation(fd), outdated(fd));
	for (;;) {
		__u32 gen = read_generation(fd);

		printf("changed generation=%u outdated=%d\n", gen, outdated(fd));
		if (ioctl(fd, SYSGENID_WAIT_WATCHERS, 0))
			printf("interrupted errno=%d\n", errno);
		else
			printf("adjusted generation=%u outdated=%d\n", gen, outdated(fd));
	}
}

static void print_status(void)
{
	int fd = device(O_RDONLY);
	int count = outdated(fd);

	/* The last to be asked, as each call may find another generation. */
	printf("status generation=%u outdated=%d\n", generation(fd), count);
}

int main(int argc, char **argv)
{
	const char *role = argc == 2 ? argv[1] : "";

	setlinebuf(stdout);
	if (!strcmp(role, "read"))
		watch(read_generation);
	else if (!strcmp(role, "poll"))
		watch(poll_generation);
	else if (!strcmp(role, "mmap"))
		watch_mapping();
	else if (!strcmp(role, "control"))
		control();
	else if (!strcmp(role, "status"))
		print_status();
	else
		errx(EXIT_FAILURE, "usage: watcher read|poll|mmap|control|status");
	return EXIT_SUCCESS;
}
