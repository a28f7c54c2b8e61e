/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What code in the kernel may do with files when it is told of a new generation.
 */
#ifndef SYSGENID_TEST_FILES_H
#define SYSGENID_TEST_FILES_H

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/kstrtox.h>
#include <linux/path.h>
#include <linux/sched.h>

/* Whoever loads the module has the files there; a worker need not have any. */
static struct path files_root;

static inline void get_files(void)
{
	get_fs_root(current->fs, &files_root);
}

static inline void put_files(void)
{
	path_put(&files_root);
}

static inline int open_file(const char *path)
{
	struct file *file = file_open_root(&files_root, path, O_RDONLY, 0);

	if (IS_ERR(file))
		return PTR_ERR(file);
	filp_close(file, NULL);
	return 0;
}

/* The generation as it is for everybody by now; reading it counts as a system call. */
static inline unsigned long shown_generation(void)
{
	struct file *file = file_open_root(&files_root, "/sys/class/misc/sysgenid/generation",
					   O_RDONLY, 0);
	unsigned long generation;
	char text[16] = "";
	loff_t position = 0;

	if (IS_ERR(file))
		return -1UL;
	kernel_read(file, text, sizeof(text) - 1, &position);
	filp_close(file, NULL);
	return kstrtoul(text, 10, &generation) ? -1UL : generation;
}

#endif /* SYSGENID_TEST_FILES_H */
