/* SPDX-License-Identifier: ISC */
/* The command table: which command is allowed in which state, who handles it, and how often it was
 * given. */
#ifndef SMTPD_COMMAND_H
#define SMTPD_COMMAND_H

#include <stdbool.h>

#include "smtpd/smtpd.h"

typedef void command_fn(struct session *s, struct str argument);

enum command_flag {
	CMD_LAST = 1 << 0,  /* nothing may be pipelined behind it (RFC 2920 3.1) */
	CMD_BARE = 1 << 1,  /* takes no argument */
	CMD_PLAIN = 1 << 3, /* allowed in plain where TLS is a must (RFC 3207 4) */
	CMD_JUNK = 1 << 2,  /* brings no mail forward: counts towards smtpd_junk_command_limit */
};

struct command {
	const char *verb;
	unsigned states; /* enum state: where it is allowed; 0: nowhere yet */
	unsigned flags;
	command_fn *run;
	command_fn *refuse; /* where it is not allowed; NULL: command_refuse() */
};

/* The rows, for the test that walks every pair of state and command. */
const struct command *command_rows(size_t *n);

/* Takes one command line from the front of `in`; 0: it is not whole yet. */
size_t command_take(struct session *s, struct str in);

/* The extensions that this session may use: enum esmtp_extension. */
unsigned command_offered(const struct session *s);

/* Replies that the command is not allowed in this state. */
void command_refuse(struct session *s, struct str argument);

/* The command under way was refused: counts it, and ends the session after smtpd_hard_error_limit
 * of them. */
void command_failed(struct session *s);

/* Ends a session whose client did not wait for a reply. */
void command_improper_pipelining(struct session *s);

/* Whether a CR or LF that stands alone ends this session; and its end, with a reply. */
bool command_strict_newlines(const struct session *s);
void command_bare_newline(struct session *s, const char *stage, const char *which);

/* Where the session stands, for "lost connection after RCPT". */
void command_where(const struct session *s, char *out, size_t size);
bool command_is_quit(const struct command *command);

/* "ehlo=1 mail=1 rcpt=0/1 commands=2/3" */
void command_counts(const struct session *s, struct buf *out);

#endif
