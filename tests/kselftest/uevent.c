// SPDX-License-Identifier: GPL-2.0
/*
 * The change uevent of each generation.
 *
 * Needs root and sysgenid.ko loaded; nobody else may trigger.
 */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "sysgenid_test.h"

/* More than the driver keeps for its worker. */
#define MANY		1000
#define BUFFER_SIZE	(16 << 20)

FIXTURE(uevent)
{
	int fd;
	int socket;
	__s64 before;
};

FIXTURE_SETUP(uevent)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int size = BUFFER_SIZE;

	self->fd = open_device(O_RDONLY);
	ASSERT_LE(0, self->fd);
	/* What others have triggered may be on its way still. */
	usleep(WATCH_MS * 1000);
	self->socket = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	ASSERT_LE(0, self->socket);
	ASSERT_EQ(0, setsockopt(self->socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(self->socket, SOL_SOCKET, SO_RCVTIMEO, &patience,
				sizeof(patience)));
	ASSERT_EQ(0, RET(bind(self->socket, (struct sockaddr *)&addr, sizeof(addr))));
	self->before = generation(self->fd);
	ASSERT_LE(0, self->before);
}

FIXTURE_TEARDOWN(uevent)
{
	close(self->socket);
	close(self->fd);
}

/* The value of a variable of a uevent, or "". */
static const char *value(const char *event, size_t size, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = event; line < event + size; line += strlen(line) + 1)
		if (!strncmp(line, name, length) && line[length] == '=')
			return line + length + 1;
	return "";
}

/* The generation of the next uevent of the device, or -errno. */
static __s64 next_event(int socket, int flags)
{
	char event[4096];

	for (;;) {
		long size = RET(recv(socket, event, sizeof(event) - 1, flags));

		if (size < 0)
			return size;
		event[size] = '\0';
		if (!strcmp(value(event, size, "DEVNAME"), "sysgenid") &&
		    !strcmp(value(event, size, "SUBSYSTEM"), "misc") &&
		    !strcmp(value(event, size, "ACTION"), "change"))
			return strtoll(value(event, size, "SYSGENID"), NULL, 10);
	}
}

TEST_F(uevent, has_the_generation)
{
	ASSERT_EQ(0, trigger(self->fd, 0));
	EXPECT_EQ(self->before + 1, next_event(self->socket, 0));
	ASSERT_EQ(0, trigger(self->fd, self->before + 10));
	EXPECT_EQ(self->before + 10, next_event(self->socket, 0));
}

TEST_F(uevent, is_sent_for_each_generation_in_order)
{
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ(0, trigger(self->fd, 0));
	for (int i = 1; i <= MANY; i++)
		ASSERT_EQ(self->before + i, next_event(self->socket, 0));
}

TEST_F(uevent, is_not_sent_without_a_new_generation)
{
	ASSERT_EQ(-EOVERFLOW, trigger(self->fd, 0x80000000));
	EXPECT_EQ(self->before, generation(self->fd));
	usleep(WATCH_MS * 1000);
	EXPECT_EQ(-EAGAIN, next_event(self->socket, MSG_DONTWAIT));
}

TEST_HARNESS_MAIN
