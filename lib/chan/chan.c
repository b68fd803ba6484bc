/* SPDX-License-Identifier: ISC */
/*
 * A channel: packets out, packets in, and the table of requests that wait for a reply.
 *
 * Out: messages are added to the last packet of a queue; the queue is sent at the end of the round,
 * or when the socket has room again. In: a packet is received into the loop's room and served
 * message by message. A channel that ends while it serves is freed when the packet's walk is over
 * (`serving`). Hostile: the peer. Invariant: `dead` channels send nothing and are freed by
 * on_dead() at the end of the round.
 */
#include "lib/chan/chan.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/chan/loop.h"
#include "lib/chan/packet.h"

enum {
	BUSY_MARK = 1024 * 1024,        /* chan_busy() from here on */
	PENDING_MAX = 64 * 1024 * 1024, /* the peer does not read at all: sending fails */
	PACKETS_A_ROUND = 64,           /* then others have their turn */
	SLOT_BITS = 20,                 /* of a request id; the rest is the slot's serial number */
};

struct waiting {
	chan_reply_fn *on_reply; /* NULL: the slot is free */
	void *arg;
	uint32_t serial;
	uint32_t next_free;
};

struct out {
	struct packet packet;
	TAILQ_ENTRY(out) link;
};

struct chan {
	struct loop *loop;
	int fd;
	char *name;
	const struct chan_rule *rules;
	void *owner;
	chan_gone_fn *on_gone;
	struct event *ev_read, *ev_write;
	struct loop_task flush, dead_task;
	TAILQ_HEAD(outs, out) out;
	struct out *spare;
	size_t pending;
	struct waiting *waiting;
	uint32_t nwaiting, free_slot; /* free_slot counts from 1; 0: none */
	void (*on_idle)(void *arg);
	void *idle_arg;
	bool was_busy, dead, serving, closed;
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

static void
on_round_end(void *arg)
{
	chan_flush(arg);
}

/* The end of a dead channel: whoever waits for a reply hears of it, then the owner. */
static void
on_dead(void *arg)
{
	struct chan *ch = arg;

	for (uint32_t i = 0; i < ch->nwaiting && !ch->closed; i++) {
		struct waiting w = ch->waiting[i];
		if (w.on_reply == NULL)
			continue;
		struct chan_head head = {.id = (i + 1) | w.serial << SLOT_BITS};
		chan_forget(ch, head.id);
		ch->serving = true;
		w.on_reply(w.arg, &head, NULL);
		ch->serving = false;
	}
	if (!ch->closed && ch->on_gone != NULL) {
		ch->serving = true;
		ch->on_gone(ch, ch->owner);
		ch->serving = false;
	}
	chan_close(&ch);
}

struct chan *
chan_new(struct loop *loop, int fd, const char *name, const struct chan_rule *rules, void *owner,
    chan_gone_fn *on_gone)
{
	struct chan *ch = xcalloc(1, sizeof *ch);

	*ch = (struct chan){
	    .loop = loop,
	    .fd = fd,
	    .name = xstrdup(name),
	    .rules = rules,
	    .owner = owner,
	    .on_gone = on_gone,
	    .flush = {.on_round_end = on_round_end, .arg = ch},
	    .dead_task = {.on_round_end = on_dead,      .arg = ch},
	};
	TAILQ_INIT(&ch->out);
	ch->ev_read = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_readable, ch);
	ch->ev_write = event_new(loop->base, fd, EV_WRITE, on_writable, ch);
	if (ch->ev_read == NULL || ch->ev_write == NULL || event_add(ch->ev_read, NULL) == -1)
		fatal("channel %s: no event", name);
	return ch;
}

static void
out_free(struct out *o)
{
	if (o == NULL)
		return;
	packet_reset(&o->packet);
	buf_free(&o->packet.bytes);
	free(o);
}

static void
chan_free(struct chan *ch)
{
	struct out *o;

	loop_cancel(ch->loop, &ch->flush);
	loop_cancel(ch->loop, &ch->dead_task);
	event_free(ch->ev_read);
	event_free(ch->ev_write);
	while ((o = TAILQ_FIRST(&ch->out)) != NULL) {
		TAILQ_REMOVE(&ch->out, o, link);
		out_free(o);
	}
	out_free(ch->spare);
	close(ch->fd);
	free(ch->waiting);
	free(ch->name);
	free(ch);
}

void
chan_close(struct chan **chp)
{
	struct chan *ch = *chp;

	*chp = NULL;
	if (ch == NULL)
		return;
	/* What was said before the close still leaves, as far as the socket takes it. */
	bool last_words = !ch->closed && !ch->dead;
	ch->closed = true;
	if (last_words)
		chan_flush(ch);
	if (!ch->serving)
		chan_free(ch);
}

static void
die(struct chan *ch)
{
	if (ch->dead)
		return;
	ch->dead = true;
	event_del(ch->ev_read);
	event_del(ch->ev_write);
	loop_cancel(ch->loop, &ch->flush);
	loop_defer(ch->loop, &ch->dead_task);
}

void
chan_fail(struct chan *ch, const char *reason)
{
	if (ch->dead)
		return;
	chan_report(ch->name, reason);
	die(ch);
}

void *
chan_owner(const struct chan *ch)
{
	return ch->owner;
}

/* --- sending --- */

static struct out *
out_new(struct chan *ch)
{
	struct out *o = ch->spare;

	ch->spare = NULL;
	if (o == NULL) {
		o = xcalloc(1, sizeof *o);
		buf_init(&o->packet.bytes, PACKET_MAX);
	}
	TAILQ_INSERT_TAIL(&ch->out, o, link);
	return o;
}

static void
out_done(struct chan *ch, struct out *o)
{
	TAILQ_REMOVE(&ch->out, o, link);
	ch->pending -= o->packet.bytes.n;
	packet_reset(&o->packet);
	if (ch->spare == NULL)
		ch->spare = o;
	else
		out_free(o);
}

static int
send_message(struct chan *ch, const struct chan_head *head, bool reply, const void *msg)
{
	struct why why = {0};
	bool full = true;

	if (ch->dead || ch->closed)
		return -1;
	if (ch->pending > PENDING_MAX) {
		chan_fail(ch, "the peer does not read");
		return -1;
	}
	struct out *o = TAILQ_LAST(&ch->out, outs);
	size_t before = o != NULL ? o->packet.bytes.n : 0;
	if (o == NULL || (packet_add(&o->packet, head, reply, msg, &full, &why) == -1 && full)) {
		o = out_new(ch);
		before = 0;
		full = packet_add(&o->packet, head, reply, msg, &full, &why) == -1;
	} else {
		full = o->packet.bytes.n == before;
	}
	ch->pending += o->packet.bytes.n - before;
	if (o->packet.bytes.n == 0)
		out_done(ch, o);
	if (full) {
		chan_report(ch->name, why.text);
		return -1;
	}
	if (!event_pending(ch->ev_write, EV_WRITE, NULL))
		loop_defer(ch->loop, &ch->flush);
	return 0;
}

int
chan_send(struct chan *ch, uint32_t id, uint64_t trace, enum msg_type type, const void *msg)
{
	struct chan_head head = {id, trace, type};

	return send_message(ch, &head, false, msg);
}

int
chan_reply(struct chan *ch, const struct chan_head *to, enum msg_type type, const void *msg)
{
	struct chan_head head = {to->id, to->trace, type};

	return send_message(ch, &head, true, msg);
}

int
chan_refuse(struct chan *ch, const struct chan_head *head, const struct why *why)
{
	struct msg_refused msg = why_to_msg(why);

	return chan_reply(ch, head, MSG_REFUSED, &msg);
}

int
chan_done(struct chan *ch, const struct chan_head *head, uint64_t count)
{
	struct msg_done msg = {.count = count};

	return chan_reply(ch, head, MSG_DONE, &msg);
}

static void
become_idle(struct chan *ch)
{
	if (!ch->was_busy || ch->pending > BUSY_MARK / 2)
		return;
	ch->was_busy = false;
	if (ch->on_idle != NULL)
		ch->on_idle(ch->idle_arg);
}

void
chan_flush(struct chan *ch)
{
	struct out *o;

	if (ch->dead)
		return;
	while ((o = TAILQ_FIRST(&ch->out)) != NULL) {
		if (packet_send(ch->fd, &o->packet) == 0) {
			out_done(ch, o);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			event_add(ch->ev_write, NULL);
			return;
		}
		die(ch); /* EPIPE and the like: the peer is gone */
		return;
	}
	if (!ch->closed)
		become_idle(ch);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	chan_flush(arg);
}

size_t
chan_pending(const struct chan *ch)
{
	return ch->pending;
}

bool
chan_busy(const struct chan *ch)
{
	return ch->pending > BUSY_MARK;
}

void
chan_on_idle(struct chan *ch, void (*on_idle)(void *arg), void *arg)
{
	ch->on_idle = on_idle;
	ch->idle_arg = arg;
	ch->was_busy = on_idle != NULL;
}

/* --- requests --- */

uint32_t
chan_open(struct chan *ch, chan_reply_fn *on_reply, void *arg)
{
	if (ch->free_slot == 0) {
		uint32_t n = ch->nwaiting != 0 ? ch->nwaiting * 2 : 16;
		if (n >> SLOT_BITS != 0)
			fatal("channel %s: too many requests", ch->name);
		ch->waiting = xrealloc(ch->waiting, n * sizeof *ch->waiting);
		for (uint32_t i = n; i-- > ch->nwaiting;) {
			ch->waiting[i] = (struct waiting){.next_free = ch->free_slot};
			ch->free_slot = i + 1;
		}
		ch->nwaiting = n;
	}
	uint32_t slot = ch->free_slot;
	struct waiting *w = &ch->waiting[slot - 1];
	ch->free_slot = w->next_free;
	w->serial = (w->serial + 1) & ((1u << (32 - SLOT_BITS)) - 1);
	w->on_reply = on_reply;
	w->arg = arg;
	return slot | w->serial << SLOT_BITS;
}

static struct waiting *
find_waiting(struct chan *ch, uint32_t id)
{
	uint32_t slot = id & ((1u << SLOT_BITS) - 1);

	if (slot == 0 || slot > ch->nwaiting)
		return NULL;
	struct waiting *w = &ch->waiting[slot - 1];
	return w->on_reply != NULL && w->serial == id >> SLOT_BITS ? w : NULL;
}

void
chan_forget(struct chan *ch, uint32_t id)
{
	struct waiting *w = find_waiting(ch, id);

	if (w == NULL)
		return;
	w->on_reply = NULL;
	w->next_free = ch->free_slot;
	ch->free_slot = id & ((1u << SLOT_BITS) - 1);
}

uint32_t
chan_call(struct chan *ch, uint64_t trace, enum msg_type type, const void *msg,
    chan_reply_fn *on_reply, void *arg)
{
	uint32_t id = chan_open(ch, on_reply, arg);

	if (chan_send(ch, id, trace, type, msg) == 0)
		return id;
	chan_forget(ch, id);
	return 0;
}

/* --- receiving --- */

static void
serve_reply(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct waiting *w = find_waiting(ch, head->id);

	if (w == NULL)
		return; /* forgotten meanwhile */
	struct waiting copy = *w;
	if (msg_ends(head->type))
		chan_forget(ch, head->id);
	copy.on_reply(copy.arg, head, msg);
}

static chan_serve_fn *
find_rule(const struct chan_rule *rules, enum msg_type type)
{
	for (; rules != NULL && rules->type != MSG_NONE; rules++)
		if (rules->type == type)
			return rules->serve;
	return NULL;
}

/* Our own shortage of descriptors: the asker hears "later", a reply becomes one that refuses. */
static void
serve_cut(struct chan *ch, const struct packet_part *part)
{
	struct why why;

	why_temp(&why, "4.3.0", "out of file descriptors");
	if (!part->reply) {
		(void)chan_refuse(ch, &part->head, &why); /* a dead channel needs no answer */
		return;
	}
	union msg_any msg = {.refused = why_to_msg(&why)};
	struct chan_head head = part->head;
	head.type = MSG_REFUSED;
	serve_reply(ch, &head, &msg);
}

static int
serve_part(struct chan *ch, const struct packet_part *part, const int *fds, struct why *why)
{
	union msg_any msg;
	chan_serve_fn *serve = part->reply ? NULL : find_rule(ch->rules, part->head.type);

	if (!part->reply && serve == NULL)
		return why_perm(
		    why, NULL, "message %s is not served here", msg_wire(part->head.type)->name);
	if (packet_decode(part, fds, &msg, why) == -1)
		return -1;
	if (part->reply)
		serve_reply(ch, &part->head, &msg);
	else
		serve(ch, &part->head, &msg);
	packet_close_fds(part->head.type, &msg);
	return 0;
}

/* Serves all messages of a packet; returns how many descriptors were used up, or -1. */
static int
serve_packet(struct chan *ch, struct str rest, const int *fds, size_t nfds, size_t *used, bool cut,
    struct why *why)
{
	struct packet_part part;
	int more;

	while ((more = packet_next(&rest, &part, why)) == 1 && !ch->dead && !ch->closed) {
		if (cut && part.nfds > 0) {
			serve_cut(ch, &part);
			continue;
		}
		if (part.nfds > nfds - *used)
			return why_perm(why, NULL, "a descriptor is missing");
		size_t first = *used;
		if (serve_part(ch, &part, fds + first, why) == -1)
			return -1;
		*used += part.nfds;
	}
	if (more == 0 && !cut && *used != nfds)
		return why_perm(why, NULL, "unexpected descriptor");
	return more == -1 ? -1 : 0;
}

static bool
receive(struct chan *ch)
{
	int fds[PACKET_FDS_MAX];
	size_t nfds, used = 0;
	bool cut;
	struct why why = {0};

	ssize_t n = packet_receive(ch->fd, ch->loop->packet, fds, &nfds, &cut);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		if (n == -1 && errno == EMSGSIZE)
			chan_fail(ch, "a packet is too long");
		die(ch);
		return false;
	}
	int result =
	    serve_packet(ch, str_make(ch->loop->packet, (size_t)n), fds, nfds, &used, cut, &why);
	while (used < nfds)
		close(fds[used++]);
	if (result == -1)
		chan_fail(ch, why.text);
	return !ch->dead && !ch->closed;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct chan *ch = arg;

	(void)fd;
	(void)what;
	ch->serving = true;
	for (int i = 0; i < PACKETS_A_ROUND && receive(ch); i++)
		;
	ch->serving = false;
	if (ch->closed)
		chan_free(ch);
}

void
chan_pause(struct chan *ch, bool pause)
{
	if (ch->dead)
		return;
	if (pause)
		event_del(ch->ev_read);
	else
		event_add(ch->ev_read, NULL);
}

int
chan_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void
why_from_msg(struct why *why, const struct msg_refused *msg)
{
	if (msg->class == WHY_PERM)
		why_perm(why, NULL, "%.*s", STR_ARG(msg->text));
	else
		why_temp(why, NULL, "%.*s", STR_ARG(msg->text));
	why->smtp = (int)msg->smtp;
	(void)str_copy(why->code, sizeof why->code, msg->code); /* its bound is the message's */
}

struct msg_refused
why_to_msg(const struct why *why)
{
	return (struct msg_refused){
	    .class = why->class,
	    .smtp = (uint64_t)why->smtp,
	    .code = str_from(why->code),
	    .text = str_from(why->text),
	};
}

int
chan_try_packet(struct str packet, const struct chan_rule *rules, struct why *why)
{
	struct packet_part part;
	union msg_any msg;
	const int none[WIRE_FDS_MAX] = {-1, -1, -1, -1};
	int more;

	while ((more = packet_next(&packet, &part, why)) == 1) {
		if (!part.reply && rules != NULL && find_rule(rules, part.head.type) == NULL)
			return why_perm(why, NULL, "not served");
		if (packet_decode(&part, none, &msg, why) == -1)
			return -1;
	}
	return more;
}
