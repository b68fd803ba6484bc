/* SPDX-License-Identifier: ISC */
/*
 * The points of a session at which it is judged, and the gates that judge: limits, restrictions,
 * milters. A gate is one row of a table; each may answer at once or later.
 */
#ifndef SMTPD_STAGE_H
#define SMTPD_STAGE_H

#include "lib/chan/chan.h"
#include "smtpd/smtpd.h"

enum stage {
	STAGE_CONNECT = 1 << 0, /* before the greeting; the client's name is known */
	STAGE_HELO = 1 << 1,    /* s->helo is what was said */
	STAGE_MAIL = 1 << 2,    /* s->tx is there */
	STAGE_RCPT = 1 << 3,    /* s->tx->pending is the recipient; its route may be unknown */
	STAGE_DATA = 1 << 4,    /* before 354, or before the first chunk */
	STAGE_CONTENT = 1 << 5, /* all content is in; before cleanup is told to keep it */
	STAGE_VRFY = 1 << 6,    /* s->verify */
	STAGE_ETRN = 1 << 7,    /* s->verify is the domain */
	STAGE_STARTTLS = 1 << 8,
	STAGE_AUTH = 1 << 9,
};

enum gate_answer {
	GATE_PASS,
	GATE_REFUSE, /* `why` says why */
	GATE_WAIT,   /* has called session_wait(), and will call stage_go_on() */
};

struct gate {
	const char *name;
	unsigned stages; /* enum stage: where it is asked */
	enum gate_answer (*ask)(struct session *s, enum stage stage, struct why *why);
	void (*drop)(struct session *s);           /* the session ends; may be NULL */
	void (*drop_mail)(struct transaction *tx); /* the transaction ends; may be NULL */
};

/* Called once, when all gates have answered; `why` is NULL where all let it pass. */
typedef void stage_then_fn(struct session *s, const struct why *why);

/* Asks every gate of `stage`, in their order, until one refuses; then `then`, now or later. */
void stage_begin(struct session *s, enum stage stage, stage_then_fn *then);

/* A gate that answered GATE_WAIT has made up its mind; `why` NULL lets it pass. The session may be
 * closing: then nothing happens. */
void stage_go_on(struct session *s, const struct why *why);

/* The stage under way; 0: none. */
enum stage stage_now(const struct session *s);

/* For session_free() and transaction_free(). */
void stage_drop(struct session *s);
void stage_drop_mail(struct transaction *tx);

/* Asks one partner one question for the session, whose slot for that is free; `on_reply`'s
 * argument is the session, and s->asked must be cleared by session_answered() in it. False where
 * nobody can be asked. Dropped with the session. */
bool session_ask(struct session *s, int program, uint64_t hash, enum msg_type type, const void *msg,
    chan_reply_fn *on_reply);
void session_answered(struct session *s);

#endif
