// SPDX-License-Identifier: GPL-2.0
/*
 * wake: what it takes to wake many watchers, in instructions.
 *
 *   wake epoll N      N tracked descriptors in one epoll set of one process
 *   wake readers N    N threads, each blocked in read() on a descriptor
 *
 * A control plane, in a process of its own and of a higher priority, triggers
 * a generation and waits until all have acknowledged. Prints, the least of
 * some rounds each:
 *
 *   INSTRUCTIONS trigger    until SYSGENID_TRIGGER_GEN_UPDATE has returned
 *   INSTRUCTIONS settled    until SYSGENID_WAIT_WATCHERS has returned
 *
 * and the most that a task of still higher priority, for which a timer expires
 * at some time during the trigger, had to wait for its turn:
 *
 *   INSTRUCTIONS delay      while a generation is triggered
 *   INSTRUCTIONS idle       while nothing happens, for comparison
 *
 * With more than one processor it would measure something else.
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <sysgenid.h>

#include "instructions.h"

#define ROUNDS		10
#define PROBES		40
#define STACK_SIZE	(32 << 10)
#define NSEC_PER_SEC	1000000000ULL

static int device(int flags)
{
	int fd = open("/dev/sysgenid", flags | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/sysgenid");
	return fd;
}

static void react(int fd)
{
	__u32 generation;

	if (read(fd, &generation, sizeof(generation)) != sizeof(generation) ||
	    write(fd, &generation, sizeof(generation)) != sizeof(generation))
		err(EXIT_FAILURE, "read and acknowledge");
}

static void watch_by_epoll(int count)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(0);

	for (int i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN };

		event.data.fd = device(O_RDWR);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event))
			err(EXIT_FAILURE, "epoll_ctl");
	}
	for (;;) {
		int ready = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < ready; i++)
			react(events[i].data.fd);
	}
}

static void *watch_by_read(void *argument)
{
	int fd = device(O_RDWR);

	for (;;)
		react(fd);
	return argument;
}

static void watch_by_readers(int count)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	while (count--) {
		errno = pthread_create(&thread, &attr, watch_by_read, NULL);
		if (errno)
			err(EXIT_FAILURE, "pthread_create");
	}
	pause();
}

static const struct way {
	const char *name;
	void (*watch)(int count);
} ways[] = {
	{ "epoll", watch_by_epoll },
	{ "readers", watch_by_readers },
};

static void set_priority(pthread_t thread, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	errno = pthread_setschedparam(thread, SCHED_FIFO, &param);
	if (errno)
		err(EXIT_FAILURE, "SCHED_FIFO");
}

/* Until all others have nothing to do but wait. */
static void let_others_run(void)
{
	usleep(200000);
}

/* The control plane. Its descriptor observes, and so is nobody's to wait for. */
static int control;

static void trigger(void)
{
	if (ioctl(control, SYSGENID_TRIGGER_GEN_UPDATE, 0))
		err(EXIT_FAILURE, "SYSGENID_TRIGGER_GEN_UPDATE");
}

static void settle(void)
{
	__u32 generation;

	/* As it is read-only, reading acknowledges. */
	if (read(control, &generation, sizeof(generation)) != sizeof(generation))
		err(EXIT_FAILURE, "read");
	if (ioctl(control, SYSGENID_WAIT_WATCHERS, 0))
		err(EXIT_FAILURE, "SYSGENID_WAIT_WATCHERS");
}

static void keep_least(__u64 *least, __u64 value)
{
	if (value < *least)
		*least = value;
}

/* Returns how long a trigger takes. */
static __u64 measure(void)
{
	__u64 triggered = ~0ULL, settled = ~0ULL;

	for (int round = 0; round < ROUNDS; round++) {
		__u64 start = instructions();

		trigger();
		keep_least(&triggered, instructions() - start);
		settle();
		keep_least(&settled, instructions() - start);
		let_others_run();
	}
	printf("%llu trigger\n%llu settled\n", triggered, settled);
	return triggered;
}

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * NSEC_PER_SEC + time.tv_nsec;
}

/* The task that wants to run at a certain time, and how much later it did. */
static struct {
	sem_t start, end;
	__u64 time, late;
} probe;

static void *run_probe(void *argument)
{
	for (;;) {
		struct timespec time;

		sem_wait(&probe.start);
		time.tv_sec = probe.time / NSEC_PER_SEC;
		time.tv_nsec = probe.time % NSEC_PER_SEC;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		probe.late = now() - probe.time;
		sem_post(&probe.end);
	}
	return argument;
}

/*
 * The most that the probe was late, for times spread over what lies ahead for
 * so long. A nanosecond is an instruction, also by the kernel's clock.
 */
static __u64 longest_delay(__u64 length, bool wake)
{
	__u64 longest = 0;

	for (int i = 0; i < PROBES; i++) {
		__u64 start = now() + 100000;

		probe.time = start + length * i / PROBES;
		sem_post(&probe.start);
		while (now() < start)
			;
		if (wake)
			trigger();
		else
			while (now() < start + length)
				;
		sem_wait(&probe.end);
		if (probe.late > longest)
			longest = probe.late;
		if (wake)
			settle();
		let_others_run();
	}
	return longest;
}

static void measure_delays(__u64 length)
{
	pthread_t thread;

	sem_init(&probe.start, 0, 0);
	sem_init(&probe.end, 0, 0);
	errno = pthread_create(&thread, NULL, run_probe, NULL);
	if (errno)
		err(EXIT_FAILURE, "pthread_create");
	set_priority(thread, 3);
	printf("%llu delay\n", longest_delay(length, true));
	printf("%llu idle\n", longest_delay(length, false));
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0;
	struct rlimit files = { count + 64, count + 64 };
	const struct way *way = NULL;
	pid_t pid;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (count > 0 && !strcmp(argv[1], ways[i].name))
			way = &ways[i];
	if (!way)
		errx(EXIT_FAILURE, "usage: wake epoll|readers COUNT");

	if (setrlimit(RLIMIT_NOFILE, &files))
		err(EXIT_FAILURE, "RLIMIT_NOFILE");
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		way->watch(count);
		_exit(EXIT_FAILURE);
	}

	control = device(O_RDONLY);
	set_priority(pthread_self(), 1);
	let_others_run();
	measure_delays(measure());

	/* Else it would end at some later time, and its new parent, init, be disturbed. */
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		err(EXIT_FAILURE, "waitpid");
	return EXIT_SUCCESS;
}
