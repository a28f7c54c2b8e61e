/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of /dev/sysgenid share: results as the kernel gives them,
 * system calls that block in a thread of their own, and loading the module.
 */
#ifndef SYSGENID_TEST_H
#define SYSGENID_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/sysgenid.h>

#include "kselftest_harness.h"

#define DEVICE "/dev/sysgenid"

/* What poll() may ever report for the device, out of all that can be asked. */
#define POLL_OUTDATED	(POLLIN | POLLRDNORM)
#define POLL_ALL	(POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | \
			 POLLWRNORM | POLLWRBAND | POLLRDHUP)

/* Below what any program may map, and what none may touch. */
#define NOWHERE		((void *)0x8000L)
#define KERNEL_ADDRESS	((void *)-4096L)

/* How many times longer everything takes on a kernel that checks all it does. */
#ifndef SLOWNESS
#define SLOWNESS	1
#endif
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	(30 * SLOWNESS)

/* How long something may take that is to happen: long enough for slow emulation. */
#define PATIENCE_S	(15 * SLOWNESS)
/* How long something is watched that must not happen. */
#define WATCH_MS	100

/* The result of a libc call, or -errno. */
#define RET(call)						\
({								\
	long ret_ = (long)(call);				\
								\
	ret_ == -1 ? -(long)errno : ret_;			\
})

/* Opens the device; a failure that the caller did not ask for is explained. */
static inline int open_device(int flags)
{
	int fd = RET(open(DEVICE, flags | O_CLOEXEC));

	if (fd < 0)
		ksft_print_msg("%s: %s: these tests need root and sysgenid.ko loaded\n",
			       DEVICE, strerror(-fd));
	return fd;
}

static inline long trigger(int fd, unsigned long minimum)
{
	return RET(ioctl(fd, SYSGENID_TRIGGER_GEN_UPDATE, minimum));
}

static inline long outdated_watchers(int fd)
{
	return RET(ioctl(fd, SYSGENID_GET_OUTDATED_WATCHERS));
}

static inline long track(int fd, unsigned long on)
{
	return RET(ioctl(fd, SYSGENID_SET_WATCHER_TRACKING, on));
}

static inline long wait_watchers(int fd, unsigned long timeout_ms)
{
	return RET(ioctl(fd, SYSGENID_WAIT_WATCHERS, timeout_ms));
}

/* 64 bits wide, so that neither a generation nor -errno loses anything. */
static inline __s64 generation(int fd)
{
	__u32 gen = 0;
	long ret = RET(ioctl(fd, SYSGENID_GET_GENERATION, &gen));

	return ret ? ret : (__s64)gen;
}

static inline __s64 read_generation(int fd)
{
	__u32 gen = 0;
	long ret = RET(read(fd, &gen, sizeof(gen)));

	return ret == sizeof(gen) ? (__s64)gen : ret;
}

static inline long write_generation(int fd, __u32 gen)
{
	return RET(write(fd, &gen, sizeof(gen)));
}

/* Acknowledges on a descriptor of any access mode. */
static inline bool acknowledge(int fd)
{
	__u32 gen = generation(fd);
	long ret = write_generation(fd, gen);

	return ret == sizeof(gen) || (ret == -EBADF && read_generation(fd) == gen);
}

/* The events that poll() reports now, or -errno. */
static inline int poll_now(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLL_ALL };
	int ret = RET(poll(&pfd, 1, 0));

	return ret < 0 ? ret : pfd.revents;
}

static inline bool is_outdated(int fd)
{
	return poll_now(fd) == POLL_OUTDATED;
}

/* Page 0 of a new mapping, or NULL. */
static inline const struct sysgenid_page *map_page(int fd)
{
	void *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);

	return page == MAP_FAILED ? NULL : page;
}

static inline int unmap_page(const struct sysgenid_page *page)
{
	return munmap((void *)page, sysconf(_SC_PAGESIZE));
}

/* What the page shows now, by a load that the compiler cannot drop. */
static inline __s64 mapped_generation(const struct sysgenid_page *page)
{
	return __atomic_load_n(&page->generation, __ATOMIC_ACQUIRE);
}

/*
 * Numbers of watchers are exact only while nobody else has the device open.
 * A test killed for its timeout may still be on its way out.
 */
static inline bool device_is_idle(int fd)
{
	for (int i = 0; i < 100; i++) {
		if (outdated_watchers(fd) == 0)
			return true;
		usleep(10000);
	}
	ksft_print_msg("%s: outdated watchers: is somebody else using it?\n", DEVICE);
	return false;
}

static inline __s64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

/* A system call in a thread of its own, so that it may block. */
struct call {
	pthread_t thread;
	pid_t tid;
	bool done;
	long nr;
	long args[6];
	long ret;		/* result or -errno */
};

static inline void *call_thread(void *arg)
{
	struct call *call = arg;
	long *a = call->args;

	__atomic_store_n(&call->tid, gettid(), __ATOMIC_RELEASE);
	call->ret = RET(syscall(call->nr, a[0], a[1], a[2], a[3], a[4], a[5]));
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline bool call_start(struct call *call, long nr, const long args[6])
{
	*call = (struct call) { .nr = nr };
	memcpy(call->args, args, sizeof(call->args));
	return pthread_create(&call->thread, NULL, call_thread, call) == 0;
}

/* Whether a thread sleeps inside system call nr: the kernel tells, no guess by time. */
static inline bool sleeps_in(pid_t tid, long nr)
{
	char path[64], line[32] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	return n > 0 && isdigit(line[0]) && atol(line) == nr;
}

/* Waits until the thread sleeps in its system call; false if the call returned instead. */
static inline bool call_blocks(struct call *call)
{
	for (int i = 0; i < PATIENCE_S * 1000; i++) {
		pid_t tid = __atomic_load_n(&call->tid, __ATOMIC_ACQUIRE);

		if (__atomic_load_n(&call->done, __ATOMIC_ACQUIRE))
			return false;
		if (tid && sleeps_in(tid, call->nr))
			return true;
		usleep(1000);
	}
	return false;
}

/* Whether the call goes on blocking while it is watched. */
static inline bool call_stays_blocked(struct call *call)
{
	sleep_ms(WATCH_MS);
	return call_blocks(call);
}

/* The call's result, or -ETIMEDOUT if nothing wakes it. */
static inline long call_join(struct call *call)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PATIENCE_S;
	if (pthread_clockjoin_np(call->thread, NULL, CLOCK_MONOTONIC, &end))
		return -ETIMEDOUT;
	return call->ret;
}

static inline bool read_start(struct call *call, int fd, __u32 *gen)
{
	const long args[6] = { fd, (long)gen, sizeof(*gen) };

	return call_start(call, SYS_read, args);
}

static inline bool read_blocks(struct call *call, int fd, __u32 *gen)
{
	return read_start(call, fd, gen) && call_blocks(call);
}

static inline bool wait_start(struct call *call, int fd, unsigned long timeout_ms)
{
	const long args[6] = { fd, SYSGENID_WAIT_WATCHERS, timeout_ms };

	return call_start(call, SYS_ioctl, args);
}

static inline bool wait_blocks(struct call *call, int fd, unsigned long timeout_ms)
{
	return wait_start(call, fd, timeout_ms) && call_blocks(call);
}

static int signals_seen;

static inline void count_signal(int sig)
{
	__atomic_add_fetch(&signals_seen, 1, __ATOMIC_SEQ_CST);
}

/* Interrupts a call by SIGUSR1 and waits until the handler has run. */
static inline bool call_interrupt(struct call *call, int sa_flags)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = sa_flags };
	int before = signals_seen;

	if (sigaction(SIGUSR1, &action, NULL) || pthread_kill(call->thread, SIGUSR1))
		return false;
	for (int i = 0; i < PATIENCE_S * 1000; i++) {
		if (__atomic_load_n(&signals_seen, __ATOMIC_SEQ_CST) != before)
			return true;
		usleep(1000);
	}
	return false;
}

/* A child dies with the test, so that a failed test leaves no watcher behind. */
static inline pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

/*
 * Where a child tells that it is ready and waits until it may go on. If one
 * side dies, the other reads the end of its pipe and does not hang.
 */
struct gate {
	int ready[2];
	int go[2];
};

static inline bool gate_init(struct gate *gate)
{
	return !pipe(gate->ready) && !pipe(gate->go);
}

/* For the child: tells that it is ready, waits until it may go on. */
static inline bool gate_pass(struct gate *gate)
{
	char c;

	close(gate->ready[0]);
	close(gate->go[1]);
	return write(gate->ready[1], "", 1) == 1 && read(gate->go[0], &c, 1) == 1;
}

/* For the parent: waits until the child is ready. */
static inline bool gate_wait(struct gate *gate)
{
	char c;

	close(gate->ready[1]);
	close(gate->go[0]);
	return read(gate->ready[0], &c, 1) == 1;
}

static inline bool gate_open(struct gate *gate)
{
	return write(gate->go[1], "", 1) == 1;
}

/* Runs statement in a child that shares the test's verdict, and waits for its end. */
#define IN_CHILD(statement)					\
do {								\
	pid_t pid_ = fork_child();					\
	int status_ = -1;					\
								\
	ASSERT_LE(0, pid_);					\
	if (!pid_) {						\
		statement;					\
		_exit(0);					\
	}							\
	ASSERT_EQ(pid_, waitpid(pid_, &status_, 0));		\
	ASSERT_EQ(0, status_);					\
} while (0)

/* Hears of all uevents from now on: a socket or -errno. */
static inline int open_uevents(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int size = 16 << 20;
	int fd = RET(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT));

	if (fd < 0 ||
	    (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) &&
	     !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) &&
	     !bind(fd, (struct sockaddr *)&addr, sizeof(addr))))
		return fd;
	close(fd);
	return -errno;
}

/* The value of a variable of a uevent, or "". */
static inline const char *uevent_value(const char *event, size_t size, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = event; line < event + size; line += strlen(line) + 1)
		if (!strncmp(line, name, length) && line[length] == '=')
			return line + length + 1;
	return "";
}

/* The generation of the next change of the device, -ENODEV if the device has gone, or -errno. */
static inline __s64 next_event(int socket, int flags)
{
	char event[4096];

	for (;;) {
		long size = RET(recv(socket, event, sizeof(event) - 1, flags));

		if (size < 0)
			return size;
		event[size] = '\0';
		if (strcmp(uevent_value(event, size, "DEVNAME"), "sysgenid") ||
		    strcmp(uevent_value(event, size, "SUBSYSTEM"), "misc"))
			continue;
		if (!strcmp(uevent_value(event, size, "ACTION"), "change"))
			return strtoll(uevent_value(event, size, "SYSGENID"), NULL, 10);
		if (!strcmp(uevent_value(event, size, "ACTION"), "remove"))
			return -ENODEV;
	}
}

static inline long module_unload(void)
{
	return RET(syscall(SYS_delete_module, "sysgenid", O_NONBLOCK));
}

static inline long module_load(const char *params)
{
	const char *path = getenv("SYSGENID_KO") ?: "/modules/sysgenid.ko";
	long ret;
	int fd;

	fd = RET(open(path, O_RDONLY | O_CLOEXEC));
	if (fd < 0) {
		ksft_print_msg("%s: %s: set SYSGENID_KO to where sysgenid.ko is\n",
			       path, strerror(-fd));
		return fd;
	}
	ret = RET(syscall(SYS_finit_module, fd, params, 0));
	close(fd);
	return ret;
}

/* Whatever state the module is in, it is freshly loaded afterwards. */
static inline long module_reload(const char *params)
{
	long ret = module_unload();

	if (ret && ret != -ENOENT) {
		ksft_print_msg("sysgenid: cannot unload: %s: is somebody else using it?\n",
			       strerror(-ret));
		return ret;
	}
	return module_load(params);
}

#endif /* SYSGENID_TEST_H */
