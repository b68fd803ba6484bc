/* SPDX-License-Identifier: ISC */
/* What pickup's parts share. */
#ifndef KP_PICKUP_PICKUP_H
#define KP_PICKUP_PICKUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"
#include "pickup/conf.h"

struct event;
struct milter_budget;
struct milter_list;
struct pickup;
struct screening;

/* What becomes of a message: `why` NULL and a queue id, or why not. The intake is gone after this
 * call. */
typedef void intake_done_fn(void *arg, struct str queue_id, const struct why *why);

/*
 * One message on its way to cleanup. Whoever feeds it owns it until intake_commit(), then it ends
 * with the callback; intake_abort() ends it at any time without.
 */
struct intake {
	struct pickup *pickup;
	struct chan *cleanup; /* NULL: lost */
	uint32_t id;
	uint64_t trace;
	uint64_t recipients, size;
	struct screening *screening; /* what milters see of it; NULL: there are none */
	bool piped;                  /* the content goes by a descriptor */
	uid_t uid;
	char *sender, *origin; /* owned; for the log */
	intake_done_fn *on_done;
	void *arg;
};

struct pickup {
	struct service *service;
	const struct pickup_conf *conf;
	struct event *ev_listen;
	TAILQ_HEAD(, client) clients;
	size_t nclients;
	struct drops *drops;
	struct milter_list *milters; /* non_smtpd_milters */
	struct milter_budget *held;  /* bodies that they replaced */
	unsigned overrides;          /* enum override */
};

extern const struct sandbox pickup_sandbox;

/* intake.c. Each returns -1 with `why` where the message is refused; the caller then aborts it. */
struct intake *intake_open(struct pickup *p, const struct msg_mail_open *msg, uid_t uid,
    intake_done_fn *on_done, void *arg, struct why *why) KP_MUST_USE;
int intake_rcpt(struct intake *in, const struct msg_mail_rcpt *msg, struct why *why) KP_MUST_USE;
int intake_data(struct intake *in, struct str bytes, struct why *why) KP_MUST_USE;
int intake_commit(struct intake *in, uint64_t size, struct why *why) KP_MUST_USE;
void intake_abort(struct intake **inp);
/* For milter.c: to cleanup, or the end. intake_refused() frees the intake. */
int intake_send(
    struct intake *in, enum msg_type type, const void *msg, struct why *why) KP_MUST_USE;
void intake_refused(struct intake *in, const struct why *why);
/* Whether a feeder that can wait should. */
bool intake_busy(const struct intake *in);

/* client.c: programs that submit over run/submit. */
void clients_listen(struct pickup *p, int fd);
void clients_resume(struct pickup *p);
void clients_close(struct pickup *p);

/* drops.c: the maildrop. */
int drops_open(struct pickup *p, struct why *why) KP_MUST_USE;
void drops_scan(struct pickup *p);
/* Also those that were refused for now: what refused them may be back. */
void drops_retry(struct pickup *p);
void drops_close(struct pickup *p);

#endif
