// SPDX-License-Identifier: GPL-2.0
/*
 * The numbers of the ioctls, SYSGENID_GET_GENERATION, and what is no ioctl of
 * this device.
 *
 * Needs root and sysgenid.ko loaded. The other ioctls: see tracking.c, wait.c
 * and trigger.c.
 */
#include <termios.h>

#include "sysgenid_test.h"

FIXTURE(ioctl)
{
	int fd;
};

FIXTURE_SETUP(ioctl)
{
	self->fd = open_device(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(ioctl)
{
	close(self->fd);
}

TEST_F(ioctl, numbers_are_those_of_existing_programs)
{
	EXPECT_EQ(0xe401, SYSGENID_SET_WATCHER_TRACKING);
	EXPECT_EQ(0xe402, SYSGENID_WAIT_WATCHERS);
	EXPECT_EQ(0xe403, SYSGENID_TRIGGER_GEN_UPDATE);
	EXPECT_EQ(0xe403, SYSGENID_FORCE_GEN_UPDATE);
	EXPECT_EQ(0xe404, SYSGENID_GET_OUTDATED_WATCHERS);
	EXPECT_EQ(_IOR(0xe4, 5, __u32), SYSGENID_GET_GENERATION);
}

TEST_F(ioctl, get_generation_works_on_descriptors_of_any_access_mode)
{
	int ro = open_device(O_RDONLY), wronly = open_device(O_WRONLY);
	__s64 gen = generation(self->fd);

	ASSERT_LE(0, gen);
	EXPECT_EQ(gen, generation(ro));
	EXPECT_EQ(gen, generation(wronly));
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(gen + 1, generation(self->fd));
	EXPECT_EQ(gen + 1, generation(ro));
	EXPECT_EQ(gen + 1, generation(wronly));
	close(ro);
	close(wronly);
}

TEST_F(ioctl, get_generation_writes_four_bytes)
{
	__u32 gen[3] = { 0xa5a5a5a5, 0, 0xa5a5a5a5 };

	ASSERT_EQ(0, trigger(self->fd, 0));
	ASSERT_EQ(0, ioctl(self->fd, SYSGENID_GET_GENERATION, &gen[1]));
	EXPECT_NE(0, gen[1]);
	EXPECT_EQ(0xa5a5a5a5, gen[0]);
	EXPECT_EQ(0xa5a5a5a5, gen[2]);
}

TEST_F(ioctl, get_generation_to_bad_memory_is_efault)
{
	long size = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-EFAULT, RET(ioctl(self->fd, SYSGENID_GET_GENERATION, NOWHERE)));
	EXPECT_EQ(-EFAULT, RET(ioctl(self->fd, SYSGENID_GET_GENERATION, p)));
	EXPECT_EQ(-EFAULT, RET(ioctl(self->fd, SYSGENID_GET_GENERATION, KERNEL_ADDRESS)));
	ASSERT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(-EFAULT, RET(ioctl(self->fd, SYSGENID_GET_GENERATION, p + size - 2)));
	EXPECT_EQ(0, RET(ioctl(self->fd, SYSGENID_GET_GENERATION, p + size - 4)));
}

TEST_F(ioctl, get_generation_acknowledges_nothing)
{
	int ro = open_device(O_RDONLY);

	ASSERT_LE(0, ro);
	ASSERT_EQ(0, trigger(self->fd, 0));
	ASSERT_LE(0, generation(self->fd));
	ASSERT_LE(0, generation(ro));
	EXPECT_TRUE(is_outdated(self->fd));
	EXPECT_TRUE(is_outdated(ro));
	close(ro);
}

TEST_F(ioctl, other_numbers_are_enotty)
{
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IO(SYSGENID_IOCTL, 0), 0)));
	for (int nr = 6; nr < 256; nr++) {
		EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IO(SYSGENID_IOCTL, nr), 0))) {
			TH_LOG("number %d", nr);
		}
	}
}

TEST_F(ioctl, other_magics_are_enotty)
{
	__u32 gen;

	for (int nr = 1; nr <= 4; nr++)
		EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IO(0xe5, nr), 0)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOR(0xe5, 5, __u32), &gen)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, 4, 0)));
}

TEST_F(ioctl, right_number_with_a_direction_or_size_is_enotty)
{
	__u64 arg = 0;

	for (int nr = 1; nr <= 4; nr++) {
		EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOR(SYSGENID_IOCTL, nr, __u32), &arg)));
		EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOW(SYSGENID_IOCTL, nr, __u32), &arg)));
		EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOWR(SYSGENID_IOCTL, nr, __u64), &arg)));
	}
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IO(SYSGENID_IOCTL, 5), &arg)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOW(SYSGENID_IOCTL, 5, __u32), &arg)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOWR(SYSGENID_IOCTL, 5, __u32), &arg)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOR(SYSGENID_IOCTL, 5, __u64), &arg)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOR(SYSGENID_IOCTL, 5, __u8), &arg)));
}

TEST_F(ioctl, requests_for_other_devices_are_enotty)
{
	struct termios tio;
	int n;

	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, TCGETS, &tio)));
	EXPECT_EQ(-ENOTTY, RET(ioctl(self->fd, FIONREAD, &n)));
	EXPECT_EQ(0, isatty(self->fd));
}

TEST_F(ioctl, unknown_request_changes_nothing)
{
	__s64 before = generation(self->fd);

	ASSERT_EQ(-ENOTTY, RET(ioctl(self->fd, _IO(SYSGENID_IOCTL, 6), 0)));
	ASSERT_EQ(-ENOTTY, RET(ioctl(self->fd, _IOW(SYSGENID_IOCTL, 3, __u32), 0)));
	EXPECT_EQ(before, generation(self->fd));
	EXPECT_EQ(0, poll_now(self->fd));
}

TEST_HARNESS_MAIN
