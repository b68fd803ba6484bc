/* SPDX-License-Identifier: ISC */
/* What bounce's parts share. */
#ifndef KP_BOUNCE_BOUNCE_H
#define KP_BOUNCE_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bounce/conf.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"

enum { JOB_RECIPIENTS_MAX = 10000, EXCERPT_MAX = 64 * 1024 };

/* A recipient that is reported on. Texts are owned by the job's `text`. */
struct reported {
	uint64_t index, action, smtp, tried, until;
	char *address, *original, *orcpt, *text, *mta;
	char code[12];
};

enum job_state {
	JOB_RECEIVING, /* from DELIVER to DELIVER_GO */
	JOB_SENDING,   /* cleanup has it */
};

/* One notification. The server owns its jobs; a job ends with its answer to qmgr, or with qmgr's
 * channel. */
struct job {
	struct service *service;
	struct chan *qmgr;
	struct chan_head head;
	enum job_state state;
	char *queue_id, *sender, *envid;
	uint64_t flags, facts, size, header_size, arrived, ret;
	struct buf excerpt; /* the start of the original's content, as much as could go into the
			       notification */
	struct reported *reported;
	size_t nreported;
	struct chan *cleanup;
	uint32_t cleanup_id;
	TAILQ_ENTRY(job) link;
};

struct bounce {
	struct service *service;
	const struct bounce_conf *conf;
	TAILQ_HEAD(, job) jobs;
	TAILQ_HEAD(, operator_job) operator_jobs;
};

extern const struct sandbox bounce_sandbox;

/* job.c: what qmgr asks. */
extern const struct chan_rule bounce_from_qmgr[];
void jobs_lost_qmgr(struct bounce *b, const struct chan *qmgr);

/* send.c: to cleanup, and the answer to qmgr. Frees the job. */
void job_send(struct job *job);
void job_end(struct job **jobp, const struct why *why);
void job_free(struct job **jobp);

/* operator.c: what limiter asks. */
extern const struct chan_rule bounce_from_limiter[];
void operator_jobs_lost_limiter(struct bounce *b, const struct chan *limiter);

/* main.c: where the process is to end, and nothing is under way any more, it does. */
void bounce_stop_if_done(const struct bounce *b);

/* send.c: whether notify_classes has the class; an address of ours as the settings have it, whole;
 * the caller's. */
bool bounce_tells(const struct bounce *b, const char *notice_class);
char *bounce_operator(const struct bounce *b, const char *address);

/* report.c: the notification's text, in wire form. -1: over the buffer's max. */
enum notice {
	NOTICE_FAILURE,
	NOTICE_DELAY,
	NOTICE_SUCCESS,
	NOTICE_POSTMASTER, /* a notification that could not be returned */
};
enum notice report_kind(const struct job *job);
int report_write(const struct job *job, enum notice kind, const char *from, const char *to,
    struct buf *out) KP_MUST_USE;

#endif
