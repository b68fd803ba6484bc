/* SPDX-License-Identifier: ISC */
/* A message's content as it is delivered: bytes for what is small, an open file for what is large.
 */
#ifndef QMGR_CONTENT_H
#define QMGR_CONTENT_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct message;
struct why;

struct content {
	struct str bytes; /* valid until the next content_open() */
	int fd;           /* -1: the bytes are it */
	uint64_t offset, size;
};

int content_open(struct message *m, struct content *c, struct why *why) KP_MUST_USE;
void content_close(struct content *c);

#endif
