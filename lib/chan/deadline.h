/* SPDX-License-Identifier: ISC */
/*
 * A deadline that is moved often and met seldom, as a session has one for each command. Its timer
 * is moved lazily: it is set again only where the deadline has come nearer, and looks at the
 * deadline when it fires. So moving it costs no timer operation.
 */
#ifndef KP_CHAN_DEADLINE_H
#define KP_CHAN_DEADLINE_H

#include <event2/event_struct.h>
#include <stdint.h>

struct loop;

struct deadline {
	int64_t at;    /* clock_ms(); may be moved away at will */
	int64_t armed; /* when the timer fires; 0: it is not set */
	struct event timer;
	void (*passed)(void *arg);
	void *arg;
};

/* `passed` may free what the deadline is part of, once deadline_clear() was called. */
void deadline_init(struct deadline *d, struct loop *loop, void (*passed)(void *arg), void *arg);
void deadline_clear(struct deadline *d);

/* So many ms from now. */
void deadline_set(struct deadline *d, int64_t ms);

#endif
