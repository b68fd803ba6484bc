/* SPDX-License-Identifier: ISC */
/* The ACT phase: leaves are handed to delivery agents, one after the other. */
#ifndef KP_LOCAL_ACT_H
#define KP_LOCAL_ACT_H

struct job;

/* Does the next leaf; job_continue() when all are done. */
void act_next(struct job *j);

#endif
