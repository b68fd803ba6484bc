/* SPDX-License-Identifier: ISC */
/* What spawn's files share. */
#ifndef KP_SPAWN_SPAWN_H
#define KP_SPAWN_SPAWN_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "spawn/conf.h"

struct chan;
struct event;
struct sandbox;
struct service;

extern const struct sandbox spawn_sandbox;

/* A delivery agent that runs. */
struct child {
	pid_t pid;
	struct chan *ch;     /* who asked for it; NULL: is gone */
	struct event *limit; /* of its time; NULL: none */
	TAILQ_ENTRY(child) link;
};

struct spawn {
	struct service *s;
	const struct spawn_conf *conf;
	char *agent; /* path of the delivery agent */
	TAILQ_HEAD(, child) children;
	size_t n;
	struct event *on_child;
};

/* Who the child is to become, as local asked for it, and what it runs. */
struct identity {
	const char *user; /* "": uid and gid, of a virtual mailbox */
	uid_t uid;
	gid_t gid;
	bool mailbox;         /* is to be made where it is missing */
	char *const *command; /* NULL: the delivery agent */
};

/*
 * In the child: becomes the identity, keeps `channel` as descriptor 3 and nothing else, and runs
 * the agent. Never returns; where it cannot, the exit status says why: EX_NOUSER no such user,
 * EX_NOPERM refused, EX_TEMPFAIL not now, EX_UNAVAILABLE no agent.
 */
void become_and_run(const struct spawn *sp, const struct identity *who, int channel) KP_NORETURN;

#endif
