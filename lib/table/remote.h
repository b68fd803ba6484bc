/* SPDX-License-Identifier: ISC */
/*
 * Tables that another program answers for over a socket, as Postfix has them:
 *
 *	tcp:host:port			tcp_table(5): lines, %XX for what is not printable
 *	socketmap:inet:host:port:name	socketmap_table(5): netstrings
 *	socketmap:unix:/path:name
 *
 * What the other side says is hostile, and bounded. Whatever is no clear answer is "could not
 * tell".
 */
#ifndef KP_TABLE_REMOTE_H
#define KP_TABLE_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

enum { REMOTE_QUERY_MAX = 10000, REMOTE_REPLY_MAX = 100000 };

enum remote_kind { REMOTE_TCP, REMOTE_SOCKETMAP };

struct remote {
	enum remote_kind kind;
	bool is_unix;
	char *spec;  /* as written */
	char *place; /* "host:port" or "/path" */
	char *name;  /* of the socketmap; "" */
};

/* Whether a table is written as one of these. */
bool remote_is(struct str spec);

/* "tcp:..." or "socketmap:...", whole. -1 with `why` where it is malformed. */
int remote_parse(struct remote *r, struct str spec, struct why *why) KP_MUST_USE;
void remote_clear(struct remote *r);

/* Appends the question for `key`; -1 where it is over REMOTE_QUERY_MAX, or no question can be made
 * of it. */
int remote_request(const struct remote *r, struct str key, struct buf *out) KP_MUST_USE;

/*
 * The reply at the front of `in`: 1 when it is there, `*used` octets of it, and then *answer is
 * TABLE_FOUND (the value in `out`), TABLE_NONE, or TABLE_ERROR with `why`; 0 where more is to come;
 * -1 with `why` where it is no reply.
 */
int remote_reply(const struct remote *r, struct str in, int *answer, size_t *used, struct buf *out,
    struct why *why) KP_MUST_USE;

/* A connection, before `deadline` (clock_ms); blocks, and asks the system for a host's addresses.
 * -1 with `why`. */
int remote_connect(const struct remote *r, int64_t deadline, struct why *why) KP_MUST_USE;

/* Whether a kept connection is of no use any more: closed, or something came that was not asked
 * for. */
bool remote_is_stale(int fd);

/*
 * Asks on a connection (non-blocking), and waits for the answer until `deadline`. TABLE_FOUND,
 * TABLE_NONE or TABLE_ERROR with `why`. `*usable`: the connection may be kept; `*silent`: it ended
 * before anything was answered, so that the question may be put again on another.
 */
int remote_ask(int fd, const struct remote *r, struct str key, int64_t deadline, struct buf *out,
    bool *usable, bool *silent, struct why *why) KP_MUST_USE;

#endif
