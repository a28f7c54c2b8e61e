// SPDX-License-Identifier: GPL-2.0
/*
 * The first system call after a restore: looks at the pages until a change is
 * pending, that is, the machine was cloned and nobody has noticed yet, and
 * then makes one call, which the last byte of the new hardware ID chooses.
 * Prints what that gave, and the generation in the mapped page right after it.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sysgenid.h>

/* Tracked descriptors, all of which have acknowledged the old generation. */
#define WATCHERS	5

static int watchers[WATCHERS];
static int observer;
static __u32 old;

static int call_write(void)
{
	return write(watchers[0], &old, sizeof(old));
}

static int call_read(void)
{
	__u32 generation;
	int n = read(watchers[0], &generation, sizeof(generation));

	return n == sizeof(generation) ? (int)generation : n;
}

static int call_read_nothing(void)
{
	return read(watchers[0], NULL, 0);
}

static int call_poll(void)
{
	struct pollfd p = { .fd = watchers[0], .events = POLLIN };

	return poll(&p, 1, 0) == 1 ? p.revents : -1;
}

/* Whoever opens the device afterwards begins with the new generation. */
static int call_open(void)
{
	return open("/dev/sysgenid", O_RDWR) < 0 ? -1 :
	       ioctl(observer, SYSGENID_GET_OUTDATED_WATCHERS);
}

static int call_track(void)
{
	return ioctl(watchers[0], SYSGENID_SET_WATCHER_TRACKING, 1);
}

static int call_wait(void)
{
	return ioctl(observer, SYSGENID_WAIT_WATCHERS, 1000);
}

static int call_trigger(void)
{
	return ioctl(observer, SYSGENID_TRIGGER_GEN_UPDATE, 0);
}

static int call_outdated(void)
{
	return ioctl(observer, SYSGENID_GET_OUTDATED_WATCHERS);
}

static int call_generation(void)
{
	__u32 generation;
	int ret = ioctl(observer, SYSGENID_GET_GENERATION, &generation);

	return ret ? ret : (int)generation;
}

static int call_unknown(void)
{
	return ioctl(observer, 0);
}

/* In the order of qemu/tests/test_first_call.py. */
static int (*const calls[])(void) = {
	call_write,
	call_read,
	call_read_nothing,
	call_poll,
	call_open,
	call_track,
	call_wait,
	call_trigger,
	call_outdated,
	call_generation,
	call_unknown,
};

int main(void)
{
	struct sysgenid sg;
	enum sysgenid_state state;
	unsigned int choice;
	int i, result;

	errno = -sysgenid_open(&sg);
	if (errno)
		err(EXIT_FAILURE, "sysgenid_open");
	observer = open("/dev/sysgenid", O_RDONLY | O_NONBLOCK);
	if (observer < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");
	for (i = 0; i < WATCHERS; i++) {
		watchers[i] = open("/dev/sysgenid", O_RDWR | O_NONBLOCK);
		if (watchers[i] < 0)
			err(EXIT_FAILURE, "/dev/sysgenid");
	}
	errno = -sysgenid_current(&sg, &old);
	if (errno)
		err(EXIT_FAILURE, "sysgenid_current");
	printf("ready generation=%u\n", old);
	fflush(stdout);

	do
		state = sysgenid_check(&sg, old);
	while (state == SYSGENID_CURRENT);

	choice = ((const unsigned char *)sg.live)[SYSGENID_HWID_SIZE - 1];
	if (choice >= sizeof(calls) / sizeof(*calls))
		errx(EXIT_FAILURE, "no call %u", choice);
	errno = 0;
	result = calls[choice]();
	printf("called pending=%d result=%d errno=%d generation=%u\n",
	       state == SYSGENID_PENDING, result, result < 0 ? errno : 0,
	       __atomic_load_n(&sg.page->generation, __ATOMIC_ACQUIRE));
	return EXIT_SUCCESS;
}
