/* SPDX-License-Identifier: ISC */
/*
 * The fixed head that every message begins with, in a segment as in a file of its own.
 * docs/queue.md has it byte by byte.
 */
#ifndef KP_QUEUE_HEAD_H
#define KP_QUEUE_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum {
	HEAD_SIZE = 128,
	HEAD_VERSION = 1,
	HEAD_ID_MAX = 32, /* bytes for a queue id and its NULs */
};

enum head_state { HEAD_OPEN = 1, HEAD_COMMITTED = 2 };

struct head {
	enum head_state state;
	char id[HEAD_ID_MAX]; /* NUL-terminated */
	uint64_t content_size, content_sum;
	uint64_t envelope_size, envelope_sum;
	uint64_t arrived; /* microseconds since 1970 */
};

/* The checksum of all that the queue keeps (XXH3, 64 bits). */
uint64_t head_sum(const void *p, size_t n);

/* `out` has HEAD_SIZE bytes. */
void head_encode(const struct head *h, unsigned char *out);

/* `bytes` has HEAD_SIZE bytes. -1: damaged, or of a version that is newer than this program
 * (`why`). */
int head_decode(const unsigned char *bytes, struct head *h, struct why *why) KP_MUST_USE;

/* Bytes of head, content and envelope together; SIZE_MAX where they are no size at all. */
size_t head_total(const struct head *h);

/*
 * Checks a whole message that stands in memory: head, lengths, both checksums; COMMITTED. `content`
 * and `envelope` then point into `bytes`.
 */
int head_message(struct str bytes, struct head *h, struct str *content, struct str *envelope,
    struct why *why) KP_MUST_USE;

#endif
