/* SPDX-License-Identifier: ISC */
/*
 * Tables that answer over a socket (lib/table/remote.h): each that the configuration names is a
 * site, with connections that are kept and threads of its own, so that one that hangs holds up
 * nobody but those who ask it.
 */
#ifndef KP_TABLES_SITE_H
#define KP_TABLES_SITE_H

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "tables/tables.h"

struct site;

/* The site that is written `spec`, NULL where the configuration names none. */
struct site *site_find(struct tables *t, struct str spec);

/* Makes the sites of the setting remote_tables; -1 with `why`. */
int sites_open(struct tables *t, struct why *why) KP_MUST_USE;

/* Puts the question, which has the time limit q->job.deadline; question_done() is called once,
 * later. */
void site_ask(struct site *site, struct question *q);

#endif
