// SPDX-License-Identifier: GPL-2.0
/*
 * A control plane: the first thing that runs after a restore, before work
 * reaches the machine. Succeeds as soon as all watchers have adjusted.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sysgenid.h>

/* Not open for writing: it would be a watcher itself. */
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

	while (ioctl(fd, SYSGENID_WAIT_WATCHERS, 5000)) {
		if (errno == ETIME)
			errx(EXIT_FAILURE, "%d watchers are outdated",
			     ioctl(fd, SYSGENID_GET_OUTDATED_WATCHERS));
		if (errno != EINTR)
			err(EXIT_FAILURE, "SYSGENID_WAIT_WATCHERS");
		/* A signal, or another clone, which opening acknowledges. */
		close(fd);
		fd = device();
	}
	puts("all watchers have adjusted");
	return EXIT_SUCCESS;
}
