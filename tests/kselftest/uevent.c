// SPDX-License-Identifier: GPL-2.0
/*
 * The change uevent of each generation.
 *
 * Needs root and sysgenid.ko loaded; nobody else may trigger.
 */
#include "sysgenid_test.h"

/* More than the driver keeps for its worker. */
#define MANY		1000

FIXTURE(uevent)
{
	int fd;
	int socket;
	__s64 before;
};

FIXTURE_SETUP(uevent)
{
	self->fd = open_device(O_RDONLY);
	ASSERT_LE(0, self->fd);
	/* What others have triggered may be on its way still. */
	usleep(WATCH_MS * 1000);
	self->socket = open_uevents();
	ASSERT_LE(0, self->socket);
	self->before = generation(self->fd);
	ASSERT_LE(0, self->before);
}

FIXTURE_TEARDOWN(uevent)
{
	close(self->socket);
	close(self->fd);
}

TEST_F(uevent, has_the_generation)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, next_event(self->socket, 0));
	ASSERT_EQ(0, trigger(self->fd, self->before + 10));
	EXPECT_EQ(self->before + 10, next_event(self->socket, 0));
}

TEST_F(uevent, is_sent_for_each_generation_in_order)
{
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ(0, trigger(self->fd, 0));
	for (int i = 1; i <= MANY; i++)
		ASSERT_EQ(self->before + i, next_event(self->socket, 0));
}

TEST_F(uevent, is_not_sent_without_a_new_generation)
{
	ASSERT_EQ(-EOVERFLOW, trigger(self->fd, 0x80000000));
	EXPECT_EQ(self->before, generation(self->fd));
	usleep(WATCH_MS * 1000);
	EXPECT_EQ(-EAGAIN, next_event(self->socket, MSG_DONTWAIT));
}

TEST_HARNESS_MAIN
