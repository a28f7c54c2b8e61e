// SPDX-License-Identifier: GPL-2.0
/*
 * A library that has opened the device for good: on SIGUSR1 it prints what
 * sysgenid_check() says of the generation that it knows of, on SIGUSR2 it gets
 * to know the current one.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sysgenid.h>

static const char *const states[] = {
	[SYSGENID_CURRENT] = "current",
	[SYSGENID_CHANGED] = "changed",
	[SYSGENID_PENDING] = "pending",
};

int main(void)
{
	struct sysgenid sg;
	__u32 generation;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setlinebuf(stdout);

	errno = -(sysgenid_open(&sg) ?: sysgenid_current(&sg, &generation));
	if (errno)
		err(EXIT_FAILURE, "sysgenid_open");
	printf("ready generation=%u\n", generation);

	for (;;) {
		sigwait(&set, &sig);
		if (sig == SIGUSR1) {
			printf("%s\n", states[sysgenid_check(&sg, generation)]);
			continue;
		}
		errno = -sysgenid_current(&sg, &generation);
		if (errno)
			err(EXIT_FAILURE, "sysgenid_current");
		printf("generation=%u\n", generation);
	}
}
