// SPDX-License-Identifier: GPL-2.0
/*
 * readv(2), writev(2) and their relatives: however many segments there are, one
 * call gives one generation and never waits for a second one.
 *
 * Needs root and sysgenid.ko loaded.
 */
#include <sys/uio.h>

#include "ring.h"
#include "sysgenid_test.h"

#define MOST_SEGMENTS	4
#define UNTOUCHED	0xa5

FIXTURE(vectored)
{
	int fd;
	int ctl;
	struct iovec iov[MOST_SEGMENTS];
	unsigned char bytes[64];	/* what the segments refer to */
	char *bad;			/* the last four bytes that can be used, of a page */
};

FIXTURE_VARIANT(vectored)
{
	int flags;
};

FIXTURE_VARIANT_ADD(vectored, rdonly) { .flags = O_RDONLY };
FIXTURE_VARIANT_ADD(vectored, rdwr) { .flags = O_RDWR };

FIXTURE_SETUP(vectored)
{
	long size = sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + size, size, PROT_NONE));
	self->bad = pages + size - 4;
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	/* So that no byte of a generation is that of a byte that nobody has touched. */
	ASSERT_EQ(0, trigger(self->ctl, generation(self->ctl) + 0x010101));
	self->fd = open_device(variant->flags);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(vectored)
{
	close(self->fd);
	close(self->ctl);
}

/* How a total is cut into segments; -1 ends them. */
struct cut {
	int lengths[MOST_SEGMENTS + 1];
};

static const struct cut cuts_of_4[] = {
	{{ 4, -1 }}, {{ 2, 2, -1 }}, {{ 1, 3, -1 }}, {{ 3, 1, -1 }}, {{ 1, 1, 1, 1, -1 }},
	{{ 0, 4, -1 }}, {{ 4, 0, -1 }}, {{ 2, 0, 2, -1 }}, {{ 0, 0, 0, 4, -1 }},
};

static const struct cut cuts_of_more[] = {
	{{ 4, 4, -1 }}, {{ 8, -1 }}, {{ 5, 4, -1 }}, {{ 2, 6, -1 }}, {{ 3, 0, 5, -1 }},
	{{ 4, 4, 4, 4, -1 }}, {{ 1, 1, 1, 13, -1 }}, {{ 0, 4, 4, -1 }}, {{ 4, 1, -1 }},
};

static const struct cut cuts_of_less[] = {
	{{ 3, -1 }}, {{ 1, 2, -1 }}, {{ 0, 3, -1 }}, {{ 1, 1, 1, -1 }}, {{ 1, 0, -1 }},
};

static const struct cut cuts_of_0[] = {
	{{ -1 }}, {{ 0, -1 }}, {{ 0, 0, -1 }},
};

/* Cuts the bytes into segments that lie one after the other; how many these are. */
static int segments(struct iovec *iov, void *bytes, const struct cut *cut)
{
	int n;

	for (n = 0; cut->lengths[n] >= 0; n++) {
		iov[n] = (struct iovec) { bytes, cut->lengths[n] };
		bytes = (char *)bytes + cut->lengths[n];
	}
	return n;
}

/* Whether the bytes begin with a generation, and the others are as they were. */
static bool hold_just(const unsigned char *bytes, size_t size, __u32 gen)
{
	if (memcmp(bytes, &gen, sizeof(gen)))
		return false;
	for (size_t i = sizeof(gen); i < size; i++)
		if (bytes[i] != UNTOUCHED)
			return false;
	return true;
}

/* A call with segments, to be made now or in a thread. */
static long vectored(long nr, int fd, const struct iovec *iov, int n)
{
	/* The offset -1 stands for the file's own; nobody looks at it without one. */
	return RET(syscall(nr, fd, iov, n, -1L, -1L, 0));
}

static bool vectored_blocks(struct call *call, long nr, int fd, const struct iovec *iov, int n)
{
	const long args[6] = { fd, (long)iov, n, -1, -1, 0 };

	return call_start(call, nr, args) && call_blocks(call);
}

/* Reading from a descriptor that cannot write has acknowledged, and nothing else. */
#define EXPECT_READ_ONCE()							\
do {										\
	EXPECT_EQ(variant->flags != O_RDONLY, is_outdated(self->fd));		\
	EXPECT_TRUE(hold_just(self->bytes, sizeof(self->bytes),			\
			      generation(self->ctl)));				\
} while (0)

/* Acknowledges; a descriptor that cannot write would block where there is nothing to. */
static bool settle(int fd)
{
	return !is_outdated(fd) || acknowledge(fd);
}

static const long readers[] = { SYS_readv, SYS_preadv2 };
static const long writers[] = { SYS_writev, SYS_pwritev2 };

TEST_F(vectored, segments_that_split_the_generation_are_filled)
{
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_4); cut++) {
			int n = segments(self->iov, self->bytes, &cuts_of_4[cut]);

			memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
			ASSERT_EQ(0, trigger(self->ctl, 0));
			EXPECT_EQ(4, vectored(readers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu", cut);
			}
			EXPECT_READ_ONCE();
		}
	}
}

TEST_F(vectored, more_room_gets_one_generation)
{
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_more); cut++) {
			int n = segments(self->iov, self->bytes, &cuts_of_more[cut]);

			/* What would wait for a second event fails instead. */
			ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
			memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
			ASSERT_EQ(0, trigger(self->ctl, 0));
			EXPECT_EQ(4, vectored(readers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu", cut);
			}
			EXPECT_READ_ONCE();
		}
	}
}

TEST_F(vectored, read_does_not_block_once_it_has_consumed_an_event)
{
	int n = segments(self->iov, self->bytes, &cuts_of_more[0]);
	const long args[6] = { self->fd, (long)self->iov, n, -1, -1, 0 };
	struct call call;

	memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(call_start(&call, SYS_readv, args));
	ASSERT_EQ(4, call_join(&call));
	EXPECT_READ_ONCE();
}

TEST_F(vectored, blocked_read_returns_after_one_event)
{
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		int n = segments(self->iov, self->bytes, &cuts_of_more[0]);
		struct call call;

		memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
		ASSERT_TRUE(settle(self->fd));
		ASSERT_TRUE(vectored_blocks(&call, readers[i], self->fd, self->iov, n));
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_EQ(4, call_join(&call));
		EXPECT_READ_ONCE();
	}
}

TEST_F(vectored, blocked_read_fills_segments_that_split_the_generation)
{
	int n = segments(self->iov, self->bytes, &cuts_of_4[1]);
	struct call call;

	memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
	ASSERT_TRUE(vectored_blocks(&call, SYS_readv, self->fd, self->iov, n));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(4, call_join(&call));
	EXPECT_READ_ONCE();
}

TEST_F(vectored, blocked_read_is_eintr_after_a_signal)
{
	int n = segments(self->iov, self->bytes, &cuts_of_more[0]);
	struct call call;

	ASSERT_TRUE(vectored_blocks(&call, SYS_readv, self->fd, self->iov, n));
	ASSERT_TRUE(call_interrupt(&call, 0));
	EXPECT_EQ(-EINTR, call_join(&call));
}

TEST_F(vectored, nonblocking_read_is_eagain_while_current)
{
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_4); cut++) {
			int n = segments(self->iov, self->bytes, &cuts_of_4[cut]);

			EXPECT_EQ(-EAGAIN, vectored(readers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu", cut);
			}
		}
	}
}

TEST_F(vectored, too_little_room_is_einval_and_consumes_nothing)
{
	memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
	for (int outdated = 0; outdated <= 1; outdated++) {
		for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
			for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_less); cut++) {
				int n = segments(self->iov, self->bytes, &cuts_of_less[cut]);

				EXPECT_EQ(-EINVAL, vectored(readers[i], self->fd, self->iov, n)) {
					TH_LOG("cut %zu", cut);
				}
				EXPECT_EQ(outdated, is_outdated(self->fd));
			}
		}
		ASSERT_EQ(0, trigger(self->ctl, 0));
	}
	for (size_t i = 0; i < sizeof(self->bytes); i++)
		ASSERT_EQ(UNTOUCHED, self->bytes[i]);
}

TEST_F(vectored, no_room_is_zero_and_consumes_nothing)
{
	for (int outdated = 0; outdated <= 1; outdated++) {
		for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
			for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_0); cut++) {
				int n = segments(self->iov, self->bytes, &cuts_of_0[cut]);

				EXPECT_EQ(0, vectored(readers[i], self->fd, self->iov, n));
				EXPECT_EQ(outdated, is_outdated(self->fd));
			}
		}
		ASSERT_EQ(0, trigger(self->ctl, 0));
	}
}

TEST_F(vectored, bad_segment_is_efault_and_consumes_nothing)
{
	struct iovec iov[] = {{ self->bytes, 2 }, { self->bad + 4, 2 }};
	struct iovec across[] = {{ self->bytes, 1 }, { self->bad + 2, 3 }};

	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		EXPECT_EQ(-EFAULT, vectored(readers[i], self->fd, iov, 2));
		EXPECT_EQ(-EFAULT, vectored(readers[i], self->fd, across, 2));
		EXPECT_TRUE(is_outdated(self->fd));
	}
	EXPECT_EQ(generation(self->ctl), read_generation(self->fd));
}

/* A segment that the generation does not reach is not looked at. */
TEST_F(vectored, bad_segment_behind_the_generation_does_not_matter)
{
	struct iovec iov[] = {{ self->bytes, 4 }, { self->bad + 4, 4 }};

	memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(4, vectored(SYS_readv, self->fd, iov, 2));
	EXPECT_READ_ONCE();
}

TEST_F(vectored, positioned_calls_are_refused)
{
	struct iovec iov = { self->bytes, 4 };

	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(-ESPIPE, RET(preadv(self->fd, &iov, 1, 0)));
	EXPECT_EQ(-ESPIPE, RET(preadv2(self->fd, &iov, 1, 0, 0)));
	if (variant->flags == O_RDWR) {
		EXPECT_EQ(-ESPIPE, RET(pwritev(self->fd, &iov, 1, 0)));
		EXPECT_EQ(-ESPIPE, RET(pwritev2(self->fd, &iov, 1, 0, 0)));
	}
	EXPECT_TRUE(is_outdated(self->fd));
}

/* It may be refused as unknown, but neither blocks nor loses an event. */
TEST_F(vectored, nowait_does_not_block)
{
	struct iovec iov = { self->bytes, 4 };
	const long args[6] = { self->fd, (long)&iov, 1, -1, -1, RWF_NOWAIT };
	struct call call;
	long ret;

	ASSERT_TRUE(call_start(&call, SYS_preadv2, args));
	ret = call_join(&call);
	EXPECT_TRUE(ret == -EAGAIN || ret == -EOPNOTSUPP);

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ret = RET(preadv2(self->fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_TRUE(ret == 4 || ret == -EOPNOTSUPP);
	EXPECT_EQ(ret != 4 || variant->flags != O_RDONLY, is_outdated(self->fd));
}

static bool submit(struct ring *ring, int op, int fd, const struct iovec *iov, int n)
{
	const struct io_uring_sqe sqe = {
		.opcode = op,
		.fd = fd,
		.off = -1ULL,
		.addr = (uintptr_t)iov,
		.len = n,
	};

	return ring_submit(ring, &sqe, 0);
}

/* Whether a request is still to be completed. */
static bool is_busy(struct ring *ring, int timeout_ms)
{
	struct pollfd pfd = { .fd = ring->fd, .events = POLLIN };

	return poll(&pfd, 1, timeout_ms) == 0;
}

static int result(struct ring *ring)
{
	return is_busy(ring, PATIENCE_S * 1000) ? -ETIMEDOUT : ring_result(ring);
}

TEST_F(vectored, io_uring_reads_one_generation)
{
	struct ring ring;
	int n;

	if (!ring_init(&ring))
		SKIP(return, "io_uring: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		n = segments(self->iov, self->bytes, i ? &cuts_of_4[1] : &cuts_of_more[0]);
		memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
		ASSERT_TRUE(settle(self->fd));
		ASSERT_TRUE(submit(&ring, IORING_OP_READV, self->fd, self->iov, n));
		EXPECT_TRUE(is_busy(&ring, WATCH_MS));
		ASSERT_EQ(0, trigger(self->ctl, 0));
		EXPECT_EQ(4, result(&ring));
		EXPECT_READ_ONCE();
	}
}

TEST_F(vectored, io_uring_reads_while_outdated)
{
	struct ring ring;
	int n = segments(self->iov, self->bytes, &cuts_of_more[0]);

	if (!ring_init(&ring))
		SKIP(return, "io_uring: %s", strerror(errno));
	memset(self->bytes, UNTOUCHED, sizeof(self->bytes));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(submit(&ring, IORING_OP_READV, self->fd, self->iov, n));
	EXPECT_EQ(4, result(&ring));
	EXPECT_READ_ONCE();
}

FIXTURE(vectored_ack)
{
	int fd;
	int ctl;
	struct iovec iov[MOST_SEGMENTS];
	__u32 gens[16];		/* what the segments refer to */
	char *bad;
};

FIXTURE_VARIANT(vectored_ack)
{
	int flags;
};

FIXTURE_VARIANT_ADD(vectored_ack, wronly) { .flags = O_WRONLY };
FIXTURE_VARIANT_ADD(vectored_ack, rdwr) { .flags = O_RDWR };

/* Makes all that may be written the current generation, and the descriptor outdated. */
static bool begin_generation(int ctl, __u32 *gens, size_t n, void *bad)
{
	if (trigger(ctl, 0))
		return false;
	for (size_t i = 0; i < n; i++)
		gens[i] = generation(ctl);
	memcpy(bad, gens, sizeof(*gens));
	return true;
}

#define BEGIN_GENERATION()							\
	ASSERT_TRUE(begin_generation(self->ctl, self->gens, ARRAY_SIZE(self->gens), self->bad))

FIXTURE_SETUP(vectored_ack)
{
	long size = sysconf(_SC_PAGESIZE);
	char *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(pages + size, size, PROT_NONE));
	self->bad = pages + size - 4;
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_EQ(0, trigger(self->ctl, generation(self->ctl) + 0x010101));
	self->fd = open_device(variant->flags);
	ASSERT_LE(0, self->fd);
	BEGIN_GENERATION();
}

FIXTURE_TEARDOWN(vectored_ack)
{
	close(self->fd);
	close(self->ctl);
}

TEST_F(vectored_ack, segments_that_split_the_generation_acknowledge)
{
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_4); cut++) {
			int n = segments(self->iov, self->gens, &cuts_of_4[cut]);

			BEGIN_GENERATION();
			EXPECT_EQ(4, vectored(writers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu", cut);
			}
			EXPECT_FALSE(is_outdated(self->fd));
		}
	}
}

TEST_F(vectored_ack, another_total_is_einval_and_acknowledges_nothing)
{
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_more); cut++) {
			int n = segments(self->iov, self->gens, &cuts_of_more[cut]);

			EXPECT_EQ(-EINVAL, vectored(writers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu of more", cut);
			}
			EXPECT_TRUE(is_outdated(self->fd));
			BEGIN_GENERATION();
		}
		for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_less); cut++) {
			int n = segments(self->iov, self->gens, &cuts_of_less[cut]);

			EXPECT_EQ(-EINVAL, vectored(writers[i], self->fd, self->iov, n)) {
				TH_LOG("cut %zu of less", cut);
			}
			EXPECT_TRUE(is_outdated(self->fd));
		}
	}
}

/* The VFS itself takes it, without a call of the driver. */
TEST_F(vectored_ack, nothing_acknowledges_nothing)
{
	for (size_t cut = 0; cut < ARRAY_SIZE(cuts_of_0); cut++) {
		int n = segments(self->iov, self->gens, &cuts_of_0[cut]);

		EXPECT_EQ(0, vectored(SYS_writev, self->fd, self->iov, n));
		EXPECT_TRUE(is_outdated(self->fd));
	}
}

TEST_F(vectored_ack, another_value_is_einval)
{
	__u32 wrong = generation(self->ctl) - 1;
	int n = segments(self->iov, &wrong, &cuts_of_4[1]);

	EXPECT_EQ(-EINVAL, vectored(SYS_writev, self->fd, self->iov, n));
	EXPECT_TRUE(is_outdated(self->fd));
}

TEST_F(vectored_ack, bad_segment_is_efault)
{
	struct iovec iov[] = {{ self->gens, 2 }, { self->bad + 4, 2 }};
	struct iovec across[] = {{ self->gens, 1 }, { self->bad + 2, 3 }};

	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		EXPECT_EQ(-EFAULT, vectored(writers[i], self->fd, iov, 2));
		EXPECT_EQ(-EFAULT, vectored(writers[i], self->fd, across, 2));
		EXPECT_TRUE(is_outdated(self->fd));
	}
}

TEST_HARNESS_MAIN
