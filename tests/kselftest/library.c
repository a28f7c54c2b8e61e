// SPDX-License-Identifier: GPL-2.0
/*
 * The helper for libraries, lib/sysgenid.h, in programs that fork, close
 * descriptors that they do not know, change their root, or filter system calls.
 *
 * Needs root and sysgenid.ko loaded with its defaults.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/eventfd.h>

#include <sysgenid.h>

#include "sysgenid_test.h"

FIXTURE(library)
{
	struct sysgenid sg;
	__u32 known;
	int ctl;
};

FIXTURE_SETUP(library)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_EQ(0, sysgenid_open(&self->sg));
	ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
}

FIXTURE_TEARDOWN(library)
{
	sysgenid_close(&self->sg);
	close(self->ctl);
}

/* What a check finds that has nothing to fear; without a live ID it can never tell. */
static enum sysgenid_state or_pending(const struct sysgenid *sg, enum sysgenid_state state)
{
	return sg->live ? state : SYSGENID_PENDING;
}

TEST_F(library, gives_the_current_generation)
{
	EXPECT_EQ(self->known, generation(self->ctl));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
	EXPECT_EQ(self->known, generation(self->ctl));
}

TEST_F(library, sees_a_change)
{
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CURRENT), sysgenid_check(&self->sg, self->known));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CHANGED), sysgenid_check(&self->sg, self->known));
	ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CURRENT), sysgenid_check(&self->sg, self->known));
}

TEST_F(library, holds_up_nobody)
{
	ASSERT_TRUE(device_is_idle(self->ctl));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(library, is_not_inherited_over_exec)
{
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->sg.fd, F_GETFD));
}

TEST_F(library, works_in_a_child)
{
	IN_CHILD({
		EXPECT_EQ(or_pending(&self->sg, SYSGENID_CURRENT),
			  sysgenid_check(&self->sg, self->known));
		EXPECT_EQ(0, trigger(self->ctl, 0));
		EXPECT_EQ(or_pending(&self->sg, SYSGENID_CHANGED),
			  sysgenid_check(&self->sg, self->known));
		EXPECT_EQ(0, sysgenid_current(&self->sg, &self->known));
		EXPECT_EQ(self->known, generation(self->ctl));
		sysgenid_close(&self->sg);
	});
	/* The child's end is not the parent's. */
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CHANGED), sysgenid_check(&self->sg, self->known));
	EXPECT_EQ(0, sysgenid_current(&self->sg, &self->known));
	EXPECT_EQ(self->known, generation(self->ctl));
}

TEST_F(library, does_not_know_what_it_cannot_ask)
{
	char nowhere[] = "/tmp/nowhere-XXXXXX";

	ASSERT_NE(NULL, mkdtemp(nowhere));
	IN_CHILD({
		EXPECT_EQ(0, chroot(nowhere));
		EXPECT_EQ(0, sysgenid_current(&self->sg, &self->known));
		close(self->sg.fd);
		EXPECT_EQ(-ENOENT, sysgenid_current(&self->sg, &self->known));
		EXPECT_EQ(or_pending(&self->sg, SYSGENID_CURRENT),
			  sysgenid_check(&self->sg, self->known));
	});
	EXPECT_EQ(0, rmdir(nowhere));
}

/* What the number of the descriptor is now: closed, or another file's. */
FIXTURE(closed)
{
	struct sysgenid sg;
	__u32 known;
	int ctl;
};

FIXTURE_VARIANT(closed)
{
	int (*open_other)(void);
};

static int open_null(void)
{
	return open("/dev/null", O_RDWR);
}

static int open_regular(void)
{
	return open("/proc/self/exe", O_RDONLY);
}

static int open_folder(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int open_eventfd(void)
{
	return eventfd(0, 0);
}

static int open_pipe(void)
{
	int ends[2];

	return pipe(ends) ? -1 : ends[0];
}

FIXTURE_VARIANT_ADD(closed, for_good) { .open_other = NULL };
FIXTURE_VARIANT_ADD(closed, null) { .open_other = open_null };
FIXTURE_VARIANT_ADD(closed, regular) { .open_other = open_regular };
FIXTURE_VARIANT_ADD(closed, folder) { .open_other = open_folder };
FIXTURE_VARIANT_ADD(closed, socket) { .open_other = open_socket };
FIXTURE_VARIANT_ADD(closed, eventfd) { .open_other = open_eventfd };
FIXTURE_VARIANT_ADD(closed, pipe) { .open_other = open_pipe };

FIXTURE_SETUP(closed)
{
	int other;

	ASSERT_EQ(0, sysgenid_open(&self->sg));
	ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
	ASSERT_EQ(0, close_range(3, ~0U, 0));
	if (variant->open_other) {
		other = variant->open_other();
		ASSERT_LE(0, other);
		ASSERT_EQ(self->sg.fd, dup2(other, self->sg.fd));
	}
	self->ctl = fcntl(open_device(O_RDONLY), F_DUPFD_CLOEXEC, 100);
	ASSERT_EQ(100, self->ctl);
	if (!variant->open_other)
		close(self->sg.fd);
}

FIXTURE_TEARDOWN(closed)
{
	sysgenid_close(&self->sg);
	EXPECT_EQ(variant->open_other ? 0 : -EBADF, RET(fcntl(self->sg.fd, F_GETFD)));
	close(self->ctl);
}

/* The number that open() gives next. */
static int next_fd(void)
{
	int fd = open_null();

	close(fd);
	return fd;
}

TEST_F(closed, check_works_on)
{
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CURRENT), sysgenid_check(&self->sg, self->known));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(or_pending(&self->sg, SYSGENID_CHANGED), sysgenid_check(&self->sg, self->known));
}

TEST_F(closed, current_works_on)
{
	int next = next_fd();

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
		EXPECT_EQ(self->known, generation(self->ctl));
	}
	/* Nothing is left open, and nothing is read from the other file. */
	EXPECT_EQ(next, next_fd());
	EXPECT_EQ(variant->open_other ? 0 : -EBADF, RET(fcntl(self->sg.fd, F_GETFD)));
}

/* The system calls that the header names, and no others. */
FIXTURE(filtered)
{
	struct sysgenid sg;
	__u32 known;
};

struct use {
	void (*prepare)(struct sysgenid *sg);
	long (*function)(struct sysgenid *sg, __u32 *known);
	long calls[4];
	int count;
};

FIXTURE_VARIANT(filtered)
{
	struct use use;
};

static void nothing(struct sysgenid *sg)
{
}

static void close_fd(struct sysgenid *sg)
{
	close(sg->fd);
}

static long use_open(struct sysgenid *sg, __u32 *known)
{
	return sysgenid_open(sg);
}

static long use_check(struct sysgenid *sg, __u32 *known)
{
	return sysgenid_check(sg, *known) != or_pending(sg, SYSGENID_CURRENT);
}

static long use_current(struct sysgenid *sg, __u32 *known)
{
	return sysgenid_current(sg, known);
}

static long use_close(struct sysgenid *sg, __u32 *known)
{
	sysgenid_close(sg);
	return 0;
}

#ifdef SYS_mmap2
#define MMAP SYS_mmap2
#else
#define MMAP SYS_mmap
#endif

FIXTURE_VARIANT_ADD(filtered, open) {
	.use = { nothing, use_open, { SYS_openat, SYS_ioctl, MMAP }, 3 },
};

FIXTURE_VARIANT_ADD(filtered, check) {
	.use = { nothing, use_check },
};

FIXTURE_VARIANT_ADD(filtered, current) {
	.use = { nothing, use_current, { SYS_ioctl }, 1 },
};

FIXTURE_VARIANT_ADD(filtered, current_after_close) {
	.use = { close_fd, use_current, { SYS_ioctl, SYS_openat, SYS_close }, 3 },
};

FIXTURE_VARIANT_ADD(filtered, close) {
	.use = { nothing, use_close, { SYS_munmap, SYS_ioctl, SYS_close }, 3 },
};

FIXTURE_SETUP(filtered)
{
	/* EFAULT, of the filter that is missing, says that there could be one. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) && errno == EINVAL)
		SKIP(return, "the kernel has no seccomp filters");
	ASSERT_EQ(0, sysgenid_open(&self->sg));
	ASSERT_EQ(0, sysgenid_current(&self->sg, &self->known));
}

FIXTURE_TEARDOWN(filtered)
{
	sysgenid_close(&self->sg);
}

/* From now on every other system call kills, but for exit_group(). */
static int allow_only(const long *calls, int count)
{
	struct sock_filter filter[16], *end = filter;
	struct sock_fprog program = { .filter = filter };

	*end++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, nr));
	for (int i = -1; i < count; i++) {
		__u32 nr = i < 0 ? SYS_exit_group : calls[i];

		*end++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
		*end++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	*end++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program.len = end - filter;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* How a child ends that uses the helper and may make these system calls. */
static int end_with(const struct use *use, const long *calls, int count, struct sysgenid sg,
		    __u32 known)
{
	int status = -1;
	pid_t pid = fork_child();

	if (pid == 0) {
		use->prepare(&sg);
		if (allow_only(calls, count))
			_exit(1);
		_exit(use->function(&sg, &known) ? 2 : 0);
	}
	return pid == waitpid(pid, &status, 0) ? status : -1;
}

TEST_F(filtered, makes_the_calls_that_are_documented)
{
	const struct use *use = &variant->use;

	EXPECT_EQ(0, end_with(use, use->calls, use->count, self->sg, self->known));
}

TEST_F(filtered, makes_each_of_them)
{
	const struct use *use = &variant->use;

	for (int left_out = 0; left_out < use->count; left_out++) {
		long calls[4];
		int count = 0, status;

		for (int i = 0; i < use->count; i++)
			if (i != left_out)
				calls[count++] = use->calls[i];
		status = end_with(use, calls, count, self->sg, self->known);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
			TH_LOG("without system call %ld: status %#x", use->calls[left_out], status);
		}
	}
}

TEST_HARNESS_MAIN
