/* SPDX-License-Identifier: ISC */
/*
 * The skeleton of every program that master starts: a program is a table, and its main() one call.
 *
 *	1. read from master (descriptor 3): who we are, settings, listeners, resources, channels,
 *until START;
 *	2. `open`: what needs privilege or a path;  3. enter the sandbox;  4. `start`;  5. READY,
 *and the loop.
 *
 * After that master sends fresh channels when partners come and go, and STOP.
 */
#ifndef KP_SERVICE_SERVICE_H
#define KP_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/chan/chan.h"
#include "lib/chan/loop.h"
#include "lib/service/program.h"

struct sandbox;
struct sandbox_path;
struct settings;
struct why;

struct service;

/* How a program treats one kind of partner. */
struct service_peer {
	enum program program;
	const struct chan_rule *rules; /* what it may ask of us; its owner is the struct service */
	void (*on_peer)(struct service *s, struct chan *ch); /* a new channel; may be NULL */
	void (*on_gone)(struct service *s, struct chan *ch); /* it is gone; may be NULL */
};

/* What a program is. All constant. */
struct service_table {
	enum program program;
	const char *tag; /* in the log, as Postfix's: "smtp" for remote */
	const struct settings *settings;
	const struct sandbox *sandbox;
	const struct service_peer *peers;                 /* ended by {PROGRAM_NONE} */
	int (*open)(struct service *s, struct why *why);  /* may be NULL */
	int (*start)(struct service *s, struct why *why); /* after the sandbox; may be NULL */
	void (*on_listener)(struct service *s, int fd,
	    struct str address); /* before `start`; the program's from now on */
	void (*on_resource)(struct service *s, struct str name,
	    int fd); /* before `open`, at any time after; the program's */
	/* Finish within grace_ms and call service_exit(); NULL: exit at once. */
	void (*on_stop)(struct service *s, int64_t grace_ms);
	/* New values are in `s->conf` (qmgr, logger and the like take them in place); NULL: not
	 * offered. */
	void (*on_reload)(struct service *s);
};

struct service {
	const struct service_table *table;
	struct loop loop;
	void *conf;  /* the program's conf struct */
	void *state; /* the program's own, set by `open` or `start` */
	char *name;  /* the section's name: "submission" */
	char *root;  /* the instance's directory; "" on a system installation */
	const struct sandbox_path
	    *paths; /* more than the sandbox table's, set by `open`; the program's; NULL: none */
	uint64_t worker; /* 0, 1, ... within the service */
	uint64_t generation;
	bool privileged; /* started as root: has users, chroot */
	bool stopping;
	bool draining; /* stopping, with a successor in place: sessions may go on */
	struct service_private *private;
};

/* The whole life of a program; returns the exit status. */
int service_main(int argc, char **argv, const struct service_table *table);

/* A channel to a partner of that kind, chosen by `hash` among those alive; NULL where there is none
 * now. */
struct chan *service_peer(struct service *s, enum program p, uint64_t hash);

/* The n-th channel to that kind, NULL past the last. */
struct chan *service_peer_at(struct service *s, enum program p, size_t n);

/* Who is behind a channel: for logger, which writes it into every line. */
struct service_partner {
	enum program program;
	const char *service; /* the section's name */
	uint64_t id, worker, pid;
};
const struct service_partner *service_partner(const struct chan *ch);

/* The channel to master; for CONNECT and the like. */
struct chan *service_master(struct service *s);

/* Counts one unit of work towards max_requests; master replaces the worker after so many. */
void service_worked(struct service *s);

/* Ends the loop, and the process with status 0. */
void service_exit(struct service *s);

#endif
