// SPDX-License-Identifier: GPL-2.0
/*
 * hold PATH COUNT: opens a file so many times for writing and keeps it open,
 * so that somebody can see what that takes.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0;
	struct rlimit files = { count + 64, count + 64 };

	if (count <= 0)
		errx(EXIT_FAILURE, "usage: hold PATH COUNT");
	if (setrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "RLIMIT_NOFILE");
	for (int i = 0; i < count; i++)
		if (open(argv[1], O_RDWR) < 0)
			err(EXIT_FAILURE, "%s", argv[1]);
	puts("ready");
	fflush(stdout);
	pause();
}
