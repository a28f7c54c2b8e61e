// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading sysgenid.ko.
 *
 * Needs root. Reloads sysgenid.ko before each test and leaves it loaded with
 * its defaults: nobody else may use it, sysgenid_vmgenid.ko may not be loaded.
 * SYSGENID_KO in the environment says where it is (/modules/sysgenid.ko).
 */
#include "sysgenid_test.h"

/* What delete_module(2) says of a module in use; rmmod(8) prints EBUSY's text or this one's. */
#define IN_USE (-EWOULDBLOCK)

#define ROUNDS		10
/* As many as the driver keeps for its worker. */
#define PENDING		64

FIXTURE(lifecycle)
{
	bool unused;
};

FIXTURE_SETUP(lifecycle)
{
	ASSERT_EQ(0, module_reload(""));
}

/* In the parent: by then the test's descriptors are closed, whatever happened. */
FIXTURE_TEARDOWN_PARENT(lifecycle)
{
	EXPECT_EQ(0, module_reload(""));
}

TEST_F(lifecycle, generation_is_0_after_loading)
{
	int fd = open_device(O_RDONLY);
	const struct sysgenid_page *page;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, generation(fd));
	EXPECT_EQ(0, outdated_watchers(fd));
	EXPECT_EQ(0, poll_now(fd));
	page = map_page(fd);
	ASSERT_NE(NULL, page);
	EXPECT_EQ(0, mapped_generation(page));
}

TEST_F(lifecycle, generation_0_can_be_acknowledged)
{
	int fd = open_device(O_RDWR);

	ASSERT_LE(0, fd);
	EXPECT_EQ(4, write_generation(fd, 0));
	EXPECT_EQ(-EINVAL, write_generation(fd, 1));
}

TEST_F(lifecycle, first_trigger_makes_generation_1)
{
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(1, read_generation(fd));
}

TEST_F(lifecycle, generation_is_0_again_after_reloading)
{
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 100));
	close(fd);
	ASSERT_EQ(0, module_reload(""));
	fd = open_device(O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, generation(fd));
}

TEST_F(lifecycle, unloading_removes_the_device)
{
	ASSERT_EQ(0, access(DEVICE, F_OK));
	ASSERT_EQ(0, module_unload());
	EXPECT_EQ(-ENOENT, RET(access(DEVICE, F_OK)));
	EXPECT_EQ(-ENOENT, RET(access("/sys/class/misc/sysgenid", F_OK)));
}

TEST_F(lifecycle, loading_twice_is_eexist)
{
	int fd = open_device(O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(-EEXIST, module_load(""));
	EXPECT_EQ(1, generation(fd));
}

TEST_F(lifecycle, open_descriptor_keeps_the_module)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		int fd = open_device(modes[i]);

		ASSERT_LE(0, fd);
		EXPECT_EQ(IN_USE, module_unload());
		EXPECT_EQ(0, trigger(fd, 0));
		EXPECT_TRUE(is_outdated(fd));
		close(fd);
	}
	EXPECT_EQ(0, module_unload());
}

TEST_F(lifecycle, duplicate_descriptor_keeps_the_module)
{
	int fd = open_device(O_RDONLY);
	int dup_fd = dup(fd);

	ASSERT_LE(0, dup_fd);
	close(fd);
	EXPECT_EQ(IN_USE, module_unload());
	close(dup_fd);
	EXPECT_EQ(0, module_unload());
}

TEST_F(lifecycle, mapping_alone_keeps_the_module)
{
	int fd = open_device(O_RDONLY);
	const struct sysgenid_page *page;

	ASSERT_LE(0, fd);
	page = map_page(fd);
	ASSERT_NE(NULL, page);
	close(fd);
	EXPECT_EQ(IN_USE, module_unload());
	EXPECT_EQ(0, mapped_generation(page));
	fd = open_device(O_RDONLY);
	ASSERT_EQ(0, trigger(fd, 0));
	close(fd);
	EXPECT_EQ(1, mapped_generation(page));
	ASSERT_EQ(0, unmap_page(page));
	EXPECT_EQ(0, module_unload());
}

TEST_F(lifecycle, mapping_in_a_child_alone_keeps_the_module)
{
	int fd = open_device(O_RDONLY);
	const struct sysgenid_page *page;
	pid_t pid;

	ASSERT_LE(0, fd);
	page = map_page(fd);
	ASSERT_NE(NULL, page);
	close(fd);
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid)
		for (;;)
			pause();
	ASSERT_EQ(0, unmap_page(page));
	EXPECT_EQ(IN_USE, module_unload());
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(0, module_unload());
}

TEST_F(lifecycle, blocked_reader_keeps_the_module_and_wakes)
{
	int fd = open_device(O_RDONLY);
	struct call call;
	__u32 gen;

	ASSERT_LE(0, fd);
	ASSERT_TRUE(read_blocks(&call, fd, &gen));
	EXPECT_EQ(IN_USE, module_unload());
	EXPECT_TRUE(call_stays_blocked(&call));
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(4, call_join(&call));
	EXPECT_EQ(1, gen);
}

TEST_F(lifecycle, device_works_on_after_a_refused_unload)
{
	int fd = open_device(O_RDWR), late;

	ASSERT_LE(0, fd);
	ASSERT_EQ(IN_USE, module_unload());
	late = open_device(O_RDWR);
	ASSERT_LE(0, late);
	ASSERT_EQ(0, trigger(fd, 0));
	EXPECT_EQ(2, outdated_watchers(fd));
	EXPECT_TRUE(acknowledge(fd));
	EXPECT_TRUE(acknowledge(late));
	EXPECT_EQ(0, wait_watchers(fd, 0));
}

TEST_F(lifecycle, uevents_of_all_generations_come_before_the_device_goes)
{
	for (int round = 0; round < ROUNDS; round++) {
		int fd = open_device(O_RDONLY), socket = open_uevents();

		ASSERT_LE(0, fd);
		ASSERT_LE(0, socket);
		for (int i = 0; i < PENDING; i++)
			ASSERT_EQ(0, trigger(fd, 0));
		close(fd);
		ASSERT_EQ(0, module_unload());
		for (int i = 1; i <= PENDING; i++)
			ASSERT_EQ(i, next_event(socket, 0));
		EXPECT_EQ(-ENODEV, next_event(socket, 0));
		close(socket);
		ASSERT_EQ(0, module_load(""));
	}
}

TEST_F(lifecycle, can_be_reloaded_many_times)
{
	for (int i = 0; i < 20; i++) {
		int fd = open_device(O_RDWR);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, trigger(fd, 0));
		ASSERT_EQ(1, outdated_watchers(fd));
		close(fd);
		ASSERT_EQ(0, module_reload(""));
	}
}

TEST_HARNESS_MAIN
