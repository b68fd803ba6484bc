/* SPDX-License-Identifier: ISC */
/*
 * Channels: typed messages between two kingpost programs over a SOCK_SEQPACKET socket. A packet
 * holds one or more whole messages; all that is sent in one round of the loop leaves in as few
 * packets as it fits in.
 *
 * The peer is never trusted: a packet that is not made of well-formed messages that `rules` allow
 * closes the channel. Requests and replies: the asker numbers its requests; a reply carries that
 * number and goes to the callback given. When the channel dies, each request that is still open
 * gets its callback once, with `msg` NULL.
 */
#ifndef KP_CHAN_CHAN_H
#define KP_CHAN_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/msg/msg.h"

struct chan;
struct loop;

/* What came along with a message: the number to reply under, and the trace id. */
struct chan_head {
	uint32_t id;
	uint64_t trace;
	enum msg_type type;
};

/*
 * A message that the peer began. `msg` is valid during the call. A descriptor in it is closed
 * afterwards unless the callback takes it with chan_take_fd(). The callback may chan_close() this
 * channel.
 */
typedef void chan_serve_fn(struct chan *ch, const struct chan_head *head, union msg_any *msg);

/* What a program serves to this kind of peer; the array ends with {MSG_NONE, NULL}. */
struct chan_rule {
	enum msg_type type;
	chan_serve_fn *serve;
};

/* A reply; `msg` is NULL when the channel died. After a reply of a type that ends (msg_ends()) no
 * more come. */
typedef void chan_reply_fn(void *arg, const struct chan_head *head, union msg_any *msg);

/* The channel is gone (peer closed it, broke the protocol, or chan_fail()); it is freed after this
 * call. */
typedef void chan_gone_fn(struct chan *ch, void *owner);

/*
 * Takes over `fd`. `owner` is what chan_owner() returns to the callbacks. `name` is for the log
 * ("router/3"); it is copied.
 */
struct chan *chan_new(struct loop *loop, int fd, const char *name, const struct chan_rule *rules,
    void *owner, chan_gone_fn *on_gone);

/* Closes and frees; open requests get no callback (their owner does this). Clears the caller's
 * pointer. NULL is fine. */
void chan_close(struct chan **chp);

/* As if the peer had gone, at the end of this round: for a protocol error that a callback found.
 * Logged once, with `reason`. */
void chan_fail(struct chan *ch, const char *reason);

void *chan_owner(const struct chan *ch);

/* Sends without waiting for an answer; `id` binds messages that belong together, 0 for none. 0, or
 * -1 where the channel is gone, over its buffer, or the message over its bounds. */
int chan_send(
    struct chan *ch, uint32_t id, uint64_t trace, enum msg_type type, const void *msg) KP_MUST_USE;

/* Opens a request of several messages; send them with chan_send() under the number returned (never
 * 0). */
uint32_t chan_open(struct chan *ch, chan_reply_fn *on_reply, void *arg);

/* Sends a request of one message. Its number, or 0 where it could not be sent (no callback follows
 * then). */
uint32_t chan_call(struct chan *ch, uint64_t trace, enum msg_type type, const void *msg,
    chan_reply_fn *on_reply, void *arg) KP_MUST_USE;

/* The asker no longer wants replies to `id`; later ones are dropped. 0 is fine. */
void chan_forget(struct chan *ch, uint32_t id);

/* Answers the message that `head` came with. The descriptors in `msg` are duplicated: the caller
 * keeps its own. */
int chan_reply(struct chan *ch, const struct chan_head *head, enum msg_type type, const void *msg);

/* Answers REFUSED with `why`, or DONE with a count. */
int chan_refuse(struct chan *ch, const struct chan_head *head, const struct why *why);
int chan_done(struct chan *ch, const struct chan_head *head, uint64_t count);

/* Bytes that wait to be sent; above chan_busy()'s mark a sender that can wait should. */
size_t chan_pending(const struct chan *ch);
bool chan_busy(const struct chan *ch);

/* Calls back once when chan_busy() has become false again. */
void chan_on_idle(struct chan *ch, void (*on_idle)(void *arg), void *arg);

/* Stops and resumes reading from the peer: the only way to push back. */
void chan_pause(struct chan *ch, bool pause);

/* Sends what waits now instead of at the round's end. */
void chan_flush(struct chan *ch);

/* Takes a descriptor out of a received message: it is the caller's now. -1 where there was none. */
int chan_take_fd(int *fd);

/* From a REFUSED message to a why and back. */
void why_from_msg(struct why *why, const struct msg_refused *msg);
struct msg_refused why_to_msg(const struct why *why);

/* For clients without a loop (sendmail, mailq, kingpost): send one packet, wait for one message, at
 * most `timeout_ms`. */
struct chan_client;
struct chan_client *chan_client_new(int fd);
void chan_client_free(struct chan_client **cp);
int chan_client_send(struct chan_client *c, uint32_t id, enum msg_type type, const void *msg,
    struct why *why) KP_MUST_USE;
/* 1: a message; 0: the peer closed; -1: `why`. `msg` is valid until the next call; a descriptor in
 * it not taken with chan_take_fd() is then closed. */
int chan_client_receive(struct chan_client *c, int timeout_ms, struct chan_head *head,
    union msg_any **msg, struct why *why) KP_MUST_USE;

/* Where faults of peers are reported; lib/log sets it, the default is standard error. */
void chan_set_reporter(void (*report)(const char *peer, const char *text));
void chan_report(const char *peer, const char *text);

/* One packet against the rules, as it would come from the peer: for the fuzz targets. */
int chan_try_packet(struct str packet, const struct chan_rule *rules, struct why *why);

#endif
