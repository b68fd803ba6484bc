/* SPDX-License-Identifier: ISC */
/*
 * A session with an SMTP or LMTP server: greeting, EHLO, transactions one after another
 * (transaction.c), idle in the pool between them, QUIT. It belongs to remote; a delivery borrows
 * it. A session that ends tells its delivery, and is freed at the end of the loop's round.
 */
#ifndef REMOTE_SESSION_H
#define REMOTE_SESSION_H

#include "lib/base/attr.h"
#include "lib/chan/deadline.h"
#include "lib/mail/dotstream.h"
#include "remote/remote.h"

struct host_address;

/* Whose reply is awaited. README.md has the picture. */
enum stage {
	STAGE_GREETING,
	STAGE_EHLO, /* or LHLO */
	STAGE_HELO,
	STAGE_XFORWARD,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_BODY, /* nobody's: the content is leaving */
	STAGE_DOT,  /* or BDAT LAST */
	STAGE_RSET,
	STAGE_IDLE, /* nobody's: in the pool */
	STAGE_QUIT,
	STAGE_COUNT,
};

struct session {
	struct remote *remote;
	struct delivery *d; /* whose transaction it is; NULL: nobody's */
	int fd;
	struct event ev_read, ev_write;
	struct loop_task task; /* flushing, or freeing once `closed` */
	struct deadline deadline;
	bool closed;
	char *key;                  /* of the pool */
	char name[HOST_MAX + 110];  /* "mail.example[192.0.2.1]" */
	char relay[HOST_MAX + 120]; /* ... with the port */
	char host[HOST_MAX + 1];
	bool lmtp, mx;

	enum stage stage;
	unsigned features; /* enum esmtp_extension that the server offers */
	uint64_t size_limit;
	unsigned xforward;    /* attributes that it takes, as bits */
	size_t xforward_next; /* the next one to send */
	struct reply reply;
	unsigned uses;
	int64_t opened;
	bool reused;   /* this delivery is not its first */
	bool heard;    /* a reply has come in this delivery */
	bool broken;   /* not to be used again */
	bool overflow; /* the commands were too long for the buffer */

	/* what is to leave: commands, then content from memory or a file, then the tail */
	struct buf out;
	struct str body, tail;
	int file; /* the delivery's; -1: none */
	uint64_t file_at, file_left;
	bool stuff; /* dots are to be doubled on the way */
	struct dot_encoder encoder;

	/* the transaction */
	struct rcpt **rcpts; /* those that are asked about here */
	size_t nrcpts;
	size_t sent, got; /* steps: 0 MAIL, 1.. RCPT, last DATA or BDAT */
	size_t naccepted;
	size_t dots;       /* LMTP: replies to the content so far */
	bool chunking;     /* BDAT */
	bool content;      /* the content has been queued */
	bool mail_refused; /* ... which was the reply for all recipients */
	bool open;         /* the server has a transaction that only RSET ends */
	struct why soft;   /* why recipients are left for another host */

	TAILQ_ENTRY(session) idle;
	struct session *same; /* the next older one of the same key */
};

/* Takes over a connected socket for the delivery. `a` is NULL for a UNIX socket. */
void session_new(struct delivery *d, int fd, const struct host_address *a);

/* An idle session to the delivery's next hop: its transaction begins. False: there is none. */
bool session_reuse(struct delivery *d);

/* Closes it without a word, and without telling the delivery. Clears the caller's pointer; NULL is
 * fine. */
void session_abort(struct session **sp);

/* Says QUIT to all idle ones, when remote stops; and to the oldest, when there are too many. */
void sessions_quit_idle(struct remote *remote);
bool session_quit_oldest(struct remote *remote);

/* --- for transaction.c --- */

/* The stage's reply is awaited from now on, for as long as its setting says. */
void session_enter(struct session *s, enum stage stage);

/* Sends what has been queued, at the end of the round. */
void session_flush(struct session *s);
bool session_flushed(const struct session *s);

/* The transaction is over and the server in step: back to the pool (by RSET where it is open);
 * `why` as delivery_session_over(). */
void session_release(struct session *s, const struct why *why);

/* The session is over, for this reason. */
void session_fail(struct session *s, const struct why *why);

/* Makes `why` of a reply: "host mail.example[192.0.2.1] said: 550 no (in reply to RCPT TO
 * command)". */
void session_why(const struct session *s, const char *command, struct why *why);

#endif
