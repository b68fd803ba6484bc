/* SPDX-License-Identifier: ISC */
/* Content on its way in: from the channel or a pipe, into memory or, when it is large, into its
 * file. */
#ifndef CLEANUP_INTAKE_H
#define CLEANUP_INTAKE_H

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct transaction;
struct why;

/* Reads from the pipe until there is nothing more just now. A failure refuses, and frees, the
 * transaction. */
void intake_watch_pipe(struct transaction *t);

/* Is done with the pipe. */
void intake_unwatch(struct transaction *t);

/* The next bytes. -1: to be refused. */
int intake_add(struct transaction *t, struct str bytes, struct why *why) KP_MUST_USE;

/* Goes on where header checks or a full list of lines had stopped it. -1: to be refused. */
int intake_resume(struct transaction *t, struct why *why) KP_MUST_USE;

/* All has come: adds a missing last line end, and asks for what checks still want to know. 1: all
 * is judged, and fit to be sent; 0: not yet; -1: to be refused. */
int intake_end(struct transaction *t, struct why *why) KP_MUST_USE;

/* Looks anew at content in memory that has been changed. */
void intake_rescan(struct transaction *t);

/* The file of a large message, empty. -1: to be refused. */
int intake_file(struct transaction *t, struct why *why) KP_MUST_USE;
int intake_too_large(struct why *why);

void intake_clear(struct transaction *t);

#endif
