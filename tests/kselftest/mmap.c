// SPDX-License-Identifier: GPL-2.0
/*
 * mmap(2): what can be mapped and how, what the page shows, what can be done
 * to a mapping afterwards.
 *
 * Needs root and sysgenid.ko loaded; the tests of the fixture "no_source" also
 * that no source was ever attached since then.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "sysgenid_test.h"

FIXTURE(mmap)
{
	int fd;
	size_t size;
	const struct sysgenid_page *page;
};

FIXTURE_SETUP(mmap)
{
	self->size = sysconf(_SC_PAGESIZE);
	self->fd = open_device(O_RDWR);
	ASSERT_LE(0, self->fd);
	/* So that an empty page is wrong. */
	ASSERT_EQ(0, trigger(self->fd, 0));
	self->page = map_page(self->fd);
	ASSERT_NE(NULL, self->page);
}

FIXTURE_TEARDOWN(mmap)
{
	unmap_page(self->page);
	close(self->fd);
}

/* Maps and unmaps: 0 or -errno. */
static int try_mmap(int fd, size_t length, int prot, int flags, off64_t offset)
{
	void *p = mmap64(NULL, length, prot, flags, fd, offset);

	return p == MAP_FAILED ? -errno : munmap(p, length);
}

TEST_F(mmap, shows_the_current_generation)
{
	EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
}

/* A fault costs more than all the rest. */
TEST_F(mmap, is_filled_when_it_is_made)
{
	size_t pages = self->page->flags & SYSGENID_PAGE_HWID ? 2 : 1;
	unsigned char there[2] = { 0 };
	void *p = mmap(NULL, pages * self->size, PROT_READ, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, RET(mincore(p, pages * self->size, there)));
	for (size_t i = 0; i < pages; i++)
		EXPECT_EQ(1, there[i] & 1);
	EXPECT_EQ(0, munmap(p, pages * self->size));
}

TEST_F(mmap, follows_every_trigger)
{
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, trigger(self->fd, generation(self->fd) + 3 * i));
		EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
	}
}

TEST_F(mmap, generation_is_at_offset_0)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(generation(self->fd), *(const __u32 *)self->page);
}

TEST_F(mmap, page_is_written_before_readers_wake)
{
	struct call call;
	__u32 gen;

	for (int i = 0; i < 50; i++) {
		ASSERT_TRUE(acknowledge(self->fd));
		ASSERT_TRUE(read_blocks(&call, self->fd, &gen));
		ASSERT_EQ(0, trigger(self->fd, 0));
		ASSERT_EQ(sizeof(gen), call_join(&call));
		ASSERT_EQ(gen, mapped_generation(self->page));
	}
}

TEST_F(mmap, reserved_and_the_rest_of_the_page_are_zero)
{
	const unsigned char *bytes = (const unsigned char *)self->page;

	ASSERT_EQ(0, trigger(self->fd, 0x01020304));
	EXPECT_EQ(0, self->page->reserved);
	EXPECT_EQ(0, self->page->flags & ~SYSGENID_PAGE_HWID);
	for (size_t i = sizeof(*self->page); i < self->size; i++) {
		ASSERT_EQ(0, bytes[i]) {
			TH_LOG("offset %zu", i);
		}
	}
}

TEST_F(mmap, one_byte_is_enough)
{
	const struct sysgenid_page *p = mmap(NULL, 1, PROT_READ, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(generation(self->fd), mapped_generation(p));
	EXPECT_EQ(0, munmap((void *)p, 1));
}

TEST_F(mmap, works_on_a_read_only_descriptor)
{
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, try_mmap(fd, self->size, PROT_READ, MAP_SHARED, 0));
	close(fd);
}

TEST_F(mmap, write_only_descriptor_is_eacces)
{
	int fd = open_device(O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EACCES, try_mmap(fd, self->size, PROT_READ, MAP_SHARED, 0));
	close(fd);
}

TEST_F(mmap, many_mappings_show_the_same)
{
	const struct sysgenid_page *p[16];

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = map_page(self->fd);
		ASSERT_NE(NULL, p[i]);
	}
	ASSERT_EQ(0, trigger(self->fd, 0));
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		EXPECT_EQ(generation(self->fd), mapped_generation(p[i]));
}

TEST_F(mmap, writable_is_eperm)
{
	EXPECT_EQ(-EPERM, try_mmap(self->fd, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(-EPERM, try_mmap(self->fd, self->size, PROT_WRITE, MAP_SHARED, 0));
}

TEST_F(mmap, executable_is_eperm)
{
	EXPECT_EQ(-EPERM, try_mmap(self->fd, self->size, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	EXPECT_EQ(-EPERM, try_mmap(self->fd, self->size, PROT_EXEC, MAP_SHARED, 0));
}

TEST_F(mmap, private_is_einval)
{
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, self->size, PROT_READ, MAP_PRIVATE, 0));
}

TEST_F(mmap, other_lengths_are_einval)
{
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, 2 * self->size + 1, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, 16 * self->size, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, 2 * self->size, PROT_READ, MAP_SHARED, self->size));
}

TEST_F(mmap, other_offsets_are_einval)
{
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, self->size, PROT_READ, MAP_SHARED, 2 * self->size));
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, 1, PROT_READ, MAP_SHARED, 1LL << 32));
	EXPECT_EQ(-EINVAL, try_mmap(self->fd, 1, PROT_READ, MAP_SHARED, 1LL << 40));
}

TEST_F(mmap, mprotect_to_writable_is_eacces)
{
	EXPECT_EQ(-EACCES, RET(mprotect((void *)self->page, self->size, PROT_READ | PROT_WRITE)));
	EXPECT_EQ(-EACCES, RET(mprotect((void *)self->page, self->size, PROT_WRITE)));
}

TEST_F(mmap, mprotect_to_executable_is_eacces)
{
	EXPECT_EQ(-EACCES, RET(mprotect((void *)self->page, self->size, PROT_READ | PROT_EXEC)));
}

TEST_F(mmap, mprotect_to_nothing_and_back_works)
{
	ASSERT_EQ(0, mprotect((void *)self->page, self->size, PROT_NONE));
	ASSERT_EQ(0, mprotect((void *)self->page, self->size, PROT_READ));
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
}

TEST_F_SIGNAL(mmap, store_faults, SIGSEGV)
{
	__atomic_store_n((__u32 *)self->page, 1, __ATOMIC_SEQ_CST);
}

TEST_F(mmap, proc_self_mem_cannot_write)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	__u32 before = mapped_generation(self->page);
	__u32 gen = before + 1;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EIO, RET(pwrite64(fd, &gen, sizeof(gen), (uintptr_t)self->page)));
	EXPECT_EQ(before, mapped_generation(self->page));
	close(fd);
}

TEST_F(mmap, mremap_moves_it)
{
	void *there = mmap(NULL, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *here = (void *)self->page;

	ASSERT_NE(MAP_FAILED, there);
	ASSERT_EQ(there, mremap(here, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED,
				there));
	self->page = there;
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
}

TEST_F(mmap, mremap_cannot_grow_it)
{
	EXPECT_EQ(MAP_FAILED, mremap((void *)self->page, self->size, 2 * self->size,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
}

TEST_F(mmap, moved_mapping_is_still_read_only)
{
	void *there = mmap(NULL, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, there);
	ASSERT_EQ(there, mremap((void *)self->page, self->size, self->size,
				MREMAP_MAYMOVE | MREMAP_FIXED, there));
	self->page = there;
	EXPECT_EQ(-EACCES, RET(mprotect(there, self->size, PROT_READ | PROT_WRITE)));
}

TEST_F(mmap, madvise_dontneed_does_not_lose_the_page)
{
	/* Refusing it is as good as surviving it. */
	madvise((void *)self->page, self->size, MADV_DONTNEED);
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(generation(self->fd), mapped_generation(self->page));
}

TEST_F(mmap, fork_inherits_it)
{
	__s64 before = mapped_generation(self->page);
	struct gate gate;
	int status;
	pid_t pid;

	ASSERT_TRUE(gate_init(&gate));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		EXPECT_EQ(before, mapped_generation(self->page));
		ASSERT_TRUE(gate_pass(&gate));
		EXPECT_EQ(before + 1, mapped_generation(self->page));
		_exit(0);
	}
	ASSERT_TRUE(gate_wait(&gate));
	ASSERT_EQ(0, trigger(self->fd, 0));
	ASSERT_TRUE(gate_open(&gate));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(mmap, outlives_its_descriptor)
{
	const struct sysgenid_page *p;
	int fd = open_device(O_RDONLY);

	ASSERT_LE(0, fd);
	p = map_page(fd);
	ASSERT_NE(NULL, p);
	close(fd);
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(generation(self->fd), mapped_generation(p));
}

TEST_F(mmap, can_be_locked_and_populated)
{
	const struct sysgenid_page *p = mmap(NULL, self->size, PROT_READ, MAP_SHARED |
					     MAP_POPULATE | MAP_LOCKED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(generation(self->fd), mapped_generation(p));
}

TEST_F(mmap, system_calls_can_read_from_it)
{
	int fds[2];
	__u32 gen = ~0U;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(sizeof(gen), RET(write(fds[1], (void *)self->page, sizeof(gen))));
	ASSERT_EQ(sizeof(gen), read(fds[0], &gen, sizeof(gen)));
	EXPECT_EQ(generation(self->fd), gen);
}

TEST_F(mmap, layout_is_the_contracts)
{
	EXPECT_EQ(0, offsetof(struct sysgenid_page, generation));
	EXPECT_EQ(4, offsetof(struct sysgenid_page, flags));
	EXPECT_EQ(8, offsetof(struct sysgenid_page, hwid_offset));
	EXPECT_EQ(12, offsetof(struct sysgenid_page, reserved));
	EXPECT_EQ(16, offsetof(struct sysgenid_page, hwid));
	EXPECT_EQ(32, sizeof(struct sysgenid_page));
}

FIXTURE(no_source)
{
	int fd;
	size_t size;
};

FIXTURE_SETUP(no_source)
{
	self->size = sysconf(_SC_PAGESIZE);
	self->fd = open_device(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(no_source)
{
	close(self->fd);
}

TEST_F(no_source, page_1_is_enodev)
{
	EXPECT_EQ(-ENODEV, try_mmap(self->fd, self->size, PROT_READ, MAP_SHARED, self->size));
	EXPECT_EQ(-ENODEV, try_mmap(self->fd, 1, PROT_READ, MAP_SHARED, self->size));
}

TEST_F(no_source, both_pages_are_enodev)
{
	EXPECT_EQ(-ENODEV, try_mmap(self->fd, 2 * self->size, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(-ENODEV, try_mmap(self->fd, self->size + 1, PROT_READ, MAP_SHARED, 0));
}

TEST_F(no_source, page_0_has_no_hardware_id)
{
	static const struct sysgenid_page none;
	const struct sysgenid_page *page;

	page = mmap(NULL, self->size, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, page);
	EXPECT_EQ(0, page->flags);
	EXPECT_EQ(0, page->hwid_offset);
	EXPECT_EQ(0, memcmp(none.hwid, page->hwid, sizeof(none.hwid)));
}

TEST_HARNESS_MAIN
