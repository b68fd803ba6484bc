/* SPDX-License-Identifier: ISC */
/*
 * Questions to limiter, and the probes that it wants. Where two systems verify each other's senders
 * there is no loop: a probe's sender is accepted by its own system as a recipient without any
 * question (restrict.c), and what looks like such a sender is itself probed with the null sender,
 * which nobody verifies.
 */
#include "smtpd/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/service/service.h"
#include "smtpd/smtpd.h"

/* Beyond a crowd nobody waits for a probe's result; known ones are still told. */
enum { QUESTIONS_CROWD = 10000, QUESTIONS_MAX = 20000 };

struct verify_question {
	struct verifier *v;
	char *address;
	uint64_t trace;
	verify_done_fn *done; /* NULL: nobody waits any more */
	void *arg;
	struct chan *limiter;
	uint32_t request;
	LIST_ENTRY(verify_question) link;
};

/* A probe on its way into the queue. */
struct probe {
	struct verifier *v;
	char *address;
	uint64_t trace;
	struct chan *cleanup;
	uint32_t request;
	LIST_ENTRY(probe) link;
};

struct verifier {
	struct server *server;
	char *sender;        /* of probes; "": the null sender */
	char *double_bounce; /* the whole address; "": none */
	LIST_HEAD(, verify_question) questions;
	LIST_HEAD(, probe) probes;
	size_t n; /* questions */
};

/* --- probes --- */

static void
probe_free(struct probe *p)
{
	if (p->cleanup != NULL)
		chan_forget(p->cleanup, p->request);
	LIST_REMOVE(p, link);
	free(p->address);
	free(p);
}

/* Who waits for its result hears that there is none. */
static void
probe_failed(struct probe *p, struct str text)
{
	struct chan *limiter = service_peer(p->v->server->service, PROGRAM_LIMITER, 0);
	struct msg_probe_result msg = {
	    .address = str_from(p->address), .status = VERIFY_DEFERRED, .text = text};

	if (limiter != NULL)
		(void)!chan_send(limiter, 0, p->trace, MSG_PROBE_RESULT,
		    &msg); /* one that is gone has forgotten the question */
	probe_free(p);
}

static void
on_cleanup(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct probe *p = arg;

	p->cleanup = NULL;
	if (msg != NULL && head->type == MSG_MAIL_QUEUED)
		probe_free(p); /* qmgr tells limiter of it */
	else if (msg != NULL && head->type == MSG_REFUSED)
		probe_failed(p, msg->refused.text);
	else
		probe_failed(p, STR("the queue is not available"));
}

static bool
has_local_part(struct str address, const char *local)
{
	ptrdiff_t at = str_rchr(address, '@');

	return *local != '\0' &&
	       str_caseis(at < 0 ? address : str_sub(address, 0, (size_t)at), local);
}

static const char *
sender_for(const struct verifier *v, const char *address)
{
	const char *local = v->server->conf->common.double_bounce_sender;

	return has_local_part(str_from(address), local) ? "" : v->sender;
}

/* No content; neither checks nor copies; nobody is told how it went but limiter. */
static int
probe_send(struct probe *p)
{
	struct msg_mail_open open = {
	    .sender = str_from(sender_for(p->v, p->address)),
	    .flags = MAIL_PROBE | MAIL_RESUBMIT | MAIL_NO_CHECKS,
	    .service = str_from(p->v->server->service->name),
	    .content = -1,
	};
	struct msg_mail_rcpt rcpt = {.address = str_from(p->address), .notify = NOTIFY_NEVER};
	struct msg_mail_commit commit = {0};

	if (chan_send(p->cleanup, p->request, p->trace, MSG_MAIL_OPEN, &open) == -1 ||
	    chan_send(p->cleanup, p->request, p->trace, MSG_MAIL_RCPT, &rcpt) == -1)
		return -1;
	return chan_send(p->cleanup, p->request, p->trace, MSG_MAIL_COMMIT, &commit);
}

static void
probe_begin(struct verifier *v, const char *address, uint64_t trace)
{
	struct probe *p = xcalloc(1, sizeof *p);

	*p = (struct probe){.v = v, .address = xstrdup(address), .trace = trace};
	LIST_INSERT_HEAD(&v->probes, p, link);
	p->cleanup = service_peer(v->server->service, PROGRAM_CLEANUP, map_hash(str_from(address)));
	if (p->cleanup != NULL)
		p->request = chan_open(p->cleanup, on_cleanup, p);
	if (p->cleanup == NULL || probe_send(p) == -1)
		probe_failed(p, STR("the queue is not available"));
}

/* --- questions --- */

static void
question_free(struct verify_question *q)
{
	if (q->limiter != NULL)
		chan_forget(q->limiter, q->request);
	LIST_REMOVE(q, link);
	q->v->n--;
	free(q->address);
	free(q);
}

static void
on_limiter(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct verify_question *q = arg;
	enum verify_status status = VERIFY_UNKNOWN;
	char text[MSG_TEXT_MAX + 1] = "";
	bool answered = msg != NULL && head->type == MSG_VERIFIED;

	if (msg != NULL && head->type == MSG_PROBE) {
		probe_begin(q->v, q->address, q->trace);
		return;
	}
	if (answered) {
		status = (enum verify_status)msg->verified.status;
		(void)str_copy(text, sizeof text, msg->verified.text); /* of the same bound */
	}
	if (msg == NULL || msg_ends(head->type))
		q->limiter = NULL;
	verify_done_fn *done = q->done;
	void *done_arg = q->arg;
	question_free(q);
	if (done != NULL)
		done(done_arg, status, answered ? text : NULL);
}

struct verify_question *
verify_ask(struct verifier *v, uint64_t trace, struct str address, enum verify_mode mode,
    verify_done_fn *done, void *arg)
{
	struct chan *limiter = service_peer(v->server->service, PROGRAM_LIMITER, 0);
	struct msg_verify msg = {.address = address, .mode = mode};

	if (limiter == NULL || v->n >= QUESTIONS_MAX)
		return NULL;
	if (mode == VERIFY_WAIT && v->n >= QUESTIONS_CROWD)
		msg.mode = VERIFY_NOW;
	struct verify_question *q = xcalloc(1, sizeof *q);
	*q = (struct verify_question){
	    .v = v,
	    .address = str_dup(address),
	    .trace = trace,
	    .done = done,
	    .arg = arg,
	};
	LIST_INSERT_HEAD(&v->questions, q, link);
	v->n++;
	q->request = chan_call(limiter, trace, MSG_VERIFY, &msg, on_limiter, q);
	if (q->request != 0) {
		q->limiter = limiter;
		return q;
	}
	question_free(q);
	return NULL;
}

void
verify_cancel(struct verify_question **qp)
{
	if (*qp != NULL)
		(*qp)->done = NULL;
	*qp = NULL;
}

int64_t
verify_patience(const struct server *server)
{
	const struct smtpd_conf *conf = server->conf;

	return server->stressed || conf->address_verify_poll_count < 2
		   ? 0
		   : conf->address_verify_poll_count * conf->address_verify_poll_delay;
}

/* --- our own addresses --- */

bool
verify_is_prober(const struct verifier *v, struct str address)
{
	return v->sender[0] != '\0' && str_caseis(address, v->sender);
}

bool
verify_is_own(const struct verifier *v, struct str address)
{
	return verify_is_prober(v, address) ||
	       (v->double_bounce[0] != '\0' && str_caseis(address, v->double_bounce));
}

/* A bare name gets myorigin; "<>" is the null sender. */
static char *
complete(const struct server *server, const char *name)
{
	if (name[0] == '\0' || strcmp(name, "<>") == 0)
		return xstrdup("");
	if (strchr(name, '@') != NULL)
		return xstrdup(name);
	return xasprintf("%s@%s", name, server->conf->common.myorigin);
}

struct verifier *
verifier_new(struct server *server)
{
	struct verifier *v = xcalloc(1, sizeof *v);

	*v = (struct verifier){
	    .server = server,
	    .sender = complete(server, server->conf->address_verify_sender),
	    .double_bounce = complete(server, server->conf->common.double_bounce_sender),
	};
	LIST_INIT(&v->questions);
	LIST_INIT(&v->probes);
	return v;
}

void
verifier_free(struct verifier **vp)
{
	struct verifier *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	while (!LIST_EMPTY(&v->questions))
		question_free(LIST_FIRST(&v->questions));
	while (!LIST_EMPTY(&v->probes))
		probe_free(LIST_FIRST(&v->probes));
	free(v->sender);
	free(v->double_bounce);
	free(v);
}
