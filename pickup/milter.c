/* SPDX-License-Identifier: ISC */
/*
 * One chain of milters a message: when it is whole and cleanup has shown it, connect, helo, sender,
 * recipients, data and content in a row. A refusal at any of them refuses the message. What they
 * make of it goes back to cleanup, and then the word that makes it a message.
 */
#include "pickup/milter.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/override.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/milter/calls.h"
#include "lib/milter/give.h"
#include "lib/milter/macros.h"
#include "lib/milter/mail.h"
#include "lib/milter/milter.h"
#include "pickup/pickup.h"

enum { EDITS_MAX = 20000, HEADER_ROOM = 64 * 1024 };

struct held_edit {
	enum mail_edit kind;
	char *text;
};

struct screening {
	struct intake *in;
	struct pickup *p;
	char **rcpts;
	size_t nrcpts, size;
	uint64_t sent;      /* octets of content that cleanup has */
	struct buf content; /* as cleanup shows it, where it is small */
	char id[MSG_ID_MAX + 1];
	/* the milters */
	struct milters *chain;
	struct milter_calls calls;
	struct milter_mail mail;
	struct milter_gift *gift;
	enum milter_event event;
	size_t rcpt; /* asked about */
	struct held_edit *edits;
	size_t nedits, edits_size;
};

int
milters_start(struct pickup *p, struct why *why)
{
	const struct conf_common *conf = &p->conf->common;
	const struct milter_times times = {conf->milter_connect_timeout,
	    conf->milter_command_timeout, conf->milter_content_timeout,
	    conf->milter_default_action};

	p->milters = xcalloc(1, sizeof *p->milters);
	p->held = xcalloc(1, sizeof *p->held);
	p->held->max = (size_t)conf->held_content_limit;
	if (override_parse(&p->overrides, &conf->receive_override_options, why) == -1)
		return -1;
	if ((p->overrides & OVERRIDE_MILTERS) != 0)
		return 0;
	return milter_list_parse(p->milters, &p->conf->non_smtpd_milters, &times, why);
}

bool
milters_wanted(const struct pickup *p)
{
	return p->milters->n > 0;
}

/* --- what the chain asks --- */

static bool
host_connect(void *arg, struct milter *milter, const char *target)
{
	struct screening *sc = arg;

	return milter_calls_connect(&sc->calls, sc->in->trace, milter, target);
}

static void
host_forget(void *arg, struct milter *milter)
{
	struct screening *sc = arg;

	milter_calls_forget(&sc->calls, milter);
}

static bool
host_macro(void *arg, struct str name, struct buf *out)
{
	const struct screening *sc = arg;
	const struct conf_common *conf = &sc->p->conf->common;
	const struct milter_facts facts = {
	    .myhostname = conf->myhostname,
	    .daemon_name = conf->milter_macro_daemon_name,
	    .mail_name = conf->mail_name,
	    .id = sc->id,
	    .client_name = "localhost",
	    .client_addr = "127.0.0.1",
	    .mail_addr = sc->in->sender,
	    .rcpt_addr = sc->event == MILTER_RCPT ? sc->rcpts[sc->rcpt] : NULL,
	};

	return milter_macro(&facts, name, out);
}

/* --- back to cleanup --- */

static void
refuse(struct screening *sc, const struct why *why)
{
	intake_refused(sc->in, why); /* frees all */
}

static bool
edit_add(struct screening *sc, enum mail_edit kind, struct str text)
{
	if (sc->nedits >= EDITS_MAX || text.n > MSG_NEXTHOP_MAX)
		return false;
	if (sc->nedits == sc->edits_size) {
		sc->edits_size = sc->edits_size == 0 ? 4 : sc->edits_size * 2;
		sc->edits = xrealloc(sc->edits, size_mul(sc->edits_size, sizeof *sc->edits));
	}
	sc->edits[sc->nedits++] = (struct held_edit){kind, str_dup(text)};
	return true;
}

static int
send_edits(struct screening *sc, struct why *why)
{
	for (size_t i = 0; i < sc->nedits; i++) {
		const struct held_edit *e = &sc->edits[i];
		struct str text = str_from(e->text);
		bool reason = e->kind == EDIT_HOLD || e->kind == EDIT_DISCARD;
		struct msg_mail_edit msg = {.kind = e->kind,
		    .name = reason ? STR_EMPTY : text,
		    .value = reason ? text : STR_EMPTY};
		if (intake_send(sc->in, MSG_MAIL_EDIT, &msg, why) == -1)
			return -1;
	}
	return 0;
}

static void
commit(struct screening *sc, uint64_t size)
{
	struct msg_mail_commit msg = {.size = size};
	struct why why;

	if (intake_send(sc->in, MSG_MAIL_COMMIT, &msg, &why) == -1)
		refuse(sc, &why);
}

static void
on_given(void *arg, uint64_t size, bool good)
{
	struct screening *sc = arg;
	struct why why;

	if (good) {
		commit(sc, size);
		return;
	}
	why_temp(&why, "4.3.0", "the queue does not take the content");
	refuse(sc, &why);
}

static void
submit(struct screening *sc)
{
	struct intake *in = sc->in;
	uint64_t size = sc->sent;
	struct why why;

	int rc = send_edits(sc, &why);
	if (rc == 0) {
		rc = in->cleanup == NULL
			 ? -1
			 : milter_give(&sc->gift, sc->p->service->loop.base, in->cleanup, in->id,
			       in->trace, &sc->mail, &size, on_given, sc);
		if (rc == -1)
			why_temp(&why, "4.3.0", "the queue is not available");
	}
	if (rc == -1)
		refuse(sc, &why);
	else if (rc == 1)
		commit(sc, size);
}

/* --- the dialogue --- */

/* Addresses come in brackets. */
static bool
host_edit(void *arg, unsigned kind, struct str text)
{
	struct screening *sc = arg;

	if (kind != EDIT_HOLD && str_starts(text, STR("<")) && str_ends(text, STR(">")))
		text = str_sub(text, 1, text.n - 2);
	return edit_add(sc, (enum mail_edit)kind, str_sub(text, 0, MSG_TEXT_MAX));
}

static void
log_refusal(const struct screening *sc, const struct why *why)
{
	static const char *const events[MILTER_EVENTS] = {
	    "CONNECT", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"};

	log_info("%s: milter-reject: %s from localhost[127.0.0.1]: %s %s; from=<%s> "
		 "to=<%s>",
	    sc->id, events[sc->event], why->code, why->text, sc->in->sender,
	    sc->nrcpts > 0 ? sc->rcpts[sc->rcpt < sc->nrcpts ? sc->rcpt : 0] : "");
}

static void
ask(struct screening *sc)
{
	char bracketed[MSG_ADDRESS_MAX + 3];
	struct str args[3];
	size_t n = 0;

	switch (sc->event) {
	case MILTER_CONNECT:
		args[n++] = STR("localhost");
		args[n++] = STR("127.0.0.1");
		args[n++] = STR("0");
		break;
	case MILTER_HELO:
		args[n++] = str_from(sc->p->conf->common.myhostname);
		break;
	case MILTER_MAIL:
	case MILTER_RCPT:
		snprintf(bracketed, sizeof bracketed, "<%s>",
		    sc->event == MILTER_MAIL ? sc->in->sender : sc->rcpts[sc->rcpt]);
		args[n++] = str_from(bracketed);
		break;
	case MILTER_DATA:
	case MILTER_CONTENT:
	case MILTER_EVENTS:
		break;
	}
	milters_ask(sc->chain, sc->event, args, n, sc->event == MILTER_CONTENT ? &sc->mail : NULL);
}

static void
host_done(void *arg, enum milter_verdict verdict, const struct why *why)
{
	struct screening *sc = arg;

	if (verdict == MILTER_REFUSE) {
		struct why said = *why; /* the chain ends with us */
		metric_add(METRIC_MILTER_REFUSED, 1);
		log_refusal(sc, &said);
		refuse(sc, &said);
		return;
	}
	if (verdict == MILTER_DISCARD) {
		log_info("%s: milter-discard: from localhost[127.0.0.1]; from=<%s>", sc->id,
		    sc->in->sender);
		(void)edit_add(sc, EDIT_DISCARD, STR("by a milter"));
	}
	if (verdict == MILTER_DISCARD || sc->event == MILTER_CONTENT) {
		milters_free(&sc->chain);
		submit(sc);
		return;
	}
	if (sc->event == MILTER_RCPT && ++sc->rcpt < sc->nrcpts) {
		ask(sc);
		return;
	}
	sc->event++;
	ask(sc);
}

static const struct milter_host host = {
    .connect = host_connect,
    .forget = host_forget,
    .macro = host_macro,
    .edit = host_edit,
    .done = host_done,
};

/* --- life --- */

struct screening *
screening_new(struct intake *in)
{
	struct pickup *p = in->pickup;
	const struct conf_common *conf = &p->conf->common;
	struct screening *sc = xcalloc(1, sizeof *sc);

	*sc = (struct screening){.in = in, .p = p, .calls = {.master = service_master(p->service)}};
	buf_init(&sc->content, /* no more of it than cleanup may hold */
	    (size_t)conf->message_size_limit + 2 * (size_t)conf->header_size_limit);
	milter_mail_init(&sc->mail, (size_t)conf->header_size_limit + HEADER_ROOM,
	    (size_t)conf->message_size_limit + 2);
	sc->mail.budget = p->held;
	return sc;
}

void
screening_rcpt(struct screening *sc, struct str address)
{
	bool bare = str_rchr(address, '@') < 0;

	if (sc->nrcpts == sc->size) {
		sc->size = sc->size == 0 ? 2 : sc->size * 2;
		sc->rcpts = xrealloc(sc->rcpts, size_mul(sc->size, sizeof *sc->rcpts));
	}
	sc->rcpts[sc->nrcpts++] =
	    bare ? xasprintf("%.*s@%s", STR_ARG(address), sc->p->conf->common.myorigin)
		 : str_dup(address);
}

int
screening_look(struct screening *sc, uint64_t size, struct why *why)
{
	struct msg_mail_look msg = {.size = size};

	sc->sent = size;
	return intake_send(sc->in, MSG_MAIL_LOOK, &msg, why);
}

static int
open_mail(struct screening *sc, struct msg_mail_shown *msg, struct why *why)
{
	int fd = chan_take_fd(&msg->content);

	if (fd != -1)
		return milter_mail_file(&sc->mail, fd, msg->offset, msg->header, msg->size, why);
	if (sc->content.n == msg->size &&
	    milter_mail_memory(&sc->mail, buf_view(&sc->content)) == 0)
		return 0;
	return why_temp(why, "4.3.0", "the queue is not available");
}

bool
screening_answer(struct screening *sc, const struct chan_head *head, union msg_any *msg)
{
	struct why why;

	if (head->type == MSG_MAIL_DATA && sc->chain == NULL) {
		if (buf_str(&sc->content, msg->mail_data.bytes) == -1)
			return false;
		return true;
	}
	if (head->type != MSG_MAIL_SHOWN || sc->chain != NULL)
		return false;
	str_copy(sc->id, sizeof sc->id, msg->mail_shown.queue_id);
	if (msg->mail_shown.discard != 0) {
		submit(sc);
		return true;
	}
	if (open_mail(sc, &msg->mail_shown, &why) == -1) {
		refuse(sc, &why);
		return true;
	}
	sc->chain = milters_new(sc->p->service->loop.base, sc->p->milters, &host, sc);
	ask(sc);
	return true;
}

void
screening_free(struct screening **sp)
{
	struct screening *sc = *sp;

	*sp = NULL;
	if (sc == NULL)
		return;
	milter_calls_clear(&sc->calls);
	milters_free(&sc->chain);
	milter_gift_free(&sc->gift);
	milter_mail_clear(&sc->mail);
	for (size_t i = 0; i < sc->nrcpts; i++)
		free(sc->rcpts[i]);
	free(sc->rcpts);
	for (size_t i = 0; i < sc->nedits; i++)
		free(sc->edits[i].text);
	free(sc->edits);
	buf_free(&sc->content);
	free(sc);
}
