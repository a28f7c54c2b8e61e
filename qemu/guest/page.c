// SPDX-License-Identifier: GPL-2.0
/*
 * page: prints what mappings of /dev/sysgenid show, KEY=VALUE a line each; IDs
 * as hexadecimal digits in memory order. Instead of the live one in page 1,
 * why that cannot be mapped.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sysgenid.h>

static void print_id(const char *name, const __u8 *id)
{
	printf("%s=", name);
	for (int i = 0; i < SYSGENID_HWID_SIZE; i++)
		printf("%02x", id[i]);
	putchar('\n');
}

int main(void)
{
	const size_t size = sysconf(_SC_PAGESIZE);
	int fd = open("/dev/sysgenid", O_RDONLY);
	const struct sysgenid_page *page = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	const __u8 *live;

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/sysgenid");
	printf("generation=%u\nflags=%#x\n", page->generation, page->flags);
	print_id("hwid", page->hwid);

	live = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, size);
	if (live == MAP_FAILED)
		printf("live=%s\n", strerrorname_np(errno));
	else
		print_id("live", live + page->hwid_offset);
	return EXIT_SUCCESS;
}
