// SPDX-License-Identifier: GPL-2.0
/*
 * The edge of what SYSGENID_TRIGGER_GEN_UPDATE may reach: 2^31 - 1.
 *
 * Needs root. Reloads sysgenid.ko before and after each test, since nothing
 * else brings the generation back: nobody else may use it, sysgenid_vmgenid.ko
 * may not be loaded. SYSGENID_KO in the environment says where it is
 * (/modules/sysgenid.ko).
 */
#include "sysgenid_test.h"

#define EDGE ((1UL << 31) - 1)

FIXTURE(overflow)
{
	int fd;
};

FIXTURE_SETUP(overflow)
{
	ASSERT_EQ(0, module_reload(""));
	self->fd = open_device(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

/* In the parent: by then the test's descriptors are closed, whatever happened. */
FIXTURE_TEARDOWN_PARENT(overflow)
{
	EXPECT_EQ(0, module_reload(""));
}

TEST_F(overflow, jump_to_the_edge_works)
{
	ASSERT_EQ(0, trigger(self->fd, EDGE));
	EXPECT_EQ(EDGE, generation(self->fd));
	EXPECT_EQ(EDGE, read_generation(self->fd));
	EXPECT_EQ(4, write_generation(self->fd, EDGE));
}

TEST_F(overflow, step_to_the_edge_works)
{
	ASSERT_EQ(0, trigger(self->fd, EDGE - 1));
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(EDGE, generation(self->fd));
}

TEST_F(overflow, every_trigger_at_the_edge_is_eoverflow)
{
	static const unsigned long minima[] = { 0, 1, EDGE - 1, EDGE, EDGE + 1, UINT_MAX };

	ASSERT_EQ(0, trigger(self->fd, EDGE));
	for (size_t i = 0; i < ARRAY_SIZE(minima); i++) {
		EXPECT_EQ(-EOVERFLOW, trigger(self->fd, minima[i]));
		EXPECT_EQ(EDGE, generation(self->fd));
	}
}

TEST_F(overflow, refused_trigger_at_the_edge_changes_nothing)
{
	const struct sysgenid_page *page = map_page(self->fd);

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, trigger(self->fd, EDGE));
	ASSERT_TRUE(acknowledge(self->fd));
	ASSERT_EQ(-EOVERFLOW, trigger(self->fd, 0));
	EXPECT_EQ(EDGE, generation(self->fd));
	EXPECT_EQ(EDGE, mapped_generation(page));
	EXPECT_EQ(0, outdated_watchers(self->fd));
	EXPECT_EQ(0, poll_now(self->fd));
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
}

TEST_F(overflow, outdated_watcher_at_the_edge_stays_outdated)
{
	ASSERT_EQ(0, trigger(self->fd, EDGE));
	ASSERT_EQ(-EOVERFLOW, trigger(self->fd, 0));
	EXPECT_EQ(1, outdated_watchers(self->fd));
	EXPECT_EQ(EDGE, read_generation(self->fd));
}

TEST_HARNESS_MAIN
