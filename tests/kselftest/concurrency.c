// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads, processes and descriptors at once: no wake-up is lost, no
 * generation is lost, every count is exact in the end.
 *
 * Needs root and sysgenid.ko loaded with its defaults; nobody else may have
 * the device open.
 */
#include <linux/aio_abi.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "sysgenid_test.h"

#define WATCHERS	16
#define ROUNDS		100
#define TRIGGERERS	4
#define TRIGGERS	500
#define DESCRIPTORS	10000
#define WAITERS		100
#define CROWD		64
#define TIMEOUT_S	(120 * SLOWNESS)

FIXTURE(concurrency)
{
	int ctl;
	__s64 before;
};

FIXTURE_SETUP(concurrency)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	ASSERT_TRUE(device_is_idle(self->ctl));
	self->before = generation(self->ctl);
}

FIXTURE_TEARDOWN(concurrency)
{
	close(self->ctl);
}

static bool stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

static bool start_all(pthread_t *threads, int n, void *(*fn)(void *), void *arg)
{
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, fn, arg))
			return false;
	return true;
}

/* How many of the threads sleep for ever or return what went wrong. */
static int join_all(pthread_t *threads, int n)
{
	struct timespec end;
	int failed = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PATIENCE_S;
	for (int i = 0; i < n; i++) {
		void *ret = "sleeps for ever";

		pthread_clockjoin_np(threads[i], &ret, CLOCK_MONOTONIC, &end);
		if (ret) {
			ksft_print_msg("thread %d: %s\n", i, (char *)ret);
			failed++;
		}
	}
	return failed;
}

static pthread_barrier_t all_open;

/* Reads and acknowledges until it has acknowledged the generation at arg. */
static void *watch(void *arg)
{
	__s64 last = *(__s64 *)arg, previous = 0;
	int fd = open_device(O_RDWR);

	pthread_barrier_wait(&all_open);
	if (fd < 0)
		return "open";
	while (previous < last) {
		__s64 gen = read_generation(fd);

		if (gen <= previous)
			return "generation went back";
		/* The next change may come first; then there is more to read. */
		if (write_generation(fd, gen) == sizeof(__u32))
			previous = gen;
	}
	close(fd);
	return NULL;
}

TEST_F_TIMEOUT(concurrency, no_reader_sleeps_through_a_change, TIMEOUT_S)
{
	__s64 last = self->before + ROUNDS * 10;
	pthread_t threads[WATCHERS];

	ASSERT_EQ(0, pthread_barrier_init(&all_open, NULL, WATCHERS + 1));
	ASSERT_TRUE(start_all(threads, WATCHERS, watch, &last));
	pthread_barrier_wait(&all_open);
	for (int i = 0; i < ROUNDS * 10; i++)
		ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, join_all(threads, WATCHERS));
	EXPECT_EQ(last, generation(self->ctl));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

/* Blocks in poll() for every change and acknowledges it. */
static void *poll_and_ack(void *arg)
{
	struct pollfd pfd = { .fd = open_device(O_RDWR), .events = POLLIN };

	if (pfd.fd < 0)
		return "open";
	while (!stopped()) {
		if (poll(&pfd, 1, 10) < 0)
			return "poll";
		if (pfd.revents && !acknowledge(pfd.fd) && !is_outdated(pfd.fd))
			return "acknowledge";
	}
	close(pfd.fd);
	return NULL;
}

TEST_F_TIMEOUT(concurrency, waiter_sees_every_round_of_acknowledgements, TIMEOUT_S)
{
	pthread_t threads[WATCHERS];

	ASSERT_TRUE(start_all(threads, WATCHERS, poll_and_ack, NULL));
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_TRUE(acknowledge(self->ctl));
		ASSERT_EQ(0, wait_watchers(self->ctl, PATIENCE_S * 1000));
		ASSERT_EQ(0, outdated_watchers(self->ctl));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	EXPECT_EQ(0, join_all(threads, WATCHERS));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

static void *trigger_often(void *arg)
{
	for (int i = 0; i < TRIGGERS; i++)
		if (trigger(*(int *)arg, 0))
			return "trigger";
	return NULL;
}

TEST_F_TIMEOUT(concurrency, no_trigger_is_lost, TIMEOUT_S)
{
	pthread_t threads[TRIGGERERS];

	ASSERT_TRUE(start_all(threads, TRIGGERERS, trigger_often, &self->ctl));
	ASSERT_EQ(0, join_all(threads, TRIGGERERS));
	EXPECT_EQ(self->before + TRIGGERERS * TRIGGERS, generation(self->ctl));
}

/* The page is what another view has just shown, or ahead of it. */
static void *compare_with_the_page(void *arg)
{
	int fd = open_device(O_RDONLY);
	const struct sysgenid_page *page = map_page(fd);

	if (!page)
		return "mmap";
	while (!stopped()) {
		__s64 seen = generation(fd);

		if (mapped_generation(page) < seen)
			return "page is behind the ioctl";
		seen = mapped_generation(page);
		if (generation(fd) < seen)
			return "ioctl is behind the page";
	}
	unmap_page(page);
	close(fd);
	return NULL;
}

TEST_F_TIMEOUT(concurrency, page_and_ioctl_never_disagree, TIMEOUT_S)
{
	pthread_t viewers[TRIGGERERS];

	ASSERT_TRUE(start_all(viewers, TRIGGERERS, compare_with_the_page, NULL));
	for (int i = 0; i < TRIGGERS * 40; i++)
		ASSERT_EQ(0, trigger(self->ctl, 0));
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	EXPECT_EQ(0, join_all(viewers, TRIGGERERS));
}

/* The page, the ioctl and read() may each only be ahead of what was seen before. */
static void *compare_views(void *arg)
{
	int fd = open_device(O_RDWR | O_NONBLOCK);
	const struct sysgenid_page *page = map_page(fd);
	__s64 seen = 0, now;

	if (!page)
		return "mmap";
	while (!stopped()) {
		now = mapped_generation(page);
		if (now < seen)
			return "page is behind";
		seen = now;
		now = generation(fd);
		if (now < seen)
			return "ioctl is behind";
		seen = now;
		now = read_generation(fd);
		if (now != -EAGAIN && now < seen)
			return "read is behind";
		seen = now == -EAGAIN ? seen : now;
		write_generation(fd, seen);
	}
	unmap_page(page);
	close(fd);
	return NULL;
}

TEST_F_TIMEOUT(concurrency, no_view_of_the_generation_goes_back, TIMEOUT_S)
{
	pthread_t viewers[TRIGGERERS], triggerers[TRIGGERERS];

	ASSERT_TRUE(start_all(viewers, TRIGGERERS, compare_views, NULL));
	ASSERT_TRUE(start_all(triggerers, TRIGGERERS, trigger_often, &self->ctl));
	EXPECT_EQ(0, join_all(triggerers, TRIGGERERS));
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	EXPECT_EQ(0, join_all(viewers, TRIGGERERS));
	EXPECT_EQ(self->before + TRIGGERERS * TRIGGERS, generation(self->ctl));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

/* Tracks, forgets, acknowledges; leaves the shared descriptor tracked. */
static void *toggle(void *arg)
{
	int fd = *(int *)arg;

	while (!stopped()) {
		if (track(fd, 0) || track(fd, 1))
			return "track";
		acknowledge(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(concurrency, tracking_and_acknowledging_keep_the_count_exact, TIMEOUT_S)
{
	pthread_t threads[TRIGGERERS];
	int shared = open_device(O_RDWR);

	ASSERT_LE(0, shared);
	ASSERT_TRUE(start_all(threads, TRIGGERERS, toggle, &shared));
	for (int i = 0; i < TRIGGERS; i++) {
		long count;

		ASSERT_EQ(0, trigger(self->ctl, 0));
		count = outdated_watchers(self->ctl);
		ASSERT_LE(0, count);
		ASSERT_LE(count, 1);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, join_all(threads, TRIGGERERS));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, outdated_watchers(self->ctl));
	ASSERT_TRUE(acknowledge(shared));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
	close(shared);
}

/* Half of the descriptors are closed outdated, half acknowledged. */
static void *open_and_close(void *arg)
{
	for (int i = 0; !stopped(); i++) {
		int fd = open_device(O_RDWR);

		if (fd < 0)
			return "open";
		if (i % 2)
			acknowledge(fd);
		close(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(concurrency, opening_and_closing_keep_the_count_exact, TIMEOUT_S)
{
	pthread_t threads[TRIGGERERS];

	ASSERT_TRUE(start_all(threads, TRIGGERERS, open_and_close, NULL));
	for (int i = 0; i < TRIGGERS; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_GE(TRIGGERERS, outdated_watchers(self->ctl));
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, join_all(threads, TRIGGERERS));
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

static int crowd[CROWD];
static __u32 crowd_generation;
static pthread_barrier_t both_ready;

static bool open_crowd(void)
{
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = open_device(O_RDWR);
		if (crowd[i] < 0)
			return false;
	}
	return true;
}

static void close_crowd(void)
{
	for (int i = 0; i < CROWD; i++)
		close(crowd[i]);
}

/* Acknowledges with one descriptor after the other. */
static void *acknowledge_crowd(void *arg)
{
	pthread_barrier_wait(&both_ready);
	for (int i = 0; i < CROWD; i++) {
		long ret = write_generation(crowd[i], crowd_generation);

		if (ret != sizeof(__u32) && ret != -EINVAL)
			return "write";
	}
	return NULL;
}

/* Tracks, or forgets, one descriptor after the other. */
static void *track_crowd(void *arg)
{
	pthread_barrier_wait(&both_ready);
	for (int i = 0; i < CROWD; i++)
		if (track(crowd[i], *(bool *)arg))
			return "track";
	return NULL;
}

TEST_F_TIMEOUT(concurrency, acknowledgement_does_not_count_in_the_next_generation, TIMEOUT_S)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_barrier_init(&both_ready, NULL, 2));
	ASSERT_TRUE(open_crowd());
	for (int i = 0; i < ROUNDS * 5; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		crowd_generation = generation(self->ctl);
		ASSERT_TRUE(start_all(&thread, 1, acknowledge_crowd, NULL));
		pthread_barrier_wait(&both_ready);
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_EQ(0, join_all(&thread, 1));
		ASSERT_EQ(CROWD, outdated_watchers(self->ctl)) {
			TH_LOG("round %d", i);
		}
	}
	close_crowd();
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

/* Each descriptor is acknowledged while another thread begins, or ends, to track it. */
static int race_tracking(int ctl, bool begin)
{
	pthread_t threads[2];
	int failed;

	for (int i = 0; i < CROWD; i++)
		if (track(crowd[i], !begin))
			return -1;
	if (trigger(ctl, 0))
		return -1;
	crowd_generation = generation(ctl);
	if (!start_all(&threads[0], 1, acknowledge_crowd, NULL) ||
	    !start_all(&threads[1], 1, track_crowd, &begin))
		return -1;
	failed = join_all(threads, 2);
	return failed ? -failed : outdated_watchers(ctl);
}

TEST_F_TIMEOUT(concurrency, acknowledgement_races_with_tracking, TIMEOUT_S)
{
	ASSERT_EQ(0, pthread_barrier_init(&both_ready, NULL, 2));
	ASSERT_TRUE(open_crowd());
	for (int i = 0; i < ROUNDS * 5; i++) {
		ASSERT_EQ(0, race_tracking(self->ctl, i % 2)) {
			TH_LOG("round %d", i);
		}
	}
	close_crowd();
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_F_TIMEOUT(concurrency, acknowledgement_races_with_the_waiters_sleep, TIMEOUT_S)
{
	int fd = open_device(O_RDWR);
	struct call call;

	ASSERT_LE(0, fd);
	for (int i = 0; i < ROUNDS * 5; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_TRUE(acknowledge(self->ctl));
		ASSERT_TRUE(wait_start(&call, self->ctl, 0));
		ASSERT_TRUE(acknowledge(fd));
		ASSERT_EQ(0, call_join(&call));
	}
	close(fd);
}

TEST_F_TIMEOUT(concurrency, trigger_races_with_the_readers_sleep, TIMEOUT_S)
{
	int fd = open_device(O_RDWR);
	struct call call;
	__u32 gen;

	ASSERT_LE(0, fd);
	for (int i = 0; i < ROUNDS * 5; i++) {
		ASSERT_TRUE(acknowledge(fd));
		ASSERT_TRUE(read_start(&call, fd, &gen));
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_EQ(sizeof(gen), call_join(&call));
		ASSERT_EQ(generation(self->ctl), gen);
	}
	close(fd);
}

static int epoll_of(int n, __u32 events)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < n; i++) {
		struct epoll_event event = { .events = events };

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, open_device(O_RDONLY), &event))
			return -1;
	}
	return epoll;
}

/* Waits at either end of the queue, one after the other. */
static void *come_and_go(void *arg)
{
	struct epoll_event event = { 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int fd = open_device(O_RDONLY);

	while (!stopped()) {
		event.events = event.events & EPOLLEXCLUSIVE ? EPOLLIN : EPOLLIN | EPOLLEXCLUSIVE;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ||
		    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL))
			return "epoll_ctl";
	}
	return NULL;
}

TEST_F_TIMEOUT(concurrency, all_in_a_queue_hear_of_a_change_while_others_come_and_go, TIMEOUT_S)
{
	static struct epoll_event events[WAITERS];
	pthread_t threads[TRIGGERERS];
	int epoll = epoll_of(WAITERS, EPOLLIN | EPOLLET);

	ASSERT_LE(0, epoll);
	ASSERT_TRUE(start_all(threads, TRIGGERERS, come_and_go, NULL));
	for (int i = 0; i < TRIGGERS; i++) {
		ASSERT_EQ(0, trigger(self->ctl, 0));
		ASSERT_EQ(WAITERS, epoll_wait(epoll, events, WAITERS, 0)) {
			TH_LOG("trigger %d", i);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, join_all(threads, TRIGGERERS));
}

TEST_F(concurrency, those_who_leave_the_queue_as_they_are_woken_all_wake)
{
	struct timespec patience = { .tv_sec = PATIENCE_S };
	static struct io_event events[WAITERS];
	aio_context_t context = 0;

	ASSERT_EQ(0, RET(syscall(SYS_io_setup, WAITERS, &context)));
	for (int i = 0; i < WAITERS; i++) {
		struct iocb poll = {
			.aio_fildes = open_device(O_RDONLY),
			.aio_lio_opcode = IOCB_CMD_POLL,
			.aio_buf = POLLIN,
		};
		struct iocb *request = &poll;

		ASSERT_EQ(1, RET(syscall(SYS_io_submit, context, 1, &request)));
	}
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(WAITERS, RET(syscall(SYS_io_getevents, context, WAITERS, WAITERS, events,
				       &patience)));
}

/* Each alone in an epoll set of its own, blocked. */
TEST_F(concurrency, exclusive_waiters_all_wake)
{
	static struct epoll_event events[WATCHERS];
	struct call calls[WATCHERS];

	for (int i = 0; i < WATCHERS; i++) {
		const long args[6] = {
			epoll_of(1, EPOLLIN | EPOLLEXCLUSIVE), (long)&events[i], 1, -1,
		};

		ASSERT_LE(0, args[0]);
		ASSERT_TRUE(call_start(&calls[i], SYS_epoll_pwait, args));
		ASSERT_TRUE(call_blocks(&calls[i]));
	}
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < WATCHERS; i++)
		EXPECT_EQ(1, call_join(&calls[i]));
}

TEST_F_TIMEOUT(concurrency, ten_thousand_watchers_are_counted, TIMEOUT_S)
{
	const struct rlimit limit = { DESCRIPTORS + 100, DESCRIPTORS + 100 };
	static int fds[DESCRIPTORS];

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < DESCRIPTORS; i++) {
		fds[i] = open_device(O_RDWR);
		ASSERT_LE(0, fds[i]) {
			TH_LOG("descriptor %d", i);
		}
	}
	ASSERT_EQ(0, outdated_watchers(self->ctl));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(DESCRIPTORS, outdated_watchers(self->ctl));
	for (int i = 0; i < DESCRIPTORS / 2; i++)
		ASSERT_TRUE(acknowledge(fds[i]));
	EXPECT_EQ(DESCRIPTORS / 2, outdated_watchers(self->ctl));
	for (int i = 0; i < DESCRIPTORS; i++)
		close(fds[i]);
	EXPECT_EQ(0, outdated_watchers(self->ctl));
}

TEST_HARNESS_MAIN
