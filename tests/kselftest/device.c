// SPDX-License-Identifier: GPL-2.0
/*
 * The device node: what it is, who may open it, and what its descriptors are
 * not.
 *
 * Needs root and sysgenid.ko loaded, devtmpfs on /dev, sysfs on /sys.
 */
#include <grp.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "sysgenid_test.h"

#define MISC_MAJOR		10
#define MISC_DYNAMIC_MINOR	255

FIXTURE(device)
{
	int fd;
	struct stat st;
};

FIXTURE_SETUP(device)
{
	self->fd = open_device(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, fstat(self->fd, &self->st));
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

static int become_nobody(void)
{
	return setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
	       setresuid(65534, 65534, 65534) ? -errno : 0;
}

TEST_F(device, is_a_character_device_of_mode_0644)
{
	EXPECT_TRUE(S_ISCHR(self->st.st_mode));
	EXPECT_EQ(0644, self->st.st_mode & 07777);
	EXPECT_EQ(0, self->st.st_uid);
	EXPECT_EQ(0, self->st.st_gid);
}

TEST_F(device, is_a_misc_device_with_a_dynamic_minor)
{
	char expected[32], seen[32] = "";
	unsigned int minor = minor(self->st.st_rdev);
	int fd = open("/sys/class/misc/sysgenid/dev", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_LT(0, read(fd, seen, sizeof(seen) - 1));
	close(fd);
	snprintf(expected, sizeof(expected), "%d:%u\n", MISC_MAJOR, minor);
	EXPECT_STREQ(expected, seen);
	EXPECT_EQ(MISC_MAJOR, major(self->st.st_rdev));
	/* Dynamic minors are above all those that have an owner. */
	EXPECT_LT(MISC_DYNAMIC_MINOR, minor);
}

TEST_F(device, unprivileged_user_can_only_read)
{
	int fd;

	ASSERT_EQ(0, become_nobody());
	EXPECT_EQ(-EACCES, RET(open(DEVICE, O_RDWR)));
	EXPECT_EQ(-EACCES, RET(open(DEVICE, O_WRONLY)));
	fd = open_device(O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, read_generation(fd));
	EXPECT_LE(0, generation(fd));
	EXPECT_EQ(-EBADF, track(fd, 1));
	EXPECT_EQ(0, track(fd, 0));
	close(fd);
}

TEST_F(device, unprivileged_user_is_told_of_changes)
{
	struct gate gate;
	int status;
	pid_t pid;

	ASSERT_TRUE(gate_init(&gate));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		const struct sysgenid_page *page;
		int fd;

		ASSERT_EQ(0, become_nobody());
		fd = open_device(O_RDONLY | O_NONBLOCK);
		ASSERT_LE(0, fd);
		page = map_page(fd);
		ASSERT_NE(NULL, page);
		ASSERT_TRUE(gate_pass(&gate));
		EXPECT_TRUE(is_outdated(fd));
		EXPECT_EQ(generation(fd), mapped_generation(page));
		EXPECT_EQ(generation(fd), read_generation(fd));
		_exit(0);
	}
	ASSERT_TRUE(gate_wait(&gate));
	ASSERT_EQ(0, trigger(self->fd, 0));
	ASSERT_TRUE(gate_open(&gate));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(device, is_not_seekable)
{
	EXPECT_EQ(-ESPIPE, RET(lseek(self->fd, 0, SEEK_SET)));
	EXPECT_EQ(-ESPIPE, RET(lseek(self->fd, 4, SEEK_SET)));
	EXPECT_EQ(-ESPIPE, RET(lseek(self->fd, 0, SEEK_CUR)));
	EXPECT_EQ(-ESPIPE, RET(lseek(self->fd, 0, SEEK_END)));
}

TEST_F(device, positioned_read_and_write_are_refused)
{
	__u32 gen = generation(self->fd);

	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(-ESPIPE, RET(pread(self->fd, &gen, sizeof(gen), 0)));
	gen = generation(self->fd);
	EXPECT_EQ(-ESPIPE, RET(pwrite(self->fd, &gen, sizeof(gen), 0)));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(device, reads_do_not_move_a_position)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(generation(self->fd), read_generation(self->fd));
}

TEST_F(device, write_only_descriptor_cannot_be_read)
{
	int fd = open_device(O_WRONLY | O_NONBLOCK);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, read_generation(fd));
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(-EBADF, read_generation(fd));
	EXPECT_TRUE(is_outdated(fd));
	close(fd);
}

TEST_HARNESS_MAIN
