// SPDX-License-Identifier: GPL-2.0
/*
 * hwid: prints the hardware ID as it lies in the guest's memory at this moment,
 * in the text form that QEMU takes for guid=.
 *
 * It asks no driver: the address comes from the ACPI table that QEMU makes for
 * its VMGENID device, the bytes from /dev/mem. So it tells what the drivers
 * ought to see.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* AML of Name (VGIA, DWord): the address of the page, and how far in the ID is. */
#define VGIA		"\x08VGIA\x0c"
#define ID_OFFSET	40

/* The address that an ACPI table names, 0 if it is not that of the VMGENID device. */
static unsigned int page_address(const char *path)
{
	char table[4096], *name;
	unsigned int address = 0;
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f)
		err(EXIT_FAILURE, "%s", path);
	size = fread(table, 1, sizeof(table), f);
	fclose(f);
	name = memmem(table, size, VGIA, strlen(VGIA));
	if (name && name + strlen(VGIA) + sizeof(address) <= table + size)
		memcpy(&address, name + strlen(VGIA), sizeof(address));
	return address;
}

static unsigned int find_page(void)
{
	unsigned int address = 0;
	glob_t tables;

	if (glob("/sys/firmware/acpi/tables/SSDT*", 0, NULL, &tables))
		errx(EXIT_FAILURE, "no SSDT: start QEMU with -device vmgenid");
	for (size_t i = 0; i < tables.gl_pathc && !address; i++)
		address = page_address(tables.gl_pathv[i]);
	if (!address)
		errx(EXIT_FAILURE, "no VMGENID in any SSDT: start QEMU with -device vmgenid");
	return address;
}

int main(void)
{
	int fd = open("/dev/mem", O_RDONLY);
	const unsigned char *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED,
					 fd, find_page());
	unsigned char id[16];

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/mem");
	memcpy(id, page + ID_OFFSET, sizeof(id));
	/* A GUID's first three fields are little-endian numbers. */
	printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
	       id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6], id[8], id[9],
	       id[10], id[11], id[12], id[13], id[14], id[15]);
	return EXIT_SUCCESS;
}
