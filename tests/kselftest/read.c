// SPDX-License-Identifier: GPL-2.0
/*
 * read(2): when it blocks, what it returns, what it refuses.
 *
 * Needs root and sysgenid.ko loaded. What a read acknowledges: see ack.c.
 */
#include "sysgenid_test.h"

#define READERS 8

FIXTURE(read)
{
	int fd;
	int ctl;
	char *pages;	/* two: one that can be used, one that cannot */
	long page_size;
};

FIXTURE_VARIANT(read)
{
	int flags;
};

FIXTURE_VARIANT_ADD(read, rdonly) { .flags = O_RDONLY };
FIXTURE_VARIANT_ADD(read, rdwr) { .flags = O_RDWR };

FIXTURE_SETUP(read)
{
	self->page_size = sysconf(_SC_PAGESIZE);
	self->pages = mmap(NULL, 2 * self->page_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->pages);
	ASSERT_EQ(0, mprotect(self->pages + self->page_size, self->page_size, PROT_NONE));
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	self->fd = open_device(variant->flags);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(read)
{
	close(self->fd);
	close(self->ctl);
}

static int nonblocking(int fd, bool on)
{
	return fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0);
}

TEST_F(read, blocks_until_the_generation_changes)
{
	struct call call;
	__u32 gen = ~0U;

	ASSERT_TRUE(read_blocks(&call, self->fd, &gen));
	ASSERT_TRUE(call_stays_blocked(&call));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(sizeof(gen), call_join(&call));
	EXPECT_EQ(generation(self->ctl), gen);
}

TEST_F(read, returns_at_once_while_outdated)
{
	__s64 before = generation(self->ctl);

	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(before + 1, read_generation(self->fd));
}

TEST_F(read, returns_only_the_latest_of_several_generations)
{
	__s64 before = generation(self->ctl);

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, trigger(self->ctl, before + 0x010203));
	EXPECT_EQ(before + 0x010203, read_generation(self->fd));
}

TEST_F(read, nonblocking_is_eagain_while_current)
{
	ASSERT_EQ(0, nonblocking(self->fd, true));
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
}

TEST_F(read, nonblocking_returns_the_generation_while_outdated)
{
	ASSERT_EQ(0, nonblocking(self->fd, true));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(generation(self->ctl), read_generation(self->fd));
}

TEST_F(read, blocks_again_when_nonblock_is_cleared)
{
	struct call call;
	__u32 gen;

	ASSERT_EQ(0, nonblocking(self->fd, true));
	ASSERT_EQ(-EAGAIN, read_generation(self->fd));
	ASSERT_EQ(0, nonblocking(self->fd, false));
	ASSERT_TRUE(read_blocks(&call, self->fd, &gen));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(sizeof(gen), call_join(&call));
}

TEST_F(read, zero_bytes_is_zero_while_current)
{
	EXPECT_EQ(0, RET(read(self->fd, self->pages, 0)));
}

TEST_F(read, zero_bytes_is_zero_while_outdated)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, RET(read(self->fd, self->pages, 0)));
}

TEST_F(read, short_buffer_is_einval_while_current)
{
	for (size_t n = 1; n < sizeof(__u32); n++)
		EXPECT_EQ(-EINVAL, RET(read(self->fd, self->pages, n)));
}

TEST_F(read, short_buffer_is_einval_while_outdated)
{
	static const char untouched[4];

	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (size_t n = 1; n < sizeof(__u32); n++)
		EXPECT_EQ(-EINVAL, RET(read(self->fd, self->pages, n)));
	EXPECT_EQ(0, memcmp(untouched, self->pages, sizeof(untouched)));
}

TEST_F(read, long_buffer_gets_just_four_bytes)
{
	__u32 gen;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	memset(self->pages, 0xa5, self->page_size);
	ASSERT_EQ(sizeof(gen), RET(read(self->fd, self->pages, self->page_size)));
	memcpy(&gen, self->pages, sizeof(gen));
	EXPECT_EQ(generation(self->ctl), gen);
	for (long i = sizeof(gen); i < self->page_size; i++)
		ASSERT_EQ(0xa5, (unsigned char)self->pages[i]);
}

TEST_F(read, unaligned_buffer_works)
{
	__u32 gen;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(sizeof(gen), RET(read(self->fd, self->pages + 1, sizeof(gen))));
	memcpy(&gen, self->pages + 1, sizeof(gen));
	EXPECT_EQ(generation(self->ctl), gen);
}

TEST_F(read, bad_buffer_is_efault)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EFAULT, RET(read(self->fd, self->pages + self->page_size, 4)));
	EXPECT_EQ(-EFAULT, RET(read(self->fd, NOWHERE, 4)));
	EXPECT_EQ(-EFAULT, RET(read(self->fd, KERNEL_ADDRESS, 4)));
}

TEST_F(read, half_bad_buffer_is_efault)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EFAULT, RET(read(self->fd, self->pages + self->page_size - 2, 4)));
}

TEST_F(read, restarts_after_a_signal_with_sa_restart)
{
	struct call call;
	__u32 gen;

	ASSERT_TRUE(read_blocks(&call, self->fd, &gen));
	ASSERT_TRUE(call_interrupt(&call, SA_RESTART));
	ASSERT_TRUE(call_stays_blocked(&call));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(sizeof(gen), call_join(&call));
}

TEST_F(read, is_eintr_after_a_signal_without_sa_restart)
{
	struct call call;
	__u32 gen;

	ASSERT_TRUE(read_blocks(&call, self->fd, &gen));
	ASSERT_TRUE(call_interrupt(&call, 0));
	EXPECT_EQ(-EINTR, call_join(&call));
}

TEST_F(read, goes_on_after_stop_and_continue)
{
	__u32 gen;
	int status;
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(read(self->fd, &gen, sizeof(gen)) == sizeof(gen) ? 0 : 1);
	while (!sleeps_in(pid, SYS_read))
		sleep_ms(1);
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(pid, SIGCONT));
	while (!sleeps_in(pid, SYS_read))
		sleep_ms(1);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(read, can_be_killed_while_it_blocks)
{
	__u32 gen;
	int status;
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(read(self->fd, &gen, sizeof(gen)) < 0);
	while (!sleeps_in(pid, SYS_read))
		sleep_ms(1);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_F(read, every_blocked_descriptor_wakes)
{
	struct call calls[READERS];
	__u32 gens[READERS];
	int fds[READERS];

	for (int i = 0; i < READERS; i++) {
		fds[i] = open_device(variant->flags);
		ASSERT_LE(0, fds[i]);
		ASSERT_TRUE(read_blocks(&calls[i], fds[i], &gens[i]));
	}
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < READERS; i++) {
		EXPECT_EQ(sizeof(__u32), call_join(&calls[i]));
		EXPECT_EQ(generation(self->ctl), gens[i]);
		close(fds[i]);
	}
}

TEST_HARNESS_MAIN
