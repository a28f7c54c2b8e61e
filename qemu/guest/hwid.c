// SPDX-License-Identifier: GPL-2.0
/*
 * hwid: prints the hardware ID as it lies in the guest's memory at this moment,
 * in the text form that QEMU takes for guid=.
 *
 * It asks no driver: the address comes from the device tree, or from the ACPI
 * table that QEMU makes for its VMGENID device, the bytes from /dev/mem. So it
 * tells what the drivers ought to see.
 */
#define _GNU_SOURCE
#include <endian.h>
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

/* The address that a node of the device tree names, 0 if there is none. */
static unsigned long address_in_tree(void)
{
	unsigned long long address = 0;
	glob_t nodes;
	FILE *f;

	if (glob("/sys/firmware/devicetree/base/vmgenid@*/reg", 0, NULL, &nodes))
		return 0;
	f = fopen(nodes.gl_pathv[0], "rb");
	if (!f || fread(&address, sizeof(address), 1, f) != 1)
		err(EXIT_FAILURE, "%s", nodes.gl_pathv[0]);
	fclose(f);
	return be64toh(address);
}

static unsigned long address_in_acpi(void)
{
	unsigned int address = 0;
	glob_t tables;

	if (glob("/sys/firmware/acpi/tables/SSDT*", 0, NULL, &tables))
		errx(EXIT_FAILURE, "no SSDT: start QEMU with -device vmgenid");
	for (size_t i = 0; i < tables.gl_pathc && !address; i++)
		address = page_address(tables.gl_pathv[i]);
	if (!address)
		errx(EXIT_FAILURE, "no VMGENID in any SSDT: start QEMU with -device vmgenid");
	return address + ID_OFFSET;
}

int main(void)
{
	unsigned long size = sysconf(_SC_PAGESIZE), address = address_in_tree();
	int fd = open("/dev/mem", O_RDONLY);
	const unsigned char *page;
	unsigned char id[16];

	if (!address)
		address = address_in_acpi();
	page = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, address & ~(size - 1));

	if (page == MAP_FAILED)
		err(EXIT_FAILURE, "/dev/mem");
	memcpy(id, page + (address & (size - 1)), sizeof(id));
	/* A GUID's first three fields are little-endian numbers. */
	printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
	       id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6], id[8], id[9],
	       id[10], id[11], id[12], id[13], id[14], id[15]);
	return EXIT_SUCCESS;
}
