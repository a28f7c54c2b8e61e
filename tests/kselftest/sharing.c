// SPDX-License-Identifier: GPL-2.0
/*
 * One open file description is one watcher, however many descriptors and
 * processes refer to it.
 *
 * Needs root and sysgenid.ko loaded with its defaults; nobody else may have
 * the device open.
 */
#include "sysgenid_test.h"

FIXTURE(sharing)
{
	int ctl;
	int fd;
};

FIXTURE_SETUP(sharing)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_TRUE(device_is_idle(self->ctl));
	self->fd = open_device(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(sharing)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(sharing, duplicates_are_one_watcher)
{
	int dup_fd = dup(self->fd);

	ASSERT_LE(0, dup_fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(dup_fd);
}

TEST_F(sharing, acknowledgement_by_a_duplicate_counts_for_all)
{
	int dup_fd = dup(self->fd);

	ASSERT_LE(0, dup_fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(dup_fd));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	EXPECT_FALSE(is_outdated(self->fd));
	close(dup_fd);
}

TEST_F(sharing, only_the_last_close_drops_the_watcher)
{
	int dup_fd = dup(self->fd);

	ASSERT_LE(0, dup_fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	close(self->fd);
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	close(dup_fd);
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(sharing, fork_adds_no_watcher)
{
	IN_CHILD({
		ASSERT_EQ(0, trigger(self->ctl, 0));
		EXPECT_EQ(1, outdated_watchers(self->ctl));
	});
}

TEST_F(sharing, exit_of_a_child_does_not_drop_the_parents_watcher)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	IN_CHILD(EXPECT_EQ(1, outdated_watchers(self->ctl)));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

TEST_F(sharing, child_acknowledges_for_the_parent)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	IN_CHILD(ASSERT_TRUE(acknowledge(self->fd)));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
}

TEST_F(sharing, tracking_is_shared)
{
	IN_CHILD(ASSERT_EQ(0, track(self->fd, 0)));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(sharing, every_reader_of_one_writable_descriptor_wakes)
{
	struct call calls[4];
	__u32 gens[4];

	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, 0));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		ASSERT_TRUE(read_blocks(&calls[i], self->fd, &gens[i]));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		EXPECT_EQ(sizeof(__u32), call_join(&calls[i]));
}

TEST_F(sharing, two_opens_are_two_watchers)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(2, outdated_watchers(self->ctl));
	close(other);
}

TEST_HARNESS_MAIN
