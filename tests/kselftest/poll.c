// SPDX-License-Identifier: GPL-2.0
/*
 * poll(2), select(2) and epoll(7), level- and edge-triggered, on descriptors
 * of every access mode.
 *
 * Needs root and sysgenid.ko loaded.
 */
#include <sys/epoll.h>
#include <sys/select.h>

#include "sysgenid_test.h"

#define POLLERS 8
#define BUMPS 5

FIXTURE(poll)
{
	int fd;
	int ctl;
	int ep;
};

FIXTURE_VARIANT(poll)
{
	int flags;
};

FIXTURE_VARIANT_ADD(poll, rdonly) { .flags = O_RDONLY };
FIXTURE_VARIANT_ADD(poll, wronly) { .flags = O_WRONLY };
FIXTURE_VARIANT_ADD(poll, rdwr) { .flags = O_RDWR };

FIXTURE_SETUP(poll)
{
	self->ctl = open_device(O_RDONLY);
	ASSERT_LE(0, self->ctl);
	self->fd = open_device(variant->flags);
	ASSERT_LE(0, self->fd);
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
}

FIXTURE_TEARDOWN(poll)
{
	close(self->ep);
	close(self->fd);
	close(self->ctl);
}

static int add(int ep, int fd, __u32 events)
{
	struct epoll_event event = { .events = events };

	return RET(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

/* The events of the only descriptor in the set; 0 if none came within timeout_ms. */
static int epoll_events(int ep, int timeout_ms)
{
	struct epoll_event events[2];
	int ret = RET(epoll_wait(ep, events, ARRAY_SIZE(events), timeout_ms));

	return ret == 1 ? (int)events[0].events : ret;
}

/* The variants of the calls that every architecture has; each without timeout. */
static bool epoll_blocks(struct call *call, int ep, struct epoll_event *event)
{
	const long args[6] = { ep, (long)event, 1, -1 };

	return call_start(call, SYS_epoll_pwait, args) && call_blocks(call);
}

static bool poll_blocks(struct call *call, struct pollfd *pfd)
{
	const long args[6] = { (long)pfd, 1 };

	return call_start(call, SYS_ppoll, args) && call_blocks(call);
}

static bool select_blocks(struct call *call, int fd, fd_set *in)
{
	const long args[6] = { fd + 1, (long)in };

	return call_start(call, SYS_pselect6, args) && call_blocks(call);
}

TEST_F(poll, reports_nothing_while_current)
{
	EXPECT_EQ(0, poll_now(self->fd));
}

TEST_F(poll, reports_input_and_nothing_else_while_outdated)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(POLL_OUTDATED, poll_now(self->fd));
	EXPECT_EQ(POLL_OUTDATED, poll_now(self->fd));
}

TEST_F(poll, reports_nothing_after_the_acknowledgement)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, poll_now(self->fd));
}

TEST_F(poll, blocked_poll_wakes)
{
	struct pollfd pfd = { .fd = self->fd, .events = POLL_ALL };
	struct call call;

	ASSERT_TRUE(poll_blocks(&call, &pfd));
	ASSERT_TRUE(call_stays_blocked(&call));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(1, call_join(&call));
	EXPECT_EQ(POLL_OUTDATED, pfd.revents);
}

TEST_F(poll, every_poller_of_a_descriptor_wakes)
{
	struct call calls[POLLERS];
	struct pollfd pfds[POLLERS];

	for (int i = 0; i < POLLERS; i++) {
		pfds[i] = (struct pollfd) { .fd = self->fd, .events = POLLIN };
		ASSERT_TRUE(poll_blocks(&calls[i], &pfds[i]));
	}
	ASSERT_EQ(0, trigger(self->ctl, 0));
	for (int i = 0; i < POLLERS; i++)
		EXPECT_EQ(1, call_join(&calls[i]));
}

TEST_F(poll, select_follows_the_generation)
{
	struct timeval now = { 0 };
	fd_set in, out, err;

	FD_ZERO(&in);
	FD_SET(self->fd, &in);
	out = in;
	err = in;
	EXPECT_EQ(0, select(self->fd + 1, &in, &out, &err, &now));

	ASSERT_EQ(0, trigger(self->ctl, 0));
	FD_SET(self->fd, &in);
	out = in;
	err = in;
	EXPECT_EQ(1, select(self->fd + 1, &in, &out, &err, &now));
	EXPECT_TRUE(FD_ISSET(self->fd, &in));
}

TEST_F(poll, blocked_select_wakes)
{
	struct call call;
	fd_set in;

	FD_ZERO(&in);
	FD_SET(self->fd, &in);
	ASSERT_TRUE(select_blocks(&call, self->fd, &in));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(1, call_join(&call));
	EXPECT_TRUE(FD_ISSET(self->fd, &in));
}

TEST_F(poll, level_epoll_reports_until_the_acknowledgement)
{
	ASSERT_EQ(0, add(self->ep, self->fd, POLL_ALL));
	EXPECT_EQ(0, epoll_events(self->ep, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(POLL_OUTDATED, epoll_events(self->ep, 0));
	EXPECT_EQ(POLL_OUTDATED, epoll_events(self->ep, 0));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, epoll_events(self->ep, 0));
}

TEST_F(poll, edge_epoll_added_while_current_sees_every_bump)
{
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN | EPOLLET));
	for (int i = 0; i < BUMPS; i++) {
		EXPECT_EQ(0, epoll_events(self->ep, 0));
		ASSERT_EQ(0, trigger(self->ctl, 0));
		EXPECT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
	}
}

TEST_F(poll, edge_epoll_added_while_outdated_sees_every_later_bump)
{
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN | EPOLLET));
	EXPECT_EQ(EPOLLIN, epoll_events(self->ep, 0));
	for (int i = 0; i < BUMPS; i++) {
		EXPECT_EQ(0, epoll_events(self->ep, 0));
		ASSERT_EQ(0, trigger(self->ctl, 0));
		EXPECT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
	}
}

TEST_F(poll, edge_epoll_added_while_outdated_wakes_a_blocked_caller)
{
	struct epoll_event event;
	struct call call;

	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(EPOLLIN, epoll_events(self->ep, 0));
	ASSERT_TRUE(epoll_blocks(&call, self->ep, &event));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(1, call_join(&call));
}

TEST_F(poll, edge_epoll_sees_the_bump_after_an_acknowledgement)
{
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	ASSERT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
	ASSERT_TRUE(acknowledge(self->fd));
	EXPECT_EQ(0, epoll_events(self->ep, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
}

TEST_F(poll, one_shot_epoll_can_be_rearmed_while_outdated)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };

	ASSERT_EQ(0, add(self->ep, self->fd, event.events));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
	EXPECT_EQ(0, epoll_events(self->ep, 0));
	ASSERT_EQ(0, epoll_ctl(self->ep, EPOLL_CTL_MOD, self->fd, &event));
	EXPECT_EQ(EPOLLIN, epoll_events(self->ep, 0));
}

TEST_F(poll, every_epoll_set_is_told)
{
	int other = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(0, add(other, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(EPOLLIN, epoll_events(self->ep, PATIENCE_S * 1000));
	EXPECT_EQ(EPOLLIN, epoll_events(other, PATIENCE_S * 1000));
	close(other);
}

TEST_F(poll, closed_descriptor_leaves_its_epoll_set)
{
	ASSERT_EQ(0, add(self->ep, self->fd, EPOLLIN));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	close(self->fd);
	EXPECT_EQ(0, epoll_events(self->ep, 0));
	ASSERT_EQ(0, trigger(self->ctl, 0));
	EXPECT_EQ(0, epoll_events(self->ep, 0));
}

TEST_HARNESS_MAIN
