/* SPDX-License-Identifier: ISC */
/* The queue's folders, and what is done with a thing in them that cannot be read. */
#ifndef KP_QUEUE_FOLDERS_H
#define KP_QUEUE_FOLDERS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum folder {
	FOLDER_NEW,
	FOLDER_CUR,
	FOLDER_HOLD,
	FOLDER_CORRUPT,
	FOLDER_TMP,
	FOLDER_INDEX,
	FOLDER_RESULTS,
	FOLDER_COUNT
};

struct folders {
	int fd[FOLDER_COUNT];
};

const char *folder_name(enum folder f);

/* Opens all folders below the queue's own (`queuefd`); makes those that are missing but `new` with
 * mode 0700. */
int folders_open(struct folders *f, int queuefd, struct why *why) KP_MUST_USE;
void folders_close(struct folders *f);

/* Calls `visit` for each file's name; stops where it returns -1, and returns that. Subfolders and
 * dot files are left out. */
int folder_each(
    int dirfd, int (*visit)(void *arg, const char *name), void *arg, struct why *why) KP_MUST_USE;

/* Moves a file into corrupt/, beside it NAME.reason with why; nothing there is overwritten. */
int corrupt_move(const struct folders *f, enum folder from, const char *name, const char *reason,
    struct why *why) KP_MUST_USE;

/* Keeps bytes that stood in a segment as a file of their own in corrupt/. */
int corrupt_keep(const struct folders *f, const char *name, struct str bytes, const char *reason,
    struct why *why) KP_MUST_USE;

#endif
