// SPDX-License-Identifier: GPL-2.0
/*
 * draw COUNT: prints what COUNT calls of getrandom() return, 16 bytes each, a
 * line of hexadecimal digits per call, to be compared between clones.
 *
 * The system call itself, as the C library's function may serve several calls
 * from one seed.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc == 2 ? atol(argv[1]) : 0;
	unsigned char bytes[16];

	if (count < 1)
		errx(EXIT_FAILURE, "usage: draw COUNT");
	while (count--) {
		if (syscall(SYS_getrandom, bytes, sizeof(bytes), 0) != sizeof(bytes))
			err(EXIT_FAILURE, "getrandom");
		for (size_t i = 0; i < sizeof(bytes); i++)
			printf("%02x", bytes[i]);
		putchar('\n');
	}
	return EXIT_SUCCESS;
}
