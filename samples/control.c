// SPDX-License-Identifier: GPL-2.0
/*
 * A control plane: it runs first after a restore, before work reaches the
 * machine, and succeeds as soon as all watchers have acknowledged.
 *
 *	cc -O2 -Wall -Iinclude/uapi -o control samples/control.c
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sysgenid.h>

/* Opened for reading only: one that is open for writing is a watcher itself. */
static int device(void)
{
	int fd = open("/dev/sysgenid", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");
	return fd;
}

int main(void)
{
	int fd = device();

	while (ioctl(fd, SYSGENID_WAIT_WATCHERS, 5000UL)) {
		if (errno == ETIME)
			errx(EXIT_FAILURE, "%d watchers are outdated",
			     ioctl(fd, SYSGENID_GET_OUTDATED_WATCHERS));
		if (errno != EINTR)
			err(EXIT_FAILURE, "SYSGENID_WAIT_WATCHERS");
		/* A signal or another clone. Opening acknowledges its generation. */
		close(fd);
		fd = device();
	}
	puts("all watchers have adjusted");
	return EXIT_SUCCESS;
}
