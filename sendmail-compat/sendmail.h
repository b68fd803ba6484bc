/* SPDX-License-Identifier: ISC */
/* What the parts of sendmail, mailq and newaliases share. */
#ifndef KP_SENDMAIL_SENDMAIL_H
#define KP_SENDMAIL_SENDMAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/layout.h"
#include "lib/msg/msg.h"

struct chan_client;
struct why;

enum mode {
	MODE_DELIVER, /* -bm */
	MODE_SMTP,    /* -bs */
	MODE_LIST,    /* -bp, mailq */
	MODE_ALIASES, /* -bi, newaliases */
	MODE_VERIFY,  /* -bv */
	MODE_FLUSH,   /* -q */
	MODE_VERSION, /* -bV, -d0 */
};

struct options {
	enum mode mode;
	const char *name;   /* the command's, for messages */
	bool from_headers;  /* -t */
	bool ignore_dots;   /* -i, -oi */
	bool verbose;       /* -v */
	bool json;          /* mailq -j */
	bool utf8;          /* -O SMTPUTF8 */
	bool eight_bit;     /* -B8BITMIME */
	const char *sender; /* -f; NULL: the caller */
	const char *full_name;
	const char *envid;
	const char *flush_id; /* -qI */
	uint64_t notify;      /* NOTIFY_* */
	uint64_t ret;         /* RET_* */
	char **recipients;
	int nrecipients;
};

/* A message as it will be handed over. */
struct message {
	struct options *o;
	char *sender; /* owned */
	char **recipients;
	size_t nrecipients;
	struct buf content; /* in wire form */
	char *origin;       /* owned: command line and folder */
};

/* options.c: -1 where the caller must be shown the usage (it has been told why). */
int options_parse(struct options *o, int argc, char **argv) KP_MUST_USE;

/* input.c: reads standard input up to its end, or a line with a single dot. -1 with `why`. */
int input_read(struct buf *content, bool ignore_dots, int fd, struct why *why) KP_MUST_USE;

/* message.c: everything but the sending. -1 with `why`; class permanent means the caller's mistake.
 */
int message_make(struct message *m, struct options *o, char **argv, struct why *why) KP_MUST_USE;
void message_clear(struct message *m);

/* submit.c: to pickup; to the maildrop where pickup cannot be had. The exit status. */
int submit(struct message *m, const struct layout *layout);
/* The messages of a submission, one after the other, without the content: for the socket and the
 * maildrop file alike. */
typedef int submit_put_fn(void *arg, enum msg_type type, const void *msg, struct why *why);
int submit_envelope(const struct message *m, int content_fd, submit_put_fn *put, void *arg,
    struct why *why) KP_MUST_USE;
int submit_content(
    const struct message *m, submit_put_fn *put, void *arg, struct why *why) KP_MUST_USE;
/* A connection to run/NAME; NULL with `why` where nobody serves it. */
struct chan_client *submit_connect(
    const struct layout *layout, const char *name, struct why *why) KP_MUST_USE;
/* sendmail: fatal: TEXT on standard error. */
void complain(const char *name, const char *text);
/* The sysexits status for a reason. */
int exit_status(const struct why *why);

/* drop.c: into the maildrop, by the setgid helper. The exit status. */
int drop(const struct message *m, const struct layout *layout);

/* session.c: -bs and -bv. */
int session_relay(const struct options *o, const struct layout *layout, char **argv);
int session_verify(const struct options *o, const struct layout *layout, char **argv);

/* mailq.c */
int mailq(const struct options *o, const struct layout *layout);
int flush(const struct options *o, const struct layout *layout);

/* aliases.c */
int newaliases(const struct options *o, const struct layout *layout);

#endif
