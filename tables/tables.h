/* SPDX-License-Identifier: ISC */
/* What tables' files share. */
#ifndef KP_TABLES_TABLES_H
#define KP_TABLES_TABLES_H

#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/pool/pool.h"
#include "tables/conf.h"

struct sandbox;
struct service;

extern const struct sandbox tables_sandbox;

struct site;

/* A question of router that a thread works on. */
struct question {
	struct tables *t;
	struct chan *ch; /* NULL: router is gone, nobody wants the answer */
	struct chan_head head;
	TAILQ_ENTRY(question) link;

	struct pool_job job;
	char *map, *key; /* owned */
	int answer;      /* as table_lookup() */
	struct buf value;
	struct why why;

	/* of a table over a socket (site.c) */
	struct site *site; /* NULL: it is about a Unix user */
	TAILQ_ENTRY(question) wait;
	int fd; /* the connection; -1: none */
	int64_t born;
	bool reused, usable, again;
};

struct tables {
	struct service *s;
	const struct tables_conf *conf;
	struct pool *pool;
	TAILQ_HEAD(, question) questions;
	struct site **sites; /* owned */
	size_t nsites, nwaiting;
};

struct question *question_of(struct pool_job *job);

/* Answers it, where there is somebody to answer, and frees it. */
void question_done(struct question *q);
void question_free(struct question *q);

#endif
