// SPDX-License-Identifier: GPL-2.0
/*
 * soak: processes and threads that do with /dev/sysgenid whatever they may, in
 * any order, while the machine is cloned under them. They check at each step
 * what must hold at every moment, and at times, when all are quiet, what must
 * be exact then.
 *
 *   soak SEED [fail] [unload|unbind DEVICE]
 *
 * SEED makes the same random choices again, as far as the scheduler lets them
 * be the same. With "fail", allocations fail at random in those who are not
 * asleep, as /sys/kernel/debug/failslab says. With "unload" or "unbind", the source
 * comes and goes as well.
 *
 * Checked with each call:
 *
 * - what it answers is what the contract allows for such arguments;
 * - no generation is below one that anybody was told before the call;
 * - if it came to the driver, the source was there all the time, and the live ID
 *   the same before and after, then page 0 holds this ID: no answer is stale.
 *
 * Checked when all are quiet:
 *
 * - the numbers of watchers and of outdated ones are those of the descriptors
 *   in /proc;
 * - all who sleep, each in another way, have been told of the latest generation.
 *
 * SIGUSR1 lets all be quiet once and prints "quiet generation=G triggers=N",
 * SIGTERM does the same and ends with "done" and the number of calls. A check
 * that fails prints "failed: WHAT" and ends everything.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sysgenid.h>

#include "../../tests/kselftest/ring.h"

#define PROCESSES	4
#define THREADS		3
#define SLOTS		8
#define PATIENCE_S	(60 * SLOWNESS)
#define PAGE		4096UL
#define MOST_FILES	1024

enum phase { RUN, QUIET, STOP };

/* In which each of those who sleep does so. */
enum way { READ, POLL, EPOLL_LEVEL, EPOLL_EDGE, IO_URING, SETTLE, WAYS };

static const char *const way_names[WAYS] = {
	"read()", "poll()", "epoll, level-triggered", "epoll, edge-triggered",
	"io_uring", "SYSGENID_WAIT_WATCHERS",
};

/* What all processes share. */
static struct shared {
	__u32 phase;
	/* Who is quiet at this time, of the threads that are not asleep. */
	__u32 quiet;
	/* Odd while the source comes or goes, another even number afterwards. */
	__u32 source;
	/* The latest generation that anybody was told. */
	__u32 highest;
	__u32 triggers;
	__u64 calls;
	/* What each of those who sleep has been told last. */
	__u32 told[WAYS];
	bool failed;
} *shared;

static const struct sysgenid_page *page;
static const __u64 *live;

static noreturn void fail(const char *format, ...)
{
	va_list args;

	/* The first failure counts; others may be its consequences. */
	if (!__atomic_exchange_n(&shared->failed, true, __ATOMIC_SEQ_CST)) {
		va_start(args, format);
		printf("failed: ");
		vprintf(format, args);
		printf("\n");
		fflush(stdout);
		va_end(args);
	}
	kill(0, SIGKILL);
	pause();
	_exit(EXIT_FAILURE);
}

static enum phase phase(void)
{
	return __atomic_load_n(&shared->phase, __ATOMIC_ACQUIRE);
}

static __u32 load(const __u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Random choices, of each thread its own. */
static __thread __u64 state;

static void seed(__u64 value)
{
	state = value * 0x9e3779b97f4a7c15ULL + 1;
}

static unsigned int below(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % n;
}

/* What was so before a call. */
struct before {
	__u32 source;
	__u32 highest;
	__u64 id[2];
};

static void read_id(__u64 *id)
{
	id[0] = __atomic_load_n(&live[0], __ATOMIC_ACQUIRE);
	id[1] = __atomic_load_n(&live[1], __ATOMIC_ACQUIRE);
}

static struct before begin(void)
{
	struct before before = {
		.source = load(&shared->source),
		.highest = load(&shared->highest),
	};

	if (live)
		read_id(before.id);
	return before;
}

static void raise_highest(__u32 told)
{
	__u32 highest = load(&shared->highest);

	while (highest < told &&
	       !__atomic_compare_exchange_n(&shared->highest, &highest, told, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

/* After each call, which may have told a generation. */
static void check_generation(const struct before *before, const char *what, const __u32 *told)
{
	__u32 seen = load(&page->generation);

	__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);

	if (seen < before->highest)
		fail("%s: the mapped generation is %u after %u", what, seen, before->highest);
	if (told && *told < before->highest)
		fail("%s: generation %u after %u", what, *told, before->highest);
	if (told)
		raise_highest(*told);
}

/* After a call that has come to the driver. */
static void check(const struct before *before, const char *what, const __u32 *told)
{
	const __u64 *processed = (const __u64 *)(const void *)page->hwid;
	__u64 now[2], then[2];

	then[0] = __atomic_load_n(&processed[0], __ATOMIC_ACQUIRE);
	then[1] = __atomic_load_n(&processed[1], __ATOMIC_ACQUIRE);
	check_generation(before, what, told);

	if (!live || before->source % 2 ||
	    !(__atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & SYSGENID_PAGE_HWID))
		return;
	read_id(now);
	if (memcmp(now, before->id, sizeof(now)) || load(&shared->source) != before->source)
		return;
	if (memcmp(then, now, sizeof(now)))
		fail("%s: the answer is stale", what);
}

/* Descriptors, which a process's threads share. Some are not of the device. */
static int slots[SLOTS];
static pthread_rwlock_t locks[SLOTS];

static int epoll_fd;
static int sockets[2];

/* Takes a slot for a call on its descriptor, -1 if there is none. */
static int take(unsigned int *slot)
{
	*slot = below(SLOTS);
	pthread_rwlock_rdlock(&locks[*slot]);
	return slots[*slot];
}

static void give(unsigned int slot)
{
	pthread_rwlock_unlock(&locks[slot]);
}

/* Puts a descriptor into a slot, and closes the one that was there. */
static void put(int fd)
{
	unsigned int slot = below(SLOTS);

	pthread_rwlock_wrlock(&locks[slot]);
	if (slots[slot] >= 0)
		close(slots[slot]);
	slots[slot] = fd;
	pthread_rwlock_unlock(&locks[slot]);
}

/* Whether allocations fail in this thread. */
static __thread bool failing;

static void begin_to_fail(void)
{
	int fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		fail("make-it-fail: %s", strerror(errno));
	failing = true;
	close(fd);
}

static bool allowed(int error, const int *errors)
{
	if (error == ENOMEM && !failing)
		return false;
	for (; *errors; errors++)
		if (*errors == error)
			return true;
	return false;
}

/* Zero at the end. */
#define ERRORS(...) ((const int[]){ __VA_ARGS__, 0 })

/*
 * A call that answers whether it has succeeded, and nothing else. "heard" is
 * whether the driver has heard of it, unless the error is one that comes before.
 */
static void expect_if(bool heard, const struct before *before, const char *what, long result,
		      const int *errors)
{
	int error = result < 0 ? errno : 0;

	if (error && !allowed(error, errors))
		fail("%s: %s", what, strerror(error));
	if (heard && error != EBADF && error != ENOMEM)
		check(before, what, NULL);
	else
		check_generation(before, what, NULL);
}

static void expect(const struct before *before, const char *what, long result,
		   const int *errors)
{
	expect_if(true, before, what, result, errors);
}

static void do_open(void)
{
	static const int modes[] = { O_RDONLY, O_RDWR, O_WRONLY };
	struct before before = begin();
	int fd = open("/dev/sysgenid", modes[below(3)] | (below(4) ? O_NONBLOCK : 0) | O_CLOEXEC);

	expect(&before, "open", fd, ERRORS(EINTR, ENOMEM));
	put(fd);
}

static void do_close(void)
{
	put(-1);
}

static void do_read(void)
{
	static const size_t sizes[] = { 0, 1, 3, 4, 4, 4, 4, 4, 8 };
	size_t size = sizes[below(9)];
	struct before before;
	unsigned int slot;
	__u32 words[2];
	int fd = take(&slot);
	ssize_t n;

	/* What would wait is for those who sleep. */
	if (fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK)) {
		before = begin();
		n = read(fd, words, size);
		if (n == sizeof(__u32))
			check(&before, "read", words);
		else
			expect(&before, "read", n, ERRORS(EAGAIN, EINVAL, EBADF));
		if (n >= 0 && n != (size < 4 ? 0 : 4))
			fail("read of %zu bytes gave %zd", size, n);
		if (n < 0 && errno == EINVAL && (size == 0 || size >= 4))
			fail("read of %zu bytes: EINVAL", size);
	}
	give(slot);
}

static void do_read_fault(void)
{
	/* Somewhere in the first page, where nothing is mapped. */
	void *nowhere = (void *)(unsigned long)below(PAGE);
	struct before before;
	unsigned int slot;
	int fd = take(&slot);

	if (fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK)) {
		before = begin();
		expect(&before, "read to nowhere", read(fd, nowhere, 4),
		       ERRORS(EFAULT, EAGAIN, EBADF));
	}
	give(slot);
}

static void do_write(void)
{
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot), right = below(4);
	__u32 word = right ? load(&page->generation) : load(&page->generation) + 1 + below(1000);
	size_t size = below(8) ? sizeof(word) : below(8);
	ssize_t n;

	if (fd >= 0) {
		n = write(fd, &word, size);
		if (n >= 0 && (n != 4 || size != 4))
			fail("write of %zu bytes gave %zd", size, n);
		/* In the meantime it may have become right, or wrong. */
		if (n == 4)
			check(&before, "acknowledge", &word);
		else
			expect(&before, "acknowledge", n, ERRORS(EINVAL, EBADF));
	}
	give(slot);
}

static void do_poll(void)
{
	struct before before = begin();
	struct pollfd pfd = { .events = POLLIN | POLLOUT };
	unsigned int slot;

	/* In place of a descriptor, -1 lets it only wait. */
	pfd.fd = take(&slot);
	expect_if(pfd.fd >= 0, &before, "poll", poll(&pfd, 1, below(3)), ERRORS(EINTR));
	if (pfd.fd >= 0 && (pfd.revents & (POLLERR | POLLHUP | POLLNVAL)))
		fail("poll gave %#x", (unsigned int)pfd.revents);
	give(slot);
}

static void do_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN | (below(2) ? EPOLLET : 0) };
	static const int ops[] = { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL };
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot), op = ops[below(3)], ret;

	/* To take one out, or to find none to change, needs no driver. */
	if (fd >= 0) {
		ret = epoll_ctl(epoll_fd, op, fd, &event);
		expect_if(!ret && op != EPOLL_CTL_DEL, &before, "epoll_ctl", ret,
			  ERRORS(EEXIST, ENOENT, ENOMEM));
	}
	give(slot);
	/* An event is one that the driver has just confirmed. */
	ret = epoll_wait(epoll_fd, &event, 1, below(2));
	expect_if(ret == 1, &before, "epoll_wait", ret, ERRORS(EINTR));
}

static void do_ioctl(unsigned long cmd, unsigned long arg, const char *what, const int *errors)
{
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot);

	if (fd >= 0)
		expect(&before, what, ioctl(fd, cmd, arg), errors);
	give(slot);
}

static void do_track(void)
{
	unsigned int arg = below(8) ? below(2) : 2 + below(1000);

	do_ioctl(SYSGENID_SET_WATCHER_TRACKING, arg, "SET_WATCHER_TRACKING",
		 arg > 1 ? ERRORS(EINVAL) : arg ? ERRORS(EBADF) : ERRORS(ENOENT));
}

static void do_wait(void)
{
	do_ioctl(SYSGENID_WAIT_WATCHERS, 1 + below(10), "WAIT_WATCHERS",
		 ERRORS(ETIME, EINTR));
}

static void do_count(void)
{
	do_ioctl(SYSGENID_GET_OUTDATED_WATCHERS, 0, "GET_OUTDATED_WATCHERS", ERRORS(ENOENT));
}

static void do_other_ioctl(void)
{
	do_ioctl(_IO(SYSGENID_IOCTL, 6 + below(100)), below(2), "an unknown ioctl",
		 ERRORS(ENOTTY));
}

static void do_get(void)
{
	struct before before = begin();
	unsigned int slot;
	__u32 told;
	int fd = take(&slot), ret;

	if (fd >= 0) {
		ret = ioctl(fd, SYSGENID_GET_GENERATION, below(16) ? &told : NULL);
		if (ret)
			expect(&before, "GET_GENERATION", ret, ERRORS(EFAULT));
		else
			check(&before, "GET_GENERATION", &told);
	}
	give(slot);
}

static void do_trigger(void)
{
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot);
	bool too_high = !below(8);

	if (fd >= 0) {
		if (ioctl(fd, SYSGENID_TRIGGER_GEN_UPDATE, too_high ? 1UL << 31 : 0UL) == 0) {
			__atomic_fetch_add(&shared->triggers, 1, __ATOMIC_RELAXED);
			if (too_high)
				fail("a trigger beyond the end succeeded");
		} else if (!too_high) {
			fail("trigger: %s", strerror(errno));
		}
		check(&before, "trigger", NULL);
	}
	give(slot);
}

static void do_mmap(void)
{
	unsigned long offset = below(3), pages = 1 + below(2);
	int prot = below(8) ? PROT_READ : PROT_READ | (below(2) ? PROT_WRITE : PROT_EXEC);
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot);
	char *map;

	if (fd >= 0) {
		map = mmap(NULL, pages * PAGE, prot, below(8) ? MAP_SHARED : MAP_PRIVATE, fd,
			   offset * PAGE);
		if (map != MAP_FAILED) {
			if (prot != PROT_READ || offset + pages > 2)
				fail("mmap gave what it must not");
			if (!offset && load((__u32 *)map) < before.highest)
				fail("a new mapping is old");
			if (!mprotect(map, PAGE, PROT_READ | PROT_WRITE))
				fail("mprotect gave what it must not");
			if (below(2))
				madvise(map, PAGE, MADV_DONTNEED);
			if (!offset && load((__u32 *)map) < before.highest)
				fail("a mapping is old");
			munmap(map, pages * PAGE);
		} else if (!allowed(errno, ERRORS(EPERM, EACCES, EINVAL, ENODEV,
						  ENOMEM))) {
			fail("mmap: %s", strerror(errno));
		}
	}
	give(slot);
}

static void do_dup(void)
{
	unsigned int slot;
	int fd = take(&slot);

	fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	give(slot);
	if (fd >= 0)
		put(fd);
}

/* The message that carries a descriptor. */
union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void do_pass(void)
{
	struct iovec byte = { "", 1 };
	union control control = {
		.header = {
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	unsigned int slot;
	int fd = take(&slot);

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (fd >= 0)
		sendmsg(sockets[0], &message, MSG_DONTWAIT);
	give(slot);
}

/* Returns a descriptor that was passed, -1 if there is none, or what was passed is none. */
static int receive(bool *is_empty)
{
	char data;
	struct iovec byte = { &data, 1 };
	union control control;
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	*is_empty = recvmsg(sockets[1], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1;
	if (*is_empty || message.msg_controllen < sizeof(struct cmsghdr))
		return -1;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

static void do_receive(void)
{
	bool is_empty;
	int fd = receive(&is_empty);

	if (fd >= 0)
		put(fd);
}

/* What is on its way is in nobody's /proc. */
static void close_what_is_passed(void)
{
	bool is_empty;
	int fd;

	do {
		fd = receive(&is_empty);
		if (fd >= 0)
			close(fd);
	} while (!is_empty);
}

static void do_proc(void)
{
	struct before before = begin();
	unsigned int slot;
	int fd = take(&slot);
	char path[64];
	__u32 told;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fd >= 0 ? fopen(path, "re") : NULL;
	if (file) {
		char line[128];
		bool found = false;

		errno = 0;
		while (fgets(line, sizeof(line), file))
			if (sscanf(line, "sysgenid_generation: %u", &told) == 1)
				found = true;
		fclose(file);
		if (!found && !allowed(errno, ERRORS(ENOMEM)))
			fail("no generation in fdinfo: %s", strerror(errno));
	}
	give(slot);

	file = fopen("/sys/class/misc/sysgenid/generation", "re");
	if (file && fscanf(file, "%u", &told) == 1)
		check(&before, "sysfs", &told);
	else if (!allowed(errno, ERRORS(ENOMEM)))
		fail("no generation in sysfs: %s", strerror(errno));
	if (file)
		fclose(file);
}

/* What the child of a thread inherits goes when it ends. */
static void do_fork(void)
{
	pid_t pid = fork();

	if (!pid) {
		struct before before = begin();
		__u32 told;
		int fd = open("/dev/sysgenid", O_RDWR);

		if (fd < 0)
			expect(&before, "in a child", fd, ERRORS(ENOMEM));
		else if (ioctl(fd, SYSGENID_GET_GENERATION, &told))
			fail("in a child: %s", strerror(errno));
		else
			check(&before, "in a child", &told);
		_exit(EXIT_SUCCESS);
	}
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
}

/* The more often one is named, the more often it is done. */
static void (*const operations[])(void) = {
	do_open, do_open, do_close, do_close,
	do_read, do_read, do_read, do_read_fault,
	do_write, do_write, do_write, do_write,
	do_poll, do_poll, do_epoll, do_epoll,
	do_track, do_track, do_track, do_wait, do_count,
	do_other_ioctl, do_get, do_get, do_get,
	do_mmap, do_mmap, do_dup, do_pass, do_receive, do_proc,
};

static bool want_failures;

static void *work(void *argument)
{
	seed((__u64)(unsigned long)argument);
	if (want_failures)
		begin_to_fail();
	while (phase() != STOP) {
		if (phase() == QUIET) {
			__atomic_fetch_add(&shared->quiet, 1, __ATOMIC_ACQ_REL);
			while (phase() == QUIET)
				usleep(1000);
			__atomic_fetch_sub(&shared->quiet, 1, __ATOMIC_ACQ_REL);
			continue;
		}
		if (!below(2000))
			do_fork();
		else if (!below(1000))
			do_trigger();
		else
			operations[below(sizeof(operations) / sizeof(*operations))]();
	}
	return NULL;
}

static void ignore(int signal)
{
	(void)signal;
}

static void map_device(void)
{
	struct sysgenid sg;

	errno = -sysgenid_open(&sg);
	if (errno)
		err(EXIT_FAILURE, "/dev/sysgenid");
	page = sg.page;
	live = sg.live;
	/* The mapping stays, and nobody else's descriptor has a number of ours. */
	close(sg.fd);
}

static void run_process(int number, __u64 value)
{
	pthread_t threads[THREADS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_device();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		err(EXIT_FAILURE, "epoll");
	for (int i = 0; i < SLOTS; i++) {
		slots[i] = -1;
		pthread_rwlock_init(&locks[i], NULL);
	}
	for (int i = 0; i < THREADS; i++) {
		value = value * 1000003 + number * THREADS + i + 1;
		if (pthread_create(&threads[i], NULL, work, (void *)(unsigned long)value))
			err(EXIT_FAILURE, "pthread_create");
	}
	/* Some calls are interrupted. */
	seed(value);
	while (phase() != STOP) {
		usleep(1000 + below(20000));
		if (phase() == RUN)
			pthread_kill(threads[below(THREADS)], SIGUSR2);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	_exit(EXIT_SUCCESS);
}

/* Each of those who sleep: is told of each generation, or misses none at the end. */
static void sleep_in(enum way way)
{
	struct epoll_event event = { .events = EPOLLIN | (way == EPOLL_EDGE ? EPOLLET : 0) };
	struct pollfd pfd = { .events = POLLIN };
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .poll32_events = POLLIN };
	struct ring ring;
	int fd, set = -1;
	__u32 told;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	map_device();
	/* The control plane is not outdated itself, as it reads whatever is new. */
	fd = open("/dev/sysgenid", way == SETTLE ? O_RDONLY : O_RDWR);
	if (way == EPOLL_LEVEL || way == EPOLL_EDGE) {
		set = epoll_create1(0);
		if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
			err(EXIT_FAILURE, "epoll");
	}
	if (way == IO_URING && !ring_init(&ring))
		err(EXIT_FAILURE, "io_uring");
	pfd.fd = fd;
	sqe.fd = fd;
	for (;;) {
		struct before before = begin();

		switch (way) {
		case POLL:
			if (poll(&pfd, 1, -1) != 1)
				fail("poll that sleeps: %s", strerror(errno));
			break;
		case EPOLL_LEVEL:
		case EPOLL_EDGE:
			if (epoll_wait(set, &event, 1, -1) != 1)
				fail("epoll_wait that sleeps: %s", strerror(errno));
			break;
		case IO_URING:
			if (!ring_submit(&ring, &sqe, 1) || !(ring_result(&ring) & POLLIN))
				fail("io_uring that sleeps: %s", strerror(errno));
			break;
		default:
			break;
		}
		if (read(fd, &told, sizeof(told)) != sizeof(told))
			fail("read that sleeps: %s", strerror(errno));
		check(&before, "read that sleeps", &told);

		if (way == SETTLE) {
			/* Others never acknowledge; it is enough that it ends in time. */
			if (ioctl(fd, SYSGENID_WAIT_WATCHERS, 100) && errno != ETIME &&
			    errno != EINTR)
				fail("WAIT_WATCHERS that sleeps: %s", strerror(errno));
		} else if (write(fd, &told, sizeof(told)) < 0 && errno != EINVAL) {
			fail("acknowledge after sleep: %s", strerror(errno));
		}
		__atomic_store_n(&shared->told[way], told, __ATOMIC_RELEASE);
	}
}

/* A descriptor of the device, as /proc shows it. */
struct file {
	pid_t pid;
	int fd;
	__u32 acknowledged;
	bool tracked;
};

static struct file files[MOST_FILES];
static unsigned int file_count;

static bool is_same(const struct file *one, const struct file *other)
{
	long ret = syscall(SYS_kcmp, one->pid, other->pid, KCMP_FILE, one->fd, other->fd);

	if (ret < 0)
		fail("kcmp: %s", strerror(errno));
	return ret == 0;
}

static void add_file(pid_t pid, int fd)
{
	struct file file = { .pid = pid, .fd = fd };
	char path[64], line[128];
	unsigned int tracked;
	int found = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	info = fopen(path, "re");
	if (!info)
		return;
	while (fgets(line, sizeof(line), info)) {
		found += sscanf(line, "sysgenid_acked: %u", &file.acknowledged) == 1;
		if (sscanf(line, "sysgenid_tracked: %u", &tracked) == 1) {
			file.tracked = tracked;
			found++;
		}
	}
	fclose(info);
	if (found != 2)
		return;

	for (unsigned int i = 0; i < file_count; i++)
		if (is_same(&files[i], &file))
			return;
	if (file_count == MOST_FILES)
		fail("too many files");
	files[file_count++] = file;
}

static void find_files(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *process, *entry;

	file_count = 0;
	while ((process = readdir(proc))) {
		pid_t pid = atoi(process->d_name);
		char path[64];
		DIR *fds;

		snprintf(path, sizeof(path), "/proc/%d/fd", pid);
		fds = pid > 0 && getpgid(pid) == getpgrp() ? opendir(path) : NULL;
		if (!fds)
			continue;
		while ((entry = readdir(fds)))
			if (entry->d_name[0] != '.')
				add_file(pid, atoi(entry->d_name));
		closedir(fds);
	}
	closedir(proc);
}

static unsigned int attribute(const char *name)
{
	char path[64];
	unsigned int value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/misc/sysgenid/%s", name);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%u", &value) != 1)
		fail("%s: no number", path);
	fclose(file);
	return value;
}

static void wait_until(bool (*is_so)(void), void (*complain)(void))
{
	for (int i = 0; i < PATIENCE_S * 1000 && !is_so(); i++)
		usleep(1000);
	if (!is_so())
		complain();
}

static bool all_quiet(void)
{
	return load(&shared->quiet) == PROCESSES * THREADS;
}

static void somebody_hangs(void)
{
	fail("%u of %u threads come to an end of what they do", load(&shared->quiet),
	     PROCESSES * THREADS);
}

static bool all_told(void)
{
	__u32 current = load(&page->generation);

	for (int way = 0; way < WAYS; way++)
		if (load(&shared->told[way]) != current)
			return false;
	return true;
}

static void somebody_sleeps(void)
{
	__u32 current = load(&page->generation);

	for (int way = 0; way < WAYS; way++)
		if (load(&shared->told[way]) != current)
			fail("%s sleeps on: told %u, the generation is %u", way_names[way],
			     load(&shared->told[way]), current);
	fail("somebody was told too late");
}

/* What must be exact, now that nobody does anything. */
static void check_quiet(void)
{
	unsigned int tracked = 0, outdated = 0;
	__u32 current;

	wait_until(all_quiet, somebody_hangs);
	close_what_is_passed();
	/* A clone that nobody has noticed yet is one more generation. */
	current = attribute("generation");
	if (current)
		wait_until(all_told, somebody_sleeps);
	current = attribute("generation");
	find_files();
	for (unsigned int i = 0; i < file_count; i++) {
		tracked += files[i].tracked;
		outdated += files[i].tracked && files[i].acknowledged != current;
	}
	if (attribute("generation") != current)
		return;
	if (attribute("watchers") != tracked)
		fail("%u watchers, but sysfs says %u", tracked, attribute("watchers"));
	if (attribute("outdated_watchers") != outdated)
		fail("%u outdated, but sysfs says %u", outdated, attribute("outdated_watchers"));
	printf("quiet generation=%u triggers=%u watchers=%u outdated=%u calls=%llu\n", current,
	       load(&shared->triggers), tracked, outdated,
	       (unsigned long long)__atomic_load_n(&shared->calls, __ATOMIC_RELAXED));
	fflush(stdout);
}

/* Everything by programs of the guest, as an administrator does it. */
static bool shell(const char *format, const char *argument)
{
	char command[256];

	snprintf(command, sizeof(command), format, argument);
	return system(command) == 0;
}

static void move_source(const char *way, const char *device)
{
	bool unload = !strcmp(way, "unload");

	__atomic_fetch_add(&shared->source, 1, __ATOMIC_SEQ_CST);
	if (unload ? !shell("rmmod sysgenid_vmgenid", "") :
		     !shell("echo %s >/sys/bus/platform/drivers/sysgenid_vmgenid/unbind", device))
		fail("the source does not go");
	usleep(below(50000));
	if (unload ? !shell("insmod /modules/sysgenid_vmgenid.ko", "") :
		     !shell("echo %s >/sys/bus/platform/drivers/sysgenid_vmgenid/bind", device))
		fail("the source does not come back");
	__atomic_fetch_add(&shared->source, 1, __ATOMIC_SEQ_CST);

	if (shell("rmmod sysgenid 2>/dev/null", ""))
		fail("the device's module goes while it is in use");
}

int main(int argc, char **argv)
{
	const char *way, *device;
	struct sigaction interrupt = { .sa_handler = ignore };
	const struct timespec pause_time = { .tv_nsec = 300000000 };
	sigset_t asked;
	__u64 value;
	int signal;

	value = argc > 1 ? strtoull(*++argv, NULL, 0) : 0;
	want_failures = argc > 2 && !strcmp(argv[1], "fail");
	argv += want_failures;
	way = argv[1];
	device = way && argv[2] ? argv[2] : "";
	if (argc < 2 || (way && strcmp(way, "unload") && strcmp(way, "unbind")))
		errx(EXIT_FAILURE, "usage: soak SEED [fail] [unload|unbind DEVICE]");
	setpgid(0, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets))
		err(EXIT_FAILURE, "what all share");
	sigaction(SIGUSR2, &interrupt, NULL);
	sigemptyset(&asked);
	sigaddset(&asked, SIGUSR1);
	sigaddset(&asked, SIGTERM);
	sigprocmask(SIG_BLOCK, &asked, NULL);

	map_device();
	for (int i = 0; i < PROCESSES; i++)
		if (!fork())
			run_process(i, value);
	for (int i = 0; i < WAYS; i++)
		if (!fork())
			sleep_in(i);

	printf("running\n");
	fflush(stdout);
	seed(value);
	do {
		signal = sigtimedwait(&asked, NULL, &pause_time);
		if (signal < 0) {
			if (way)
				move_source(way, device);
			continue;
		}
		__atomic_store_n(&shared->phase, QUIET, __ATOMIC_SEQ_CST);
		check_quiet();
		__atomic_store_n(&shared->phase, signal == SIGTERM ? STOP : RUN, __ATOMIC_SEQ_CST);
	} while (signal != SIGTERM);

	for (int i = 0; i < PROCESSES; i++)
		if (wait(NULL) < 0)
			err(EXIT_FAILURE, "wait");
	printf("done calls=%llu\n", (unsigned long long)shared->calls);
	fflush(stdout);
	kill(0, SIGKILL);
	return EXIT_SUCCESS;
}
