// SPDX-License-Identifier: GPL-2.0
/*
 * What root may ask of the kernel's random number generator:
 *
 *   random credit BITS    counts so many bits more as collected
 *   random reseed         takes a new key
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/random.h>

int main(int argc, char **argv)
{
	int fd = open("/dev/urandom", O_RDWR), bits;

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/urandom");
	if (argc == 3 && !strcmp(argv[1], "credit")) {
		bits = atoi(argv[2]);
		if (ioctl(fd, RNDADDTOENTCNT, &bits))
			err(EXIT_FAILURE, "RNDADDTOENTCNT");
	} else if (argc == 2 && !strcmp(argv[1], "reseed")) {
		if (ioctl(fd, RNDRESEEDCRNG))
			err(EXIT_FAILURE, "RNDRESEEDCRNG");
	} else {
		errx(EXIT_FAILURE, "usage: random credit BITS | random reseed");
	}
	return EXIT_SUCCESS;
}
