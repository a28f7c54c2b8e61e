// SPDX-License-Identifier: GPL-2.0
/*
 * A service that waits for the next generation in read(), and renews what must
 * be unique. It opens the device for writing, so control planes wait for it.
 *
 *	cc -O2 -Wall -o reader samples/reader.c
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include <linux/types.h>

static void renew(void)
{
	unsigned long long name;

	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		err(EXIT_FAILURE, "getrandom");
	printf("I am %016llx\n", name);
}

int main(void)
{
	__u32 generation;
	int fd;

	setlinebuf(stdout);
	fd = open("/dev/sysgenid", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");

	renew();
	while (read(fd, &generation, sizeof(generation)) == sizeof(generation)) {
		renew();
		/* EINVAL: a newer generation has begun; the next read() returns it. */
		if (write(fd, &generation, sizeof(generation)) < 0 && errno != EINVAL)
			err(EXIT_FAILURE, "write");
	}
	err(EXIT_FAILURE, "read");
}
