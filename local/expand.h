/* SPDX-License-Identifier: ISC */
/* The EXPAND phase: aliases, accounts, ~/.forward and :include: files. */
#ifndef KP_LOCAL_EXPAND_H
#define KP_LOCAL_EXPAND_H

struct job;

/* Begins with the recipient's own name, or its virtual mailbox; ends in job_continue() or
 * job_end(). */
void expand_start(struct job *j);
void expand_clear(struct job *j);

#endif
