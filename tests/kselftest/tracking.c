// SPDX-License-Identifier: GPL-2.0
/*
 * Who counts as an outdated watcher: the default of open(2),
 * SYSGENID_SET_WATCHER_TRACKING, SYSGENID_GET_OUTDATED_WATCHERS, close(2).
 *
 * Needs root and sysgenid.ko loaded with its defaults; nobody else may have
 * the device open. The other defaults: see track_param.c.
 */
#include "sysgenid_test.h"

FIXTURE(tracking)
{
	int ctl;	/* never tracked */
	int fd;		/* tracked */
};

FIXTURE_SETUP(tracking)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_TRUE(device_is_idle(self->ctl));
	self->fd = open_device(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(tracking)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(tracking, nobody_is_outdated_before_a_change)
{
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, descriptors_open_for_writing_are_tracked)
{
	int wronly = open_device(O_WRONLY);

	ASSERT_LE(0, wronly);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(2, outdated_watchers(self->ctl));
	close(wronly);
}

TEST_F(tracking, read_only_descriptors_are_not_tracked)
{
	close(self->fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_TRUE(is_outdated(self->ctl));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, several_changes_count_a_watcher_once)
{
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, acknowledging_lowers_the_count)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(2, outdated_watchers(self->ctl));
	ASSERT_TRUE(acknowledge(other));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	close(other);
}

TEST_F(tracking, repeated_acknowledgement_counts_once)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(other);
}

TEST_F(tracking, refused_acknowledgement_does_not_lower_the_count)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(-EINVAL, write_generation(self->fd, generation(self->ctl) - 1));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, reading_a_writable_descriptor_does_not_lower_the_count)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_LE(0, read_generation(self->fd));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, descriptor_opened_after_the_change_is_not_outdated)
{
	int late;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	late = open_device(O_RDWR);
	ASSERT_LE(0, late);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(late);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, closing_an_outdated_watcher_lowers_the_count)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(1, outdated_watchers(self->ctl));
	close(self->fd);
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, closing_a_current_watcher_leaves_the_count)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(other));
	close(other);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, closed_watcher_is_not_counted_at_the_next_change)
{
	close(self->fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, watcher_of_a_killed_process_goes)
{
	struct gate gate;
	pid_t pid;

	ASSERT_TRUE(gate_init(&gate));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = open_device(O_RDWR);

		ASSERT_LE(0, fd);
		gate_pass(&gate);
		_exit(1);
	}
	ASSERT_TRUE(gate_wait(&gate));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(2, outdated_watchers(self->ctl));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, forgotten_descriptor_does_not_count)
{
	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, forgotten_descriptor_still_reads_polls_and_acknowledges)
{
	ASSERT_EQ(0, track(self->fd, 0));
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(POLL_OUTDATED, poll_now(self->fd));
	EXPECT_EQ(generation(self->ctl), read_generation(self->fd));
	EXPECT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	EXPECT_EQ(0, poll_now(self->fd));
}

TEST_F(tracking, forgetting_an_outdated_watcher_lowers_the_count)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(1, outdated_watchers(self->ctl));
	ASSERT_EQ(0, track(self->fd, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, tracking_an_outdated_descriptor_counts_at_once)
{
	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, outdated_watchers(self->ctl));
	ASSERT_EQ(0, track(self->fd, 1));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, tracking_a_current_descriptor_counts_at_the_next_change)
{
	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	ASSERT_EQ(0, track(self->fd, 1));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, acknowledgement_while_forgotten_is_remembered)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	ASSERT_EQ(0, track(self->fd, 1));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, tracking_twice_counts_once)
{
	ASSERT_EQ(0, track(self->fd, 1));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, track(self->fd, 1));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(self->fd);
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, forgetting_twice_counts_once)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(2, outdated_watchers(self->ctl));
	ASSERT_EQ(0, track(self->fd, 0));
	ASSERT_EQ(0, track(self->fd, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(self->fd);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(other);
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(tracking, works_on_a_write_only_descriptor)
{
	int fd = open_device(O_WRONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, track(fd, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	ASSERT_EQ(0, track(fd, 1));
	EXPECT_EQ(2, outdated_watchers(self->ctl));
	close(fd);
}

TEST_F(tracking, other_values_are_einval)
{
	const unsigned long wrong[] = { 2, 3, 0x100, 0x10000, INT_MAX, ULONG_MAX, ULONG_MAX - 1,
					1UL << (__BITS_PER_LONG - 1) };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(-EINVAL, track(self->fd, wrong[i])) {
			TH_LOG("%lx", wrong[i]);
		}
	}
#if __BITS_PER_LONG == 64
	EXPECT_EQ(-EINVAL, track(self->fd, 1UL << 32));
	EXPECT_EQ(-EINVAL, track(self->fd, (1UL << 32) + 1));
#endif
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, read_only_descriptor_cannot_be_tracked)
{
	EXPECT_EQ(-EBADF, track(self->ctl, 1));
	close(self->fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

/* It counts only where "track" is 2, see track_param.c. */
TEST_F(tracking, read_only_descriptor_can_be_forgotten)
{
	EXPECT_EQ(0, track(self->ctl, 0));
	EXPECT_EQ(0, track(self->ctl, 0));
	EXPECT_EQ(-EBADF, track(self->ctl, 1));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(tracking, can_be_counted_through_any_descriptor)
{
	int wronly = open_device(O_WRONLY);

	ASSERT_LE(0, wronly);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(2, outdated_watchers(wronly));
	EXPECT_EQ(2, outdated_watchers(self->fd));
	close(wronly);
}

TEST_HARNESS_MAIN
