/* SPDX-License-Identifier: ISC */
/* The end of a test's temporary folder. */
#ifndef KP_TESTS_UNIT_TREE_H
#define KP_TESTS_UNIT_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static inline int
tree_remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

/* Removes a folder and all in it, and follows no link; -1 with errno. */
static inline int
tree_remove(const char *folder)
{
	return nftw(folder, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
