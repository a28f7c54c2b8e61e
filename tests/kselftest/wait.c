// SPDX-License-Identifier: GPL-2.0
/*
 * SYSGENID_WAIT_WATCHERS: when it returns, by whom it is woken, how long it
 * waits.
 *
 * Needs root and sysgenid.ko loaded with its defaults; nobody else may have
 * the device open.
 */
#include "sysgenid_test.h"

#define WAITERS 8

FIXTURE(wait)
{
	int ctl;	/* waits; never tracked, always up to date */
	int fd;		/* tracked and outdated */
};

/* Opens both; false if the device is not as these tests need it. */
static bool open_both(int *ctl, int *fd)
{
	int first = open_device(O_RDONLY);

	if (first < 0 || !device_is_idle(first))
		return false;
	*fd = open_device(O_RDWR);
	if (*fd < 0 || trigger(first, 0))
		return false;
	close(first);
	*ctl = open_device(O_RDONLY);
	return *ctl >= 0 && outdated_watchers(*ctl) == 1;
}

FIXTURE_SETUP(wait)
{
	ASSERT_TRUE(open_both(&self->ctl, &self->fd));
}

FIXTURE_TEARDOWN(wait)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(wait, returns_at_once_if_nobody_is_outdated)
{
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, wait_watchers(self->ctl, 0));
	EXPECT_EQ(0, wait_watchers(self->ctl, 1000));
}

TEST_F(wait, returns_at_once_if_there_is_no_watcher)
{
	close(self->fd);
	EXPECT_EQ(0, wait_watchers(self->ctl, 0));
	EXPECT_EQ(0, wait_watchers(self->ctl, 1000));
}

TEST_F(wait, does_not_wait_for_untracked_descriptors)
{
	int ro = open_device(O_RDONLY);

	ASSERT_LE(0, ro);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->ctl));
	ASSERT_TRUE(acknowledge(self->fd));
	ASSERT_TRUE(is_outdated(ro));
	EXPECT_EQ(0, wait_watchers(self->ctl, 0));
	close(ro);
}

TEST_F(wait, does_not_wait_for_the_callers_own_current_watcher)
{
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, wait_watchers(self->fd, 0));
}

TEST_F(wait, acknowledgement_wakes_it)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, acknowledgement_wakes_it_within_its_timeout)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 1000 * 1000));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, close_wakes_it)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	close(self->fd);
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, death_of_the_watchers_process_wakes_it)
{
	struct call call;
	pid_t pid = fork_child();

	ASSERT_LE(0, pid);
	if (!pid)
		for (;;)
			pause();
	close(self->fd);
	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(0, call_join(&call));
	waitpid(pid, NULL, 0);
}

TEST_F(wait, forgetting_wakes_it)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(0, track(self->fd, 0));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, every_waiter_wakes)
{
	struct call calls[WAITERS];

	for (int i = 0; i < WAITERS; i++)
		ASSERT_TRUE(wait_blocks(&calls[i], self->ctl, i % 2 ? 1000 * 1000 : 0));
	ASSERT_TRUE(acknowledge(self->fd));
	for (int i = 0; i < WAITERS; i++)
		EXPECT_EQ(0, call_join(&calls[i]));
}

TEST_F(wait, waits_for_the_last_of_several)
{
	struct call call;
	int fds[3];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_device(O_RDWR);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->ctl));
	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_TRUE(call_stays_blocked(&call));
	close(fds[0]);
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_EQ(0, track(fds[1], 0));
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_TRUE(acknowledge(fds[2]));
	EXPECT_EQ(0, call_join(&call));
	close(fds[1]);
	close(fds[2]);
}

TEST_F(wait, goes_on_after_a_refused_acknowledgement)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(-EINVAL, write_generation(self->fd, generation(self->ctl) + 1));
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, waits_for_a_descriptor_that_is_tracked_while_outdated)
{
	struct call call;

	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_EQ(0, wait_watchers(self->ctl, 0));
	ASSERT_EQ(0, track(self->fd, 1));
	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, signal_is_eintr)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_TRUE(call_interrupt(&call, 0));
	EXPECT_EQ(-EINTR, call_join(&call));
}

TEST_F(wait, signal_is_eintr_with_sa_restart_too)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 1000 * 1000));
	ASSERT_TRUE(call_interrupt(&call, SA_RESTART));
	EXPECT_EQ(-EINTR, call_join(&call));
}

/* As the kernel ends it; no handler runs, unlike with read(2), which goes on. */
TEST_F(wait, stop_and_continue_without_a_handler_is_eintr)
{
	int status;
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(wait_watchers(self->ctl, 0) == -EINTR ? 0 : 1);
	while (!sleeps_in(pid, SYS_ioctl))
		sleep_ms(1);
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(wait, can_be_killed_while_it_blocks)
{
	int status;
	pid_t pid;

	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(wait_watchers(self->ctl, 0) != 0);
	while (!sleeps_in(pid, SYS_ioctl))
		sleep_ms(1);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(wait, outdated_watcher_as_caller_is_eintr)
{
	EXPECT_EQ(-EINTR, wait_watchers(self->fd, 0));
	EXPECT_EQ(-EINTR, wait_watchers(self->fd, 1000));
}

TEST_F(wait, outdated_untracked_caller_is_eintr)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EINTR, wait_watchers(self->ctl, 0));
}

TEST_F(wait, outdated_untracked_caller_is_eintr_even_if_no_watcher_is_outdated)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	ASSERT_EQ(0, outdated_watchers(self->ctl));
	EXPECT_EQ(-EINTR, wait_watchers(self->ctl, 0));
}

TEST_F(wait, waits_again_once_the_caller_has_acknowledged)
{
	struct call call;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(-EINTR, wait_watchers(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->ctl));
	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(wait, is_eintr_when_an_untracked_caller_becomes_outdated)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EINTR, call_join(&call));
}

TEST_F(wait, is_eintr_when_a_tracked_caller_becomes_outdated)
{
	struct call call;
	int own = open_device(O_RDWR);

	ASSERT_LE(0, own);
	ASSERT_TRUE(wait_blocks(&call, own, 1000 * 1000));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EINTR, call_join(&call));
	close(own);
}

TEST_F(wait, works_on_a_write_only_descriptor)
{
	int wronly = open_device(O_WRONLY);

	ASSERT_LE(0, wronly);
	EXPECT_EQ(-ETIME, wait_watchers(wronly, 1));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, wait_watchers(wronly, 0));
	close(wronly);
}

TEST_F(wait, without_timeout_blocks_until_woken)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	sleep_ms(1000);
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

FIXTURE(wait_timeout)
{
	int ctl;
	int fd;
};

FIXTURE_VARIANT(wait_timeout)
{
	unsigned long ms;
};

FIXTURE_VARIANT_ADD(wait_timeout, 1_ms) { .ms = 1 };
FIXTURE_VARIANT_ADD(wait_timeout, 7_ms) { .ms = 7 };
FIXTURE_VARIANT_ADD(wait_timeout, 100_ms) { .ms = 100 };
FIXTURE_VARIANT_ADD(wait_timeout, 1500_ms) { .ms = 1500 };

FIXTURE_SETUP(wait_timeout)
{
	ASSERT_TRUE(open_both(&self->ctl, &self->fd));
}

FIXTURE_TEARDOWN(wait_timeout)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(wait_timeout, expires_with_etime_and_not_early)
{
	__s64 start = now_ns();

	ASSERT_EQ(-ETIME, wait_watchers(self->ctl, variant->ms));
	EXPECT_LE(variant->ms * 1000000LL, now_ns() - start);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

/*
 * Timeouts of which some multiple or conversion overflows: as jiffies, as
 * nanoseconds, as a signed number, as 32 bits.
 */
FIXTURE(wait_huge_timeout)
{
	int ctl;
	int fd;
};

FIXTURE_VARIANT(wait_huge_timeout)
{
	unsigned long ms;
};

FIXTURE_VARIANT_ADD(wait_huge_timeout, ulong_max) { .ms = ULONG_MAX };
FIXTURE_VARIANT_ADD(wait_huge_timeout, ulong_max_less_1) { .ms = ULONG_MAX - 1 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, long_max) { .ms = LONG_MAX };
FIXTURE_VARIANT_ADD(wait_huge_timeout, long_min) { .ms = 1UL << (__BITS_PER_LONG - 1) };
FIXTURE_VARIANT_ADD(wait_huge_timeout, 2_to_the_31) { .ms = 1UL << 31 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, uint_max) { .ms = UINT_MAX };
#if __BITS_PER_LONG == 64
FIXTURE_VARIANT_ADD(wait_huge_timeout, 2_to_the_32) { .ms = 1UL << 32 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, 2_to_the_32_plus_1) { .ms = (1UL << 32) + 1 };
/* The products by 1,000, by 1,000,000 and by any HZ wrap to almost nothing. */
FIXTURE_VARIANT_ADD(wait_huge_timeout, wraps_as_us) { .ms = ULONG_MAX / 1000 + 1 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, wraps_as_ns) { .ms = ULONG_MAX / 1000000 + 1 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, wraps_by_hz_250) { .ms = ULONG_MAX / 250 + 1 };
FIXTURE_VARIANT_ADD(wait_huge_timeout, 2_to_the_61) { .ms = 1UL << 61 };
#endif

FIXTURE_SETUP(wait_huge_timeout)
{
	ASSERT_TRUE(open_both(&self->ctl, &self->fd));
}

FIXTURE_TEARDOWN(wait_huge_timeout)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(wait_huge_timeout, blocks_until_woken)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, variant->ms));
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, call_join(&call));
}

TEST_HARNESS_MAIN
