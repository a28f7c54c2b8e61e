// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameter "track": who is a watcher from open(2) on.
 *
 * Needs root. Reloads sysgenid.ko before each test and leaves it loaded with
 * its defaults: nobody else may use it, sysgenid_vmgenid.ko may not be loaded.
 * SYSGENID_KO in the environment says where it is (/modules/sysgenid.ko).
 */
#include "sysgenid_test.h"

FIXTURE(track_param)
{
	int ctl;	/* opened with nothing tracked yet to confuse the count */
	int rdonly;
	int wronly;
	int rdwr;
};

FIXTURE_VARIANT(track_param)
{
	const char *params;
	bool readers;
	bool writers;
};

FIXTURE_VARIANT_ADD(track_param, default_mode) { .params = "", .writers = true };
FIXTURE_VARIANT_ADD(track_param, mode_0) { .params = "track=0" };
FIXTURE_VARIANT_ADD(track_param, mode_1) { .params = "track=1", .writers = true };
FIXTURE_VARIANT_ADD(track_param, mode_2) { .params = "track=2", .readers = true, .writers = true };

FIXTURE_SETUP(track_param)
{
	ASSERT_EQ(0, module_reload(variant->params));
}

/* In the parent: by then the test's descriptors are closed, whatever happened. */
FIXTURE_TEARDOWN_PARENT(track_param)
{
	EXPECT_EQ(0, module_reload(""));
}

TEST_F(track_param, decides_about_read_only_descriptors)
{
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(variant->readers, outdated_watchers(fd));
}

TEST_F(track_param, decides_about_write_only_descriptors)
{
	int fd = open_device(O_WRONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(variant->writers, outdated_watchers(fd));
}

TEST_F(track_param, decides_about_read_write_descriptors)
{
	int fd = open_device(O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(variant->writers, outdated_watchers(fd));
}

TEST_F(track_param, set_watcher_tracking_has_the_last_word)
{
	int fd = open_device(O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, track(fd, 1));
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(1, outdated_watchers(fd));
	ASSERT_EQ(0, track(fd, 0));
	EXPECT_EQ(0, outdated_watchers(fd));
}

TEST_F(track_param, does_not_change_who_may_be_tracked)
{
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, track(fd, 1));
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(variant->readers, outdated_watchers(fd));
}

TEST_F(track_param, lets_every_descriptor_be_forgotten)
{
	int fds[] = { open_device(O_RDONLY), open_device(O_WRONLY), open_device(O_RDWR) };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(0, track(fds[i], 0));
	}
	ASSERT_EQ(0, trigger(fds[0], 0));
	EXPECT_EQ(0, outdated_watchers(fds[0]));
	EXPECT_TRUE(is_outdated(fds[0]));
	EXPECT_EQ(1, read_generation(fds[0]));
	EXPECT_FALSE(is_outdated(fds[0]));
}

TEST_F(track_param, does_not_change_what_reading_acknowledges)
{
	int ro = open_device(O_RDONLY | O_NONBLOCK);
	int rw = open_device(O_RDWR | O_NONBLOCK);

	ASSERT_LE(0, ro);
	ASSERT_LE(0, rw);
	ASSERT_EQ(0, trigger(ro, 0));
	ASSERT_EQ(1, read_generation(ro));
	ASSERT_EQ(1, read_generation(rw));
	EXPECT_FALSE(is_outdated(ro));
	EXPECT_TRUE(is_outdated(rw));
	EXPECT_EQ(variant->writers, outdated_watchers(ro));
}

FIXTURE(track_readers)
{
	int reader;
	int ctl;
};

FIXTURE_SETUP(track_readers)
{
	int fd;

	ASSERT_EQ(0, module_reload("track=2"));
	self->reader = open_device(O_RDONLY);
	ASSERT_LE(0, self->reader);
	fd = open_device(O_RDONLY);
	ASSERT_EQ(0, trigger(fd, 0));
	close(fd);
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_EQ(1, outdated_watchers(self->ctl));
}

FIXTURE_TEARDOWN_PARENT(track_readers)
{
	EXPECT_EQ(0, module_reload(""));
}

TEST_F(track_readers, acknowledgement_by_reading_lowers_the_count)
{
	ASSERT_EQ(1, read_generation(self->reader));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(track_readers, acknowledgement_by_reading_wakes_waiters)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(1, read_generation(self->reader));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(track_readers, failed_read_does_not_lower_the_count)
{
	ASSERT_EQ(-EFAULT, RET(read(self->reader, NOWHERE, 4)));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
}

/* A library that only looks steps out like this. */
TEST_F(track_readers, forgetting_lowers_the_count)
{
	ASSERT_EQ(0, track(self->reader, 0));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	EXPECT_TRUE(is_outdated(self->reader));
	EXPECT_EQ(-EBADF, track(self->reader, 1));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	EXPECT_EQ(1, read_generation(self->reader));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F(track_readers, forgetting_wakes_waiters)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	ASSERT_EQ(0, track(self->reader, 0));
	EXPECT_EQ(0, call_join(&call));
}

TEST_F(track_readers, close_wakes_waiters)
{
	struct call call;

	ASSERT_TRUE(wait_blocks(&call, self->ctl, 0));
	close(self->reader);
	EXPECT_EQ(0, call_join(&call));
}

FIXTURE(track_invalid)
{
	bool unused;
};

FIXTURE_VARIANT(track_invalid)
{
	const char *params;
};

FIXTURE_VARIANT_ADD(track_invalid, 3) { .params = "track=3" };
FIXTURE_VARIANT_ADD(track_invalid, 255) { .params = "track=255" };
FIXTURE_VARIANT_ADD(track_invalid, minus_1) { .params = "track=-1" };
FIXTURE_VARIANT_ADD(track_invalid, 2_to_the_32) { .params = "track=4294967296" };
FIXTURE_VARIANT_ADD(track_invalid, word) { .params = "track=all" };
FIXTURE_VARIANT_ADD(track_invalid, number_and_word) { .params = "track=1x" };
FIXTURE_VARIANT_ADD(track_invalid, empty) { .params = "track=" };
FIXTURE_VARIANT_ADD(track_invalid, no_value) { .params = "track" };

FIXTURE_SETUP(track_invalid)
{
	long ret = module_unload();

	ASSERT_TRUE(ret == 0 || ret == -ENOENT);
}

FIXTURE_TEARDOWN_PARENT(track_invalid)
{
	EXPECT_EQ(0, module_reload(""));
}

TEST_F(track_invalid, is_einval_and_registers_nothing)
{
	EXPECT_EQ(-EINVAL, module_load(variant->params));
	EXPECT_EQ(-ENOENT, RET(open(DEVICE, O_RDONLY)));
	EXPECT_EQ(-ENOENT, module_unload());
}

TEST_HARNESS_MAIN
