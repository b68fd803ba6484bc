/* SPDX-License-Identifier: ISC */
/*
 * Questions of partners. A question is run; where it has to wait for program tables it is kept, and
 * run again from its start when an answer has come. It is answered once, and dies with its channel.
 */
#ifndef KP_ROUTER_QUESTION_H
#define KP_ROUTER_QUESTION_H

#include "lib/chan/chan.h"
#include "router/query.h"

struct question {
	struct chan *ch;
	struct chan_head head;
	struct str a, b; /* what is asked; a copy of its own once it is kept */
	/* Answers on `ch`, or returns TABLE_ASKED without having sent anything. */
	int (*run)(struct query *q, const struct question *question);
	int64_t since; /* clock_ms; when it was kept first */
	TAILQ_ENTRY(question) link;
};

/* Runs it now, and keeps a copy where it has to wait. */
void question_ask(struct router *r, const struct question *question);

/* Runs all that wait. */
void questions_resume(struct router *r);

/* Forgets those of a channel that is gone; of all channels where it is NULL. */
void questions_drop(struct router *r, const struct chan *ch);

#endif
