/* SPDX-License-Identifier: ISC */
/*
 * The event loop of a program: libevent's, with an end to each round. What is written to channels
 * during a round goes out at its end, one system call a channel.
 */
#ifndef KP_CHAN_LOOP_H
#define KP_CHAN_LOOP_H

#include <stdbool.h>
#include <sys/queue.h>

struct event_base;

/* Something to do at the end of this round; embed it in an object, and loop_cancel() it before that
 * is freed. */
struct loop_task {
	void (*on_round_end)(void *arg);
	void *arg;
	bool queued;
	unsigned round; /* the round it was queued in */
	TAILQ_ENTRY(loop_task) link;
};

struct loop {
	struct event_base *base;
	bool stopping;
	unsigned round;
	char *packet; /* where channels receive; one packet is served at a time */
	TAILQ_HEAD(, loop_task) tasks;
};

void loop_init(struct loop *loop);
void loop_clear(struct loop *loop);

/* Runs until loop_stop(); the tasks of the last round are done before it returns. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One round; waits for events only where `wait`. For tests and fuzz targets. */
void loop_round(struct loop *loop, bool wait);

/* Queues the task for the end of this round (once, however often it is called). */
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_cancel(struct loop *loop, struct loop_task *task);

#endif
