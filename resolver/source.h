/* SPDX-License-Identifier: ISC */
/* A file outside the sandbox that is read again when it changes: its folder is kept open, since
 * there is no path to it later. */
#ifndef KP_RESOLVER_SOURCE_H
#define KP_RESOLVER_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

struct source {
	int dir;      /* -1: there is no such folder */
	char *name;   /* in it */
	char *folder; /* for the sandbox */
	uint64_t stamp[5];
};

/* Links are followed here, once: what changes later is the file in that folder. */
void source_open(struct source *s, const char *path);

/* True where the file is another one than at the last call; the first call is true. */
bool source_changed(struct source *s);

/* Reads it into `text` (emptied first); a file that cannot be read is empty. */
void source_read(const struct source *s, struct buf *text);

#endif
