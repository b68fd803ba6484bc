/* SPDX-License-Identifier: ISC */
/*
 * Life of a delivery: received from qmgr, an idle session or the hosts of its next hop, a
 * connection, a session; on failure the next host; results, and its memory until they are
 * acknowledged.
 */
#ifndef REMOTE_DELIVERY_H
#define REMOTE_DELIVERY_H

#include "lib/base/attr.h"
#include "remote/remote.h"

/* What qmgr may ask of us. */
extern const struct chan_rule remote_from_qmgr[];

/* qmgr has gone: what has not reached a final dot is aborted, the rest is told to its successor. */
void deliveries_lost_qmgr(struct remote *remote, const struct chan *qmgr);

/* Who looks for hosts is done: d->hosts is there, or `why` says what was wrong. */
void delivery_found(struct delivery *d, struct hosts *hosts, const struct why *why);

/* The connector is done: a socket to address number `which` of the hosts, or -1: none of those left
 * answers. */
void delivery_connected(struct delivery *d, int fd, size_t which);

/*
 * The session is done with this delivery, as far as it came: recipients without an outcome go to
 * the next host, or get `why`. NULL: there is nothing wrong.
 */
void delivery_session_over(struct delivery *d, const struct why *why);

/* As above, for a session that was used before and turned out to be closed: another connection,
 * without counting a failure. */
void delivery_session_stale(struct delivery *d);

/* No host will do: the outcome of all recipients left. */
void delivery_fail(struct delivery *d, const struct why *why);

/* Whether this session is the last chance: what it refuses for now is final for this attempt. */
bool delivery_last_chance(const struct delivery *d);

/* Sends qmgr a reply, or where it has changed since, a message of its own. */
void delivery_say(struct delivery *d, enum msg_type type, const void *msg);

/* One recipient or session failed, and another host is tried: "QUEUEID: host ... said: ...". */
void delivery_note(struct delivery *d, const struct why *why);

/* Frees at once, with all that is under way. */
void delivery_free(struct delivery **dp);

#endif
