// SPDX-License-Identifier: GPL-2.0
/*
 * failing: lets what a call does in the kernel fail, one thing after the other.
 *
 *   failing N insert FILE		loads a module
 *   failing N remove NAME		unloads a module
 *   failing N write FILE TEXT		writes to a file, such as a driver's "bind"
 *
 * does so once, and lets the N-th allocation or user copy on its way fail, none
 * if N is 0. It prints "done" or the name of the error, and ends with status 3
 * if there were fewer than N.
 *
 *   failing every CALL
 *
 * does a call on /dev/sysgenid again and again, until each allocation and user
 * copy on its way has failed twice, and checks each time that a call that fails
 * has done nothing, and succeeds at the next try. It prints "faults=COUNT", and
 * how often each error was what the call said.
 *
 * The kernel has to be told before what may fail, see failslab,
 * fail_page_alloc and fail_usercopy in its debugfs.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sysgenid.h>

#define DEVICE		"/dev/sysgenid"
#define MISC		"/sys/class/misc/sysgenid/"
#define SOURCE		"/sys/module/sysgenid_test_source/parameters/"
#define NOT_REACHED	3
#define MOST_FAULTS	1000
#define PAGE		4096UL

/* How many announcements may be pending. */
#define PENDING		64

/* No two mappings share a page table of whatever level but the highest. */
#define FAR		0x8000000000UL

/* --- Faults */

static int fail_nth = -1;

static void arm(int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", nth);
	if (pwrite(fail_nth, text, strlen(text), 0) < 0)
		err(EXIT_FAILURE, "fail-nth");
}

/* Whether the fault has come. To read that copies to user space, which may be it. */
static bool disarm(void)
{
	char text[16] = "";
	bool has_come = pread(fail_nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	/* The same may happen to the copy from user space, and then all is as it is to be. */
	(void)!pwrite(fail_nth, "0", 1, 0);
	return has_come;
}

/* --- What is done once */

static int insert(int fd, char **args)
{
	(void)args;
	return syscall(SYS_finit_module, fd, "", 0);
}

static int remove_module(int fd, char **args)
{
	(void)fd;
	return syscall(SYS_delete_module, args[0], O_NONBLOCK);
}

static int write_text(int fd, char **args)
{
	return write(fd, args[1], strlen(args[1]));
}

static const struct operation {
	const char *name;
	int args;
	/* How to open the file that is the first argument, if it is one. */
	int flags;
	int (*run)(int fd, char **args);
} operations[] = {
	{ "insert", 1, O_RDONLY, insert },
	{ "remove", 1, -1, remove_module },
	{ "write", 2, O_WRONLY, write_text },
};

static int run_once(int nth, const struct operation *operation, char **args)
{
	int fd = -1, result, error;
	bool has_come;

	if (operation->flags >= 0) {
		fd = open(args[0], operation->flags | O_CLOEXEC);
		if (fd < 0)
			err(EXIT_FAILURE, "%s", args[0]);
	}

	arm(nth);
	result = operation->run(fd, args);
	error = errno;
	has_come = disarm();

	puts(result < 0 ? strerrorname_np(error) : "done");
	return has_come || !nth ? EXIT_SUCCESS : NOT_REACHED;
}

/* --- Calls on the device */

/* What a call that has succeeded has returned. */
static int answer;

/* Tracked; and one that acknowledges with each read. */
static int watcher = -1, reader = -1;
static __u32 generation;

static void open_both(void)
{
	watcher = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	reader = open(DEVICE, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (watcher < 0 || reader < 0)
		err(EXIT_FAILURE, DEVICE);
}

static __u32 current(void)
{
	__u32 value;

	if (ioctl(watcher, SYSGENID_GET_GENERATION, &value))
		err(EXIT_FAILURE, "SYSGENID_GET_GENERATION");
	return value;
}

static int number(const char *path)
{
	FILE *file = fopen(path, "re");
	int value;

	if (!file || fscanf(file, "%d", &value) != 1)
		err(EXIT_FAILURE, "%s", path);
	fclose(file);
	return value;
}

static bool is_outdated(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	if (poll(&pollfd, 1, 0) < 0)
		err(EXIT_FAILURE, "poll()");
	return pollfd.revents & POLLIN;
}

static void trigger(void)
{
	if (ioctl(watcher, SYSGENID_TRIGGER_GEN_UPDATE, 0))
		err(EXIT_FAILURE, "SYSGENID_TRIGGER_GEN_UPDATE");
	generation = current();
}

/* Both are outdated, and one watcher is. */
static void check_outdated(void)
{
	if (current() != generation || !is_outdated(watcher) || !is_outdated(reader) ||
	    ioctl(watcher, SYSGENID_GET_OUTDATED_WATCHERS) != 1)
		errx(EXIT_FAILURE, "a call that has failed has acknowledged");
}

/* Where nothing is mapped, nor any page table there. */
static void *far_away(void)
{
	static unsigned long next = 1;

	if (next == 200)
		next = 1;
	return (void *)(next++ * FAR);
}

static void *map_far(size_t size, int prot, int flags, int fd, off_t offset)
{
	void *at = far_away();
	void *mapped = mmap(at, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);

	if (mapped != MAP_FAILED && mapped != at)
		errx(EXIT_FAILURE, "mmap() elsewhere");
	return mapped;
}

/* --- open() */

static int opened_before;

static void before_open(void)
{
	opened_before = number(MISC "watchers");
}

static int call_open(void)
{
	return open(DEVICE, O_RDWR | O_CLOEXEC);
}

static void failed_open(void)
{
	if (number(MISC "watchers") != opened_before)
		errx(EXIT_FAILURE, "a descriptor that was not opened is tracked");
}

static void done_open(void)
{
	if (number(MISC "watchers") != opened_before + 1)
		errx(EXIT_FAILURE, "a descriptor is not tracked");
	close(answer);
	failed_open();
}

/* --- read(), readv(), SYSGENID_GET_GENERATION: into a page that is not there yet */

static __u32 *fresh;

static void before_copy(void)
{
	trigger();
	fresh = map_far(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fresh == MAP_FAILED)
		err(EXIT_FAILURE, "mmap()");
}

static int call_read(void)
{
	return read(reader, fresh, sizeof(*fresh));
}

static int call_readv(void)
{
	struct iovec parts[] = { { fresh, 1 }, { (char *)fresh + 1, sizeof(*fresh) - 1 } };

	return readv(reader, parts, 2);
}

static int call_get(void)
{
	return ioctl(reader, SYSGENID_GET_GENERATION, fresh);
}

static void done_copy(void)
{
	if (*fresh != generation)
		errx(EXIT_FAILURE, "generation %u, not %u", *fresh, generation);
	if (answer == sizeof(*fresh) && is_outdated(reader))
		errx(EXIT_FAILURE, "not acknowledged");
	munmap(fresh, PAGE);
}

/* --- write(), writev(): from a page that is not mapped yet */

static int file = -1;
static const __u32 *stored;

static void before_write(void)
{
	trigger();
	if (file < 0)
		file = memfd_create("generation", MFD_CLOEXEC);
	if (file < 0 || pwrite(file, &generation, sizeof(generation), 0) != sizeof(generation))
		err(EXIT_FAILURE, "memfd_create()");
	stored = map_far(PAGE, PROT_READ, MAP_SHARED, file, 0);
	if (stored == MAP_FAILED)
		err(EXIT_FAILURE, "mmap()");
}

static int call_write(void)
{
	return write(watcher, stored, sizeof(*stored));
}

static int call_writev(void)
{
	struct iovec parts[] = {
		{ (void *)stored, 1 }, { (char *)stored + 1, sizeof(*stored) - 1 },
	};

	return writev(watcher, parts, 2);
}

static void done_write(void)
{
	if (answer != sizeof(*stored) || is_outdated(watcher))
		errx(EXIT_FAILURE, "not acknowledged");
	munmap((void *)stored, PAGE);
}

/* --- mmap(), mremap(), fork() */

static const struct sysgenid_page *page;
static void *at;

static void check_page(const struct sysgenid_page *shown)
{
	if (shown->generation != generation)
		errx(EXIT_FAILURE, "generation %u mapped, not %u", shown->generation, generation);
}

static void before_map(void)
{
	trigger();
	at = far_away();
}

static int map_pages(size_t count, off_t first)
{
	page = mmap(at, count * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, reader,
		    first * PAGE);
	return page == MAP_FAILED ? -1 : 0;
}

static int call_mmap(void)
{
	return map_pages(1, 0);
}

static void done_mmap(void)
{
	check_page(page);
	munmap(at, PAGE);
}

static int call_mmap_both(void)
{
	return map_pages(2, 0);
}

static void done_mmap_both(void)
{
	const char *live = (const char *)page + PAGE + page->hwid_offset;

	check_page(page);
	if (memcmp(live, page->hwid, sizeof(page->hwid)))
		errx(EXIT_FAILURE, "another ID in page 1");
	munmap(at, 2 * PAGE);
}

static int call_mmap_live(void)
{
	return map_pages(1, 1);
}

static void done_mmap_live(void)
{
	const unsigned char *live = (const unsigned char *)page;
	unsigned char all = 0;

	for (size_t n = 0; n < PAGE; n++)
		all |= live[n];
	if (!all)
		errx(EXIT_FAILURE, "no ID in page 1");
	munmap(at, PAGE);
}

static void before_move(void)
{
	before_map();
	if (call_mmap())
		err(EXIT_FAILURE, "mmap()");
	at = far_away();
}

static int call_mremap(void)
{
	void *moved = mremap((void *)page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);

	if (moved == MAP_FAILED)
		return -1;
	page = moved;
	return 0;
}

static void failed_move(void)
{
	check_page(page);
}

static int children_before;

static void before_fork(void)
{
	before_map();
	if (call_mmap())
		err(EXIT_FAILURE, "mmap()");
	children_before = number(MISC "watchers");
}

static int call_fork(void)
{
	/* Not the library's, which does more than that. */
	int pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(page->generation != generation);
	return pid;
}

static void failed_fork(void)
{
	check_page(page);
	if (number(MISC "watchers") != children_before)
		errx(EXIT_FAILURE, "a child that there is not watches");
}

static void done_fork(void)
{
	int status;

	if (waitpid(answer, &status, 0) != answer || status)
		errx(EXIT_FAILURE, "a child sees another generation");
	failed_fork();
	munmap(at, PAGE);
}

/* --- poll(), epoll_ctl() */

static int epoll = -1;

static void before_epoll(void)
{
	__u32 value;

	(void)!read(reader, &value, sizeof(value));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		err(EXIT_FAILURE, "epoll_create1()");
}

static int call_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, reader, &event);
}

static void check_epoll(int expected)
{
	struct epoll_event event;

	trigger();
	if (epoll_wait(epoll, &event, 1, 0) != expected)
		errx(EXIT_FAILURE, "%s epoll event", expected ? "no" : "an");
}

static void failed_epoll(void)
{
	check_epoll(0);
}

static void done_epoll(void)
{
	check_epoll(1);
	close(epoll);
}

static int call_poll(void)
{
	struct pollfd pollfd = { .fd = reader, .events = POLLIN };

	return poll(&pollfd, 1, 0);
}

static void done_poll(void)
{
	if (answer != 1)
		errx(EXIT_FAILURE, "poll() sees no generation");
}

/* --- A change: nothing on its way may fail */

static int call_trigger(void)
{
	return ioctl(watcher, SYSGENID_TRIGGER_GEN_UPDATE, 0);
}

static void never_fails(void)
{
	errx(EXIT_FAILURE, "a change has failed");
}

static void done_change(void)
{
	if (current() != generation + 1 || ioctl(watcher, SYSGENID_GET_OUTDATED_WATCHERS) != 1)
		errx(EXIT_FAILURE, "the change was lost");
}

/* The worker that announces changes does not get the only processor, until this has to help. */
static void before_trigger_full(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		err(EXIT_FAILURE, "SCHED_FIFO");
	for (int n = 0; n < PENDING; n++)
		trigger();
}

static void done_trigger_full(void)
{
	const struct sched_param param = {};

	if (sched_setscheduler(0, SCHED_OTHER, &param))
		err(EXIT_FAILURE, "SCHED_OTHER");
	/* Now it does, and leaves nothing for the next time. */
	usleep(100000);
	done_change();
}

static int source_id = -1, source_notify = -1;

/* The hardware ID is another one, and nobody has noticed. */
static void before_notice(void)
{
	char id[34];

	/* Nobody is outdated until somebody notices. */
	trigger();
	if (write(watcher, &generation, sizeof(generation)) < 0)
		err(EXIT_FAILURE, "write()");
	if (source_id < 0) {
		source_id = open(SOURCE "id", O_WRONLY | O_CLOEXEC);
		source_notify = open(SOURCE "notify", O_WRONLY | O_CLOEXEC);
	}
	/* No ID comes back, whoever runs this once more. */
	snprintf(id, sizeof(id), "%032x", generation);
	if (source_id < 0 || pwrite(source_id, id, 32, 0) != 32)
		err(EXIT_FAILURE, SOURCE "id");
}

static int call_notice(void)
{
	return ioctl(watcher, SYSGENID_GET_OUTDATED_WATCHERS);
}

static void done_notice(void)
{
	if (answer != 1)
		errx(EXIT_FAILURE, "the call that was to notice the change has not");
	done_change();
}

static int call_notify(void)
{
	return pwrite(source_notify, "1", 1, 0);
}

/* --- What /sys and /proc show */

static char shown_path[64];

static int show(void)
{
	char text[256];
	int fd = open(shown_path, O_RDONLY | O_CLOEXEC);
	int error, size;

	if (fd < 0)
		return -1;
	size = read(fd, text, sizeof(text));
	error = errno;
	close(fd);
	errno = error;
	return size;
}

static void before_attribute(void)
{
	snprintf(shown_path, sizeof(shown_path), MISC "generation");
}

static void before_fdinfo(void)
{
	snprintf(shown_path, sizeof(shown_path), "/proc/self/fdinfo/%d", watcher);
}

static void done_show(void)
{
	if (answer <= 0)
		errx(EXIT_FAILURE, "%s is empty", shown_path);
}

static void nothing(void)
{
}

static const struct call {
	const char *name;
	void (*before)(void);
	int (*call)(void);
	/* What must hold after it has failed, and after it has succeeded. */
	void (*failed)(void);
	void (*done)(void);
} calls[] = {
	{ "open", before_open, call_open, failed_open, done_open },
	{ "read", before_copy, call_read, check_outdated, done_copy },
	{ "readv", before_copy, call_readv, check_outdated, done_copy },
	{ "get-generation", before_copy, call_get, check_outdated, done_copy },
	{ "write", before_write, call_write, check_outdated, done_write },
	{ "writev", before_write, call_writev, check_outdated, done_write },
	{ "poll", trigger, call_poll, check_outdated, done_poll },
	{ "epoll", before_epoll, call_epoll, failed_epoll, done_epoll },
	{ "mmap", before_map, call_mmap, nothing, done_mmap },
	{ "mmap-both", before_map, call_mmap_both, nothing, done_mmap_both },
	{ "mmap-live", before_map, call_mmap_live, nothing, done_mmap_live },
	{ "mremap", before_move, call_mremap, failed_move, done_mmap },
	{ "fork", before_fork, call_fork, failed_fork, done_fork },
	{ "attribute", before_attribute, show, nothing, done_show },
	{ "fdinfo", before_fdinfo, show, nothing, done_show },
	{ "trigger", trigger, call_trigger, never_fails, done_change },
	{ "trigger-full", before_trigger_full, call_trigger, never_fails, done_trigger_full },
	{ "notice", before_notice, call_notice, never_fails, done_notice },
	{ "notify", before_notice, call_notify, nothing, done_change },
};

static void run_every(const struct call *call)
{
	static int errors[MOST_FAULTS], faults;
	bool has_come = true;

	open_both();
	generation = current();
	/* Twice, as the kernel needs memory for a table of its own now and then. */
	for (int run = 2; has_come || run % 2; run++) {
		int nth = run / 2, error;

		if (nth == MOST_FAULTS)
			errx(EXIT_FAILURE, "the faults do not come to an end");
		call->before();
		arm(nth);
		answer = call->call();
		error = errno;
		has_come = disarm();

		if (answer < 0) {
			if (!has_come)
				errx(EXIT_FAILURE, "%s without a fault", strerrorname_np(error));
			errors[error]++;
			call->failed();
			answer = call->call();
			if (answer < 0)
				err(EXIT_FAILURE, "after fault %d", nth);
		}
		faults += has_come;
		call->done();
	}

	printf("faults=%d", faults);
	for (int error = 0; error < MOST_FAULTS; error++)
		if (errors[error])
			printf(" %s=%d", strerrorname_np(error), errors[error]);
	putchar('\n');
}

/* --- */

#define COUNT(table)	(sizeof(table) / sizeof((table)[0]))

static const struct operation *find_operation(const char *name)
{
	for (size_t n = 0; n < COUNT(operations); n++)
		if (!strcmp(name, operations[n].name))
			return &operations[n];
	errx(EXIT_FAILURE, "there is no operation \"%s\"", name);
}

static const struct call *find_call(const char *name)
{
	for (size_t n = 0; n < COUNT(calls); n++)
		if (!strcmp(name, calls[n].name))
			return &calls[n];
	errx(EXIT_FAILURE, "there is no call \"%s\"", name);
}

int main(int argc, char **argv)
{
	const struct operation *operation;
	int nth;

	fail_nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0)
		err(EXIT_FAILURE, "fail-nth");
	/* Faults of the program itself are not what is to fail. */
	if (mlockall(MCL_CURRENT))
		err(EXIT_FAILURE, "mlockall()");

	if (argc == 3 && !strcmp(argv[1], "every")) {
		run_every(find_call(argv[2]));
		return EXIT_SUCCESS;
	}

	nth = argc > 1 ? atoi(argv[1]) : 0;
	if (argc < 4)
		errx(EXIT_FAILURE, "usage: failing N OPERATION ARGUMENTS | every CALL");
	operation = find_operation(argv[2]);
	if (argc - 3 != operation->args)
		errx(EXIT_FAILURE, "\"%s\" takes %d arguments", argv[2], operation->args);
	return run_once(nth, operation, argv + 3);
}
