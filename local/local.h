/* SPDX-License-Identifier: ISC */
/* What local's files share: the program's state. */
#ifndef KP_LOCAL_LOCAL_H
#define KP_LOCAL_LOCAL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "lib/chan/loop.h"
#include "local/conf.h"

struct map;
struct sandbox;
struct service;

extern const struct sandbox local_sandbox;

struct local {
	struct service *s;
	const struct local_conf *conf;
	TAILQ_HEAD(delivery_list, delivery) deliveries;
	size_t ndeliveries;
	bool stopping;
	TAILQ_HEAD(, agent) agents;
	size_t nagents;
	TAILQ_HEAD(, agent_wish) wishes;    /* who waits for an agent, in order */
	struct loop_task serve;             /* gives wishes to agents */
	TAILQ_HEAD(child_list, child) slow; /* children whose channel is full */
	struct map
	    *done; /* leaves that were done by recipients that are to be tried again (done.c) */
};

#endif
