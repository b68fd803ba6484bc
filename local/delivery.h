/* SPDX-License-Identifier: ISC */
/*
 * A delivery as qmgr hands it over: one message, some recipients. States: COMING (its parts
 * arrive), GOING (recipients are worked on), OVER (all results are sent, and kept until qmgr
 * acknowledges them).
 */
#ifndef KP_LOCAL_DELIVERY_H
#define KP_LOCAL_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/chan/chan.h"
#include "local/local.h"

struct job;

enum delivery_state { DELIVERY_COMING, DELIVERY_GOING, DELIVERY_OVER };

struct delivery {
	struct local *l;
	struct chan *ch; /* qmgr's; NULL while there is none */
	struct chan_head head;
	bool adopted; /* its request died with a qmgr; results go as messages of their own */
	enum delivery_state state;
	char *queue_id, *sender, *transport, *envid;            /* owned */
	char *client_addr, *client_name, *helo, *proto, *login; /* owned */
	uint64_t flags, ret, size, offset, header_size, arrived, active;
	uint64_t recipients; /* promised */
	int64_t started;     /* wall clock, us */
	struct buf bytes;    /* the content, where `content` is -1 */
	int content;         /* else an open file, from `offset` on */
	struct job **jobs;   /* owned */
	size_t njobs;
	TAILQ_ENTRY(delivery) link;
};

extern const struct chan_rule delivery_rules[];

/* qmgr's channel is gone: what nobody acts on yet is dropped, the rest goes on and keeps its
 * results. */
void deliveries_orphan(struct local *l, const struct chan *ch);

/* Takes no more, and ends the program when the last delivery is acknowledged. */
void deliveries_stop(struct local *l);

/* A job has its result: it is sent, and the end with the last one. */
void delivery_job_done(struct delivery *d);

/* Up to `n` bytes of the content from `at` on, into `out`; how many, or -1 with `why`. */
int delivery_read(
    const struct delivery *d, uint64_t at, char *out, size_t n, struct why *why) KP_MUST_USE;

#endif
