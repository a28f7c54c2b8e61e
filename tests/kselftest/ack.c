// SPDX-License-Identifier: GPL-2.0
/*
 * What acknowledges a generation and what does not: write(2), read(2) on a
 * descriptor that cannot write, open(2).
 *
 * Needs root and sysgenid.ko loaded.
 */
#include "sysgenid_test.h"

FIXTURE(ack)
{
	int fd;		/* can be written */
	int ro;
	int ctl;
};

FIXTURE_SETUP(ack)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	/* So that the generations 0, current - 1 and current + 1 differ. */
	ASSERT_EQ(0, trigger(self->ctl, generation(self->ctl) + 2));
	self->fd = open_device(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	self->ro = open_device(O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, self->ro);
}

FIXTURE_TEARDOWN(ack)
{
	close(self->fd);
	close(self->ro);
	close(self->ctl);
}

TEST_F(ack, open_acknowledges)
{
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
	EXPECT_EQ(-EAGAIN, read_generation(self->ro));
}

TEST_F(ack, writing_the_current_generation_acknowledges)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(is_outdated(self->fd));
	EXPECT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	EXPECT_FALSE(is_outdated(self->fd));
	EXPECT_EQ(-EAGAIN, read_generation(self->fd));
}

TEST_F(ack, works_on_a_write_only_descriptor)
{
	int fd = open_device(O_WRONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(is_outdated(fd));
	EXPECT_EQ(4, write_generation(fd, generation(self->ctl)));
	EXPECT_FALSE(is_outdated(fd));
}

TEST_F(ack, repeating_it_is_harmless)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	EXPECT_FALSE(is_outdated(self->fd));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(ack, is_accepted_when_never_outdated)
{
	EXPECT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	EXPECT_FALSE(is_outdated(self->fd));
}

TEST_F(ack, covers_one_descriptor_only)
{
	int other = open_device(O_RDWR);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	EXPECT_TRUE(is_outdated(other));
	close(other);
}

TEST_F(ack, does_not_last_beyond_the_next_generation)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(4, write_generation(self->fd, generation(self->ctl)));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(ack, wrong_length_is_einval)
{
	static const size_t lengths[] = { 0, 1, 2, 3, 5, 8, 4096 };
	__u32 buf[1024];

	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (size_t i = 0; i < ARRAY_SIZE(buf); i++)
		buf[i] = generation(self->ctl);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		EXPECT_EQ(-EINVAL, RET(write(self->fd, buf, lengths[i]))) {
			TH_LOG("length %zu", lengths[i]);
		}
		EXPECT_TRUE(is_outdated(self->fd));
	}
}

TEST_F(ack, any_other_value_is_einval)
{
	const __u32 gen = generation(self->ctl) + 1;
	const __u32 wrong[] = { 0, gen - 1, gen + 1, gen ^ 0x80000000, ~gen, ~0U };

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(gen, generation(self->ctl));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(-EINVAL, write_generation(self->fd, wrong[i])) {
			TH_LOG("%u acknowledges %u", wrong[i], gen);
		}
		EXPECT_TRUE(is_outdated(self->fd));
	}
}

TEST_F(ack, generation_overtaken_since_it_was_read_is_einval)
{
	__s64 gen;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	gen = read_generation(self->fd);
	ASSERT_LT(0, gen);
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EINVAL, write_generation(self->fd, gen));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(ack, wrong_value_leaves_an_acknowledgement_alone)
{
	EXPECT_EQ(-EINVAL, write_generation(self->fd, generation(self->ctl) - 1));
	EXPECT_FALSE(is_outdated(self->fd));
}

TEST_F(ack, bad_buffer_is_efault)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EFAULT, RET(write(self->fd, NOWHERE, 4)));
	EXPECT_EQ(-EFAULT, RET(write(self->fd, KERNEL_ADDRESS, 4)));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(ack, writing_to_a_read_only_descriptor_is_ebadf)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-EBADF, write_generation(self->ro, generation(self->ctl)));
	EXPECT_TRUE(is_outdated(self->ro));
}

TEST_F(ack, reading_acknowledges_on_a_read_only_descriptor)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(generation(self->ctl), read_generation(self->ro));
	EXPECT_FALSE(is_outdated(self->ro));
	EXPECT_EQ(-EAGAIN, read_generation(self->ro));
}

TEST_F(ack, blocking_read_acknowledges_on_a_read_only_descriptor)
{
	struct call call;
	__u32 gen;

	ASSERT_EQ(0, fcntl(self->ro, F_SETFL, 0));
	ASSERT_TRUE(read_blocks(&call, self->ro, &gen));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(sizeof(gen), call_join(&call));
	EXPECT_FALSE(is_outdated(self->ro));
}

TEST_F(ack, reading_does_not_acknowledge_on_a_writable_descriptor)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(generation(self->ctl), read_generation(self->fd));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(ack, failed_read_does_not_acknowledge)
{
	char small[3];

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(-EFAULT, RET(read(self->ro, NOWHERE, 4)));
	EXPECT_TRUE(is_outdated(self->ro));
	ASSERT_EQ(-EINVAL, RET(read(self->ro, small, sizeof(small))));
	EXPECT_TRUE(is_outdated(self->ro));
	EXPECT_EQ(generation(self->ctl), read_generation(self->ro));
}

TEST_F(ack, reading_zero_bytes_does_not_acknowledge)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, RET(read(self->ro, NULL, 0)));
	EXPECT_TRUE(is_outdated(self->ro));
}

TEST_F(ack, polling_does_not_acknowledge)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(POLL_OUTDATED, poll_now(self->ro));
	EXPECT_EQ(POLL_OUTDATED, poll_now(self->ro));
	EXPECT_EQ(generation(self->ctl), read_generation(self->ro));
}

TEST_HARNESS_MAIN
