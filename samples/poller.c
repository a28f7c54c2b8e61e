// SPDX-License-Identifier: GPL-2.0
/*
 * A service with an event loop. It answers each line on its standard input with
 * its name, and takes another name in each generation.
 *
 *	cc -O2 -Wall -o poller samples/poller.c
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <linux/types.h>

static unsigned long long name;

static void renew(void)
{
	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		err(EXIT_FAILURE, "getrandom");
}

static void adjust(int fd)
{
	__u32 generation;

	if (read(fd, &generation, sizeof(generation)) != sizeof(generation))
		err(EXIT_FAILURE, "read");
	renew();
	/* EINVAL: a newer generation has begun; poll() tells at once. */
	if (write(fd, &generation, sizeof(generation)) < 0 && errno != EINVAL)
		err(EXIT_FAILURE, "write");
}

static void answer(void)
{
	char request[128];

	if (!fgets(request, sizeof(request), stdin))
		exit(EXIT_SUCCESS);
	printf("I am %016llx\n", name);
}

int main(void)
{
	struct pollfd fds[] = {
		{ .events = POLLIN },
		{ .events = POLLIN, .fd = STDIN_FILENO },
	};

	setlinebuf(stdout);
	setbuf(stdin, NULL);
	fds[0].fd = open("/dev/sysgenid", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fds[0].fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");

	renew();
	while (poll(fds, 2, -1) > 0) {
		/* Before it answers, so that no answer uses state from before a clone. */
		if (fds[0].revents)
			adjust(fds[0].fd);
		if (fds[1].revents)
			answer();
	}
	err(EXIT_FAILURE, "poll");
}
