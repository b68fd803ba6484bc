/* SPDX-License-Identifier: ISC */
/*
 * Gives content to cleanup. Bounded: at most journal_message_limit of content is held for a
 * message; beyond that it goes through a pipe, and a full pipe stops the reading of the client.
 * Where milters are to see it, cleanup is asked to show it (submit_look()), and gets what they made
 * of it before the word that makes it a message. A
 * reply of 250 is cleanup's word that the disk has it; whatever else happens (no cleanup, its
 * channel gone, no answer in time) is 451, and the client keeps the mail.
 */
#include "smtpd/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/conf/override.h"
#include "lib/log/log.h"
#include "lib/milter/give.h"
#include "lib/service/service.h"
#include "smtpd/edits.h"
#include "smtpd/envelope.h"
#include "smtpd/milter.h"
#include "smtpd/forward.h"
#include "smtpd/proxy_filter.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

static void hand_over(struct session *s);
static void pipe_open(struct session *s);
static void commit_soon(struct session *s);
static void commit(struct session *s);

/* --- failure and end --- */

void
submit_abort(struct transaction *tx)
{
	struct msg_mail_abort abort = {0};

	if (tx->cleanup != NULL) {
		chan_forget(tx->cleanup, tx->request);
		if (!tx->committed)
			(void)!chan_send(tx->cleanup, tx->request, 0, MSG_MAIL_ABORT,
			    &abort); /* a dead one needs none */
	}
	tx->cleanup = NULL;
	if (tx->pipe != -1)
		event_del(&tx->ev_pipe);
	fd_close(&tx->pipe);
	proxy_filter_free(&tx->proxy);
	milter_gift_free(&tx->gift);
	milter_stop(tx); /* they may be looking at what goes now */
	buf_free(&tx->content);
	buf_free(&tx->pipe_rest);
}

void
submit_fail(struct session *s, const struct why *why)
{
	struct transaction *tx = s->tx;

	if (tx->failure.class != WHY_NONE)
		return;
	tx->failure = *why;
	submit_abort(tx);
}

static void
fail_temp(struct session *s, const char *text)
{
	struct why why;

	why_temp(&why, "4.3.0", "%s", text);
	submit_fail(s, &why);
}

/* The reply to the content has been given: ready for the next transaction. */
static void
finish(struct session *s)
{
	transaction_free(&s->tx);
	session_enter(s, ST_READY);
	if (s->waiting)
		session_resume(s);
}

static const char *
rcpt_said(const struct rcpt *r)
{
	return r->original != NULL ? r->original : r->route->address;
}

/* LMTP answers for each recipient (RFC 2033 4.2), SMTP once. All but the last of them. */
static void
reply_for_each(struct session *s, int smtp, const char *code, const char *text)
{
	const struct transaction *tx = s->tx;

	for (size_t i = 0; s->server->conf->protocol == PROTOCOL_LMTP && i + 1 < tx->nrcpts; i++)
		session_reply(s, smtp, code, "<%s> %s", rcpt_said(&tx->rcpts[i]), text);
}

static void
finish_failed(struct session *s)
{
	const struct why *why = &s->tx->failure;

	reply_for_each(s, why_smtp(why),
	    why->code[0] != '\0'     ? why->code
	    : why->class == WHY_PERM ? "5.0.0"
				     : "4.3.0",
	    why->text);
	session_reject(s, "END-OF-MESSAGE", STR_EMPTY, why);
	finish(s);
}

static void
on_expired(struct session *s)
{
	fail_temp(s, "Error: queue file write error");
	log_warning("cleanup does not answer in time");
	finish_failed(s);
}

static void
log_client(struct session *s, struct str id)
{
	char orig_client[340] = "";

	if (s->forward != NULL && s->forward->addr[0] != '\0')
		snprintf(orig_client, sizeof orig_client, "%s[%s]",
		    s->forward->name[0] != '\0' ? s->forward->name : "unknown", s->forward->addr);
	struct ev_client ev = {
	    .queue_id = id,
	    .client_name = str_from(s->client_name),
	    .client_addr = str_from(s->client_addr),
	    .sasl_method = str_from(s->sasl_method),
	    .sasl_username = str_from(s->login),
	    .orig_queue_id = s->forward != NULL ? str_from(s->forward->ident) : STR_EMPTY,
	    .orig_client = str_from(orig_client),
	};

	log_event(s->trace, EV_CLIENT, &ev);
	free(s->forward);
	s->forward = NULL;
}

static void
finish_queued(struct session *s, struct str id)
{
	char text[64];

	log_client(s, id);
	snprintf(text, sizeof text, "Ok: queued as %.*s", STR_ARG(id));
	reply_for_each(s, 250, "2.0.0", text);
	session_reply(s, 250, "2.0.0", "%s", text);
	finish(s);
}

/* What has failed ends the stage that is under way, or waits for the content's end. */
static void
end_failed(struct session *s)
{
	struct why why = s->tx->failure;

	if (s->tx->ended && stage_now(s) == STAGE_CONTENT)
		stage_go_on(s, &why);
	else if (s->tx->ended)
		finish_failed(s);
	else if (s->waiting) /* for a pipe that nobody reads any more */
		session_resume(s);
}

/* The message as it will be delivered, where that is not what we have sent: in memory there is no
 * more of it than cleanup may hold. */
static void
take_shown(struct session *s, struct str bytes)
{
	const struct conf_common *conf = &s->server->conf->common;
	struct transaction *tx = s->tx;

	if (!tx->shown)
		buf_free(&tx->content);
	tx->shown = true;
	tx->content.max = (size_t)conf->message_size_limit + 2 * (size_t)conf->header_size_limit;
	if (buf_str(&tx->content, bytes) == 0)
		return;
	log_warning("cleanup shows more of a message than there can be");
	fail_temp(s, "Error: queue file write error");
	end_failed(s);
}

/* cleanup's answer; one that refuses may come before the content's end. */
static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;
	struct why why;

	if (msg == NULL || msg_ends(head->type))
		tx->cleanup = NULL;
	if (msg != NULL && head->type == MSG_MAIL_QUEUED && tx->committed) {
		finish_queued(s, msg->mail_queued.queue_id);
		return;
	}
	if (msg != NULL && head->type == MSG_MAIL_DATA && tx->looking) {
		take_shown(s, msg->mail_data.bytes);
		return;
	}
	if (msg != NULL && head->type == MSG_MAIL_SHOWN && tx->looking) {
		tx->looking = false;
		tx->shown = true;
		milter_shown(s, &msg->mail_shown);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
		submit_fail(s, &why);
	} else {
		fail_temp(s, "Error: queue file write error");
	}
	end_failed(s);
}

/* --- the envelope --- */

static uint64_t
override_flags(const struct session *s)
{
	unsigned overrides = s->server->overrides;

	return ((overrides & OVERRIDE_CHECKS) != 0 ? MAIL_NO_CHECKS : 0) |
	       ((overrides & OVERRIDE_MAPPINGS) != 0 ? MAIL_NO_MAPPINGS : 0);
}

/* The service's filter goes first: what an access table said of one comes later, and counts. */
static int
send_filter(struct session *s)
{
	const char *filter = s->server->conf->common.content_filter;
	struct transaction *tx = s->tx;
	struct msg_mail_edit msg = {.kind = EDIT_FILTER, .name = str_from(filter)};

	return *filter == '\0' ? 0
			       : chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_EDIT, &msg);
}

static int
send_envelope(struct session *s, int content)
{
	struct transaction *tx = s->tx;
	char tls[1024];
	smtpd_tls_comment(s, tls, sizeof tls);
	struct msg_mail_open open = {
	    .sender = addr_text(&tx->sender),
	    .flags = tx->flags | override_flags(s),
	    .size = tx->announced > tx->size ? tx->announced : tx->size,
	    .service = str_from(s->server->service->name),
	    .client_name = str_from(s->client_name),
	    .client_addr = str_from(s->client_addr),
	    .client_port = s->client_port,
	    .helo = str_from(s->helo),
	    .proto = session_proto(s),
	    .tls = str_from(tls),
	    .login = str_from(s->login),
	    .uid = s->uid,
	    .origin = str_from(s->origin),
	    .full_name = STR_EMPTY,
	    .envid = str_from(tx->envid),
	    .ret = tx->ret,
	    .parent = STR_EMPTY,
	    .hold = str_from(tx->hold),
	    .content = content,
	};

	if (chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_OPEN, &open) == -1)
		return -1;
	for (size_t i = 0; i < tx->nrcpts; i++) {
		const struct rcpt *r = &tx->rcpts[i];
		struct msg_mail_rcpt msg = {
		    .address = str_from(r->route->address),
		    .original = str_from(r->original),
		    .orcpt = str_from(r->orcpt),
		    .notify = r->notify,
		    .class = r->route->class,
		    .expand = r->route->expand,
		    .transport = str_from(r->route->transport),
		    .nexthop = str_from(r->route->nexthop),
		    .generation = r->route->generation,
		};
		if (chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_RCPT, &msg) == -1)
			return -1;
	}
	return 0;
}

/* Opens the message at cleanup; `content` is the reading end of a pipe, or -1. False: the
 * transaction has failed. */
static bool
open_message(struct session *s, int content)
{
	struct transaction *tx = s->tx;

	tx->cleanup = service_peer(s->server->service, PROGRAM_CLEANUP, s->serial);
	if (tx->cleanup == NULL) {
		fail_temp(s, "Error: queue file write error");
		return false;
	}
	tx->request = chan_open(tx->cleanup, on_answer, s);
	/* what is known already goes first: a large message is written as it comes */
	if (send_envelope(s, content) == 0 && send_filter(s) == 0 && edits_send(tx, s->trace) == 0)
		return true;
	fail_temp(s, "Error: queue file write error");
	return false;
}

/* Accepted and thrown away: who said so has logged it. */
static void
finish_discarded(struct session *s)
{
	submit_abort(s->tx);
	session_reply(s, 250, "2.0.0", "Ok");
	finish(s);
}

/* The filter's reply is ours. */
static void
on_filtered(struct session *s, const struct proxied *result)
{
	const struct transaction *tx = s->tx;
	bool each = s->server->conf->protocol == PROTOCOL_LMTP;

	if (result->failure.class != WHY_NONE) {
		submit_fail(s, &result->failure);
		finish_failed(s);
		return;
	}
	log_client(s, STR("NOQUEUE"));
	log_info("NOQUEUE: proxy-accept: END-OF-MESSAGE from %s[%s]: %d %s %s; from=<%.*s> "
		 "to=<%s> proto=%.*s helo=<%s>",
	    s->client_name, s->client_addr, result->smtp, result->code, result->text,
	    STR_ARG(addr_text(&tx->sender)), rcpt_said(&tx->rcpts[tx->nrcpts - 1]),
	    STR_ARG(session_proto(s)), s->helo != NULL ? s->helo : "");
	for (size_t i = each ? 0 : tx->nrcpts - 1; i < tx->nrcpts; i++) {
		struct str rcpt = str_from(rcpt_said(&tx->rcpts[i]));
		if (result->refused[i] != NULL)
			session_reject(s, "END-OF-MESSAGE", rcpt, result->refused[i]);
		else
			session_reply(s, result->smtp, result->code, "%s", result->text);
	}
	service_worked(s->server->service);
	finish(s);
}

static void
on_content_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		submit_fail(s, why);
		finish_failed(s);
		return;
	}
	if (edits_have(s->tx, EDIT_DISCARD)) {
		finish_discarded(s);
		return;
	}
	if (proxy_filter_holds(s)) {
		proxy_filter_begin(s, on_filtered);
		return;
	}
	session_wait(s, s->server->conf->smtpd_service_timeout, on_expired);
	hand_over(s);
}

/* The session waits for the gates, and then for cleanup's answer. */
static void
commit_soon(struct session *s)
{
	stage_begin(s, STAGE_CONTENT, on_content_judged);
}

/* --- large content: the pipe --- */

static void
on_pipe_expired(struct session *s)
{
	fail_temp(s, "Error: queue file write error");
	log_warning("cleanup does not read in time");
	if (s->tx->ended)
		finish_failed(s);
	else
		session_resume(s);
}

/* Writes as much as the pipe takes; -1 where nobody reads it any more. */
static ssize_t
pipe_write(struct transaction *tx, struct str bytes)
{
	size_t done = 0;

	while (done < bytes.n) {
		ssize_t n = write(tx->pipe, bytes.p + done, bytes.n - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1)
			return -1;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static void
pipe_add(struct session *s, struct str bytes)
{
	struct transaction *tx = s->tx;
	ssize_t n = tx->pipe_rest.n > 0 ? 0 : pipe_write(tx, bytes);

	if (n == -1) { /* cleanup has refused it, and its word why is on its way */
		session_wait(s, s->server->conf->smtpd_service_timeout, on_pipe_expired);
		return;
	}
	bytes = str_from_at(bytes, (size_t)n);
	if (bytes.n == 0)
		return;
	if (buf_str(&tx->pipe_rest, bytes) == -1)
		panic("pipe: no more was to come while it is full");
	event_add(&tx->ev_pipe, NULL);
	session_wait(s, s->server->conf->smtpd_service_timeout, on_pipe_expired);
}

static void
on_pipe_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct transaction *tx = s->tx;

	(void)fd;
	(void)what;
	ssize_t n = pipe_write(tx, buf_view(&tx->pipe_rest));
	if (n == -1)
		return; /* cleanup says why */
	buf_consume(&tx->pipe_rest, (size_t)n);
	if (tx->pipe_rest.n > 0)
		event_add(&tx->ev_pipe, NULL);
	else if (tx->ended)
		commit_soon(s);
	else
		session_resume(s);
}

/* From here on the content goes to cleanup as it comes. */
static void
pipe_open(struct session *s)
{
	struct transaction *tx = s->tx;
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) == -1) {
		fail_temp(s, "Error: out of resources");
		return;
	}
	tx->pipe = ends[1];
	event_assign(&tx->ev_pipe, s->server->loop->base, tx->pipe, EV_WRITE, on_pipe_writable, s);
	if (open_message(s, ends[0]))
		pipe_add(s, buf_view(&tx->content));
	close(ends[0]); /* the channel has its own */
	buf_free(&tx->content);
}

/* --- content --- */

/* A proxy filter gets the message as a whole: all of it stays here. */
static void
hold(struct session *s, struct str bytes)
{
	struct transaction *tx = s->tx;
	struct why why;

	tx->content.max = (size_t)s->server->conf->common.message_size_limit + 2;
	if (proxy_filter_room(s, bytes.n) && buf_str(&tx->content, bytes) == 0)
		return;
	why_temp(&why, "4.3.1", "Error: too much mail is being looked at");
	why.smtp = 452;
	submit_fail(s, &why);
}

void
submit_add(struct session *s, struct str bytes)
{
	struct transaction *tx = s->tx;

	if (bytes.n == 0 || tx->failure.class != WHY_NONE)
		return;
	if (proxy_filter_holds(s)) {
		hold(s, bytes);
		return;
	}
	if (tx->pipe == -1 && buf_str(&tx->content, bytes) == 0)
		return;
	if (tx->pipe == -1)
		pipe_open(s);
	if (tx->failure.class == WHY_NONE)
		pipe_add(s, bytes);
}

static int
send_small(struct session *s)
{
	struct transaction *tx = s->tx;
	struct str rest = buf_view(&tx->content);

	while (rest.n > 0) {
		struct msg_mail_data msg = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		if (chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_DATA, &msg) == -1)
			return -1;
		rest = str_from_at(rest, msg.bytes.n);
	}
	return 0;
}

static void
on_cleanup_idle(void *arg)
{
	submit_unpark(arg);
}

void
submit_unpark(struct server *server)
{
	struct session *s;

	TAILQ_FOREACH (s, &server->sessions, link) {
		if (s->tx == NULL || !s->tx->parked)
			continue;
		s->tx->parked = false;
		if (!s->tx->looking)
			hand_over(s);
		else if (!submit_look(s))
			end_failed(s);
	}
}

/* Whether cleanup's channel is full: then the message waits here, and with it its client. */
static bool
park(struct session *s)
{
	struct chan *cleanup = service_peer(s->server->service, PROGRAM_CLEANUP, s->serial);

	if (s->tx->cleanup != NULL || cleanup == NULL || !chan_busy(cleanup))
		return false;
	s->tx->parked = true;
	chan_on_idle(cleanup, on_cleanup_idle, s->server);
	return true;
}

/* All content is here, or in the pipe: envelope and content are with cleanup after this. */
static bool
send_message(struct session *s)
{
	struct transaction *tx = s->tx;

	if (tx->pipe == -1 && (!open_message(s, -1) || send_small(s) == -1))
		fail_temp(s, "Error: queue file write error");
	if (tx->failure.class == WHY_NONE && edits_send(tx, s->trace) == -1)
		fail_temp(s, "Error: queue file write error");
	return tx->failure.class == WHY_NONE;
}

bool
submit_look(struct session *s)
{
	struct transaction *tx = s->tx;
	struct msg_mail_look look = {.size = tx->size, .kept = tx->pipe == -1};

	tx->looking = true;
	if (park(s))
		return true;
	if (!send_message(s))
		return false;
	if (chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_LOOK, &look) == -1) {
		fail_temp(s, "Error: queue file write error");
		return false;
	}
	if (tx->pipe != -1)
		event_del(&tx->ev_pipe);
	fd_close(&tx->pipe);
	return true;
}

static void
on_given(void *arg, uint64_t size, bool good)
{
	struct session *s = arg;

	s->tx->size = size;
	if (!good)
		fail_temp(s, "Error: queue file write error");
	commit(s);
}

/* The word that makes it a message. */
static void
commit(struct session *s)
{
	struct transaction *tx = s->tx;
	struct msg_mail_commit msg = {.size = tx->size};

	if (tx->failure.class == WHY_NONE &&
	    chan_send(tx->cleanup, tx->request, s->trace, MSG_MAIL_COMMIT, &msg) == -1)
		fail_temp(s, "Error: queue file write error");
	if (tx->failure.class != WHY_NONE) {
		finish_failed(s);
		return;
	}
	tx->committed = true;
	fd_close(&tx->pipe);
	buf_free(&tx->content);
	service_worked(s->server->service);
}

/* What milters made of a message that cleanup has: 0: it is on its way, commit() follows. */
static int
give(struct session *s)
{
	struct transaction *tx = s->tx;

	if (edits_send(tx, s->trace) == -1)
		return -1;
	return tx->mail == NULL ? 1
				: milter_give(&tx->gift, s->server->loop->base, tx->cleanup,
				      tx->request, s->trace, tx->mail, &tx->size, on_given, s);
}

static void
hand_over(struct session *s)
{
	if (park(s))
		return;
	if (s->tx->shown) {
		int rc = give(s);
		if (rc == 0)
			return;
		if (rc == -1)
			fail_temp(s, "Error: queue file write error");
	} else {
		(void)send_message(s); /* commit() looks at the failure */
	}
	commit(s);
}

void
submit_end(struct session *s)
{
	struct transaction *tx = s->tx;
	bool flowing = s->waiting; /* the pipe has not taken all */

	tx->ended = true;
	session_enter(s, ST_COMMIT);
	if (tx->failure.class != WHY_NONE) {
		finish_failed(s);
		return;
	}
	if (!flowing)
		commit_soon(s);
}
