/* SPDX-License-Identifier: ISC */
/* The child message: the addresses that a recipient expanded to, with the same content, handed to
 * cleanup. */
#ifndef KP_LOCAL_CHILD_H
#define KP_LOCAL_CHILD_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct child;
struct delivery;
struct why;

struct child_recipient {
	const char *address, *original, *orcpt;
	uint64_t notify;
};

struct child_plan {
	const struct delivery *delivery;
	uint64_t index;           /* of the parent's recipient */
	const char *sender;       /* the envelope sender */
	const char *delivered_to; /* goes in front of the content, for loops to be seen */
	const struct child_recipient *recipients;
	size_t n;
	/* Once: the queue id, or NULL with `why`. The child is freed before. */
	void (*on_done)(void *arg, const char *queue_id, const struct why *why);
	void *arg;
};

/* Begins at once; all of the plan but the delivery and callback is used up when it returns. NULL
 * with `why` where cleanup is not there. */
struct child *child_start(const struct child_plan *plan, struct why *why) KP_MUST_USE;

/* Gives it up where it has not been committed. NULL is fine. */
void child_free(struct child **cp);

#endif
