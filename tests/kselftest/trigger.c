// SPDX-License-Identifier: GPL-2.0
/*
 * SYSGENID_TRIGGER_GEN_UPDATE: who may, and which generation comes out.
 *
 * Needs root and sysgenid.ko loaded; nobody else may have the device open.
 * The upper edge of the generations: see overflow.c.
 */
#include <linux/capability.h>
#include <sched.h>

#include "sysgenid_test.h"

#define CAP(nr) (1ULL << (nr))

FIXTURE(trigger)
{
	int fd;
	int watcher;
	__s64 before;
};

FIXTURE_SETUP(trigger)
{
	self->fd = open_device(O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(device_is_idle(self->fd));
	self->watcher = open_device(O_RDWR);
	ASSERT_LE(0, self->watcher);
	self->before = generation(self->fd);
	ASSERT_LE(0, self->before);
}

FIXTURE_TEARDOWN(trigger)
{
	close(self->watcher);
	close(self->fd);
}

static int set_caps(__u64 caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = caps, .permitted = caps },
		{ .effective = caps >> 32, .permitted = caps >> 32 },
	};

	return RET(syscall(SYS_capset, &header, data));
}

static __u64 get_caps(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return 0;
	return data[0].effective | (__u64)data[1].effective << 32;
}

TEST_F(trigger, minimum_0_adds_one)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

TEST_F(trigger, minimum_at_current_adds_one)
{
	ASSERT_EQ(0, trigger(self->fd, self->before));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

TEST_F(trigger, minimum_below_current_adds_one)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	ASSERT_EQ(0, trigger(self->fd, self->before));
	EXPECT_EQ(self->before + 2, generation(self->fd));
}

TEST_F(trigger, minimum_right_above_current_adds_one)
{
	ASSERT_EQ(0, trigger(self->fd, self->before + 1));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

TEST_F(trigger, larger_minimum_is_jumped_to)
{
	ASSERT_EQ(0, trigger(self->fd, self->before + 0x12345));
	EXPECT_EQ(self->before + 0x12345, generation(self->fd));
}

TEST_F(trigger, outdates_every_descriptor)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_TRUE(is_outdated(self->fd));
	EXPECT_TRUE(is_outdated(self->watcher));
	EXPECT_EQ(1, outdated_watchers(self->fd));
}

TEST_F(trigger, works_on_descriptors_of_any_access_mode)
{
	int wronly = open_device(O_WRONLY);

	ASSERT_LE(0, wronly);
	EXPECT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(0, trigger(self->watcher, 0));
	EXPECT_EQ(0, trigger(wronly, 0));
	EXPECT_EQ(self->before + 3, generation(self->fd));
	close(wronly);
}

TEST_F(trigger, result_above_2_to_the_31_less_1_is_eoverflow)
{
	EXPECT_EQ(-EOVERFLOW, trigger(self->fd, 1UL << 31));
	EXPECT_EQ(-EOVERFLOW, trigger(self->fd, (1UL << 31) + 1));
	EXPECT_EQ(-EOVERFLOW, trigger(self->fd, UINT_MAX));
	EXPECT_EQ(self->before, generation(self->fd));
}

TEST_F(trigger, refused_trigger_changes_nothing)
{
	const struct sysgenid_page *page = map_page(self->fd);

	ASSERT_NE(NULL, page);
	ASSERT_EQ(-EOVERFLOW, trigger(self->fd, 1UL << 31));
	EXPECT_EQ(self->before, generation(self->fd));
	EXPECT_EQ(self->before, mapped_generation(page));
	EXPECT_EQ(0, poll_now(self->watcher));
	EXPECT_EQ(0, outdated_watchers(self->fd));
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

#if __BITS_PER_LONG == 64
TEST_F(trigger, minimum_beyond_32_bits_is_einval)
{
	EXPECT_EQ(-EINVAL, trigger(self->fd, 1UL << 32));
	EXPECT_EQ(-EINVAL, trigger(self->fd, (1UL << 32) + self->before + 5));
	EXPECT_EQ(-EINVAL, trigger(self->fd, LONG_MAX));
	EXPECT_EQ(-EINVAL, trigger(self->fd, ULONG_MAX));
	EXPECT_EQ(self->before, generation(self->fd));
	EXPECT_EQ(0, outdated_watchers(self->fd));
}
#endif

TEST_F(trigger, cap_checkpoint_restore_alone_suffices)
{
	ASSERT_EQ(0, set_caps(CAP(CAP_CHECKPOINT_RESTORE)));
	EXPECT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

TEST_F(trigger, cap_sys_admin_alone_suffices)
{
	ASSERT_EQ(0, set_caps(CAP(CAP_SYS_ADMIN)));
	EXPECT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, generation(self->fd));
}

TEST_F(trigger, without_capabilities_is_eacces)
{
	ASSERT_EQ(0, set_caps(0));
	EXPECT_EQ(-EACCES, trigger(self->fd, 0));
	EXPECT_EQ(self->before, generation(self->fd));
	EXPECT_EQ(0, outdated_watchers(self->fd));
}

TEST_F(trigger, every_other_capability_is_eacces)
{
	__u64 others = get_caps() & ~CAP(CAP_SYS_ADMIN) & ~CAP(CAP_CHECKPOINT_RESTORE);

	ASSERT_NE(0, others);
	ASSERT_EQ(0, set_caps(others));
	EXPECT_EQ(-EACCES, trigger(self->watcher, 0));
	EXPECT_EQ(self->before, generation(self->fd));
}

TEST_F(trigger, root_of_a_user_namespace_is_eacces)
{
	__u64 both = CAP(CAP_SYS_ADMIN) | CAP(CAP_CHECKPOINT_RESTORE);

	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	ASSERT_EQ(both, get_caps() & both);
	EXPECT_EQ(-EACCES, trigger(self->fd, 0));
	EXPECT_EQ(-EACCES, trigger(self->watcher, 0));
	EXPECT_EQ(self->before, generation(self->fd));
}

TEST_F(trigger, descriptor_opened_in_a_user_namespace_is_eacces)
{
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	fd = open_device(O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES, trigger(fd, 0));
	EXPECT_EQ(self->before, generation(fd));
	close(fd);
}

TEST_F(trigger, unprivileged_user_is_eacces)
{
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_EQ(-EACCES, trigger(self->fd, 0));
	EXPECT_EQ(-EACCES, trigger(self->watcher, 0));
	EXPECT_EQ(self->before, generation(self->fd));
}

TEST_HARNESS_MAIN
