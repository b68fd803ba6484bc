/* SPDX-License-Identifier: ISC */
/* Replay: the envelope never changes, the entries say what happened since, the last one of a kind
 * counts. */
#include "lib/queue/state.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/msg/fields.h"
#include "lib/queue/entry.h"
#include "lib/queue/summary.h"

int
state_init(struct state *st, const struct head *head, struct str envelope, struct why *why)
{
	*st = (struct state){.head = *head};
	st->bytes = xstrndup(envelope.p, envelope.n);
	if (envelope_decode(&st->env, str_make(st->bytes, envelope.n), head->content_size, why) ==
	    -1) {
		free(st->bytes);
		st->bytes = NULL;
		return -1;
	}
	st->rcpts = xcalloc(st->env.nrcpts, sizeof *st->rcpts);
	return 0;
}

static void
rcpt_clear(struct state_rcpt *rcpt)
{
	free(rcpt->text);
	free(rcpt->relay);
	free(rcpt->mta);
}

void
state_clear(struct state *st)
{
	for (size_t i = 0; i < st->env.nrcpts; i++)
		rcpt_clear(&st->rcpts[i]);
	for (size_t i = 0; i < st->nchildren; i++)
		free(st->children[i].parent);
	free(st->children);
	free(st->rcpts);
	envelope_clear(&st->env);
	free(st->bytes);
	free(st->held);
	*st = (struct state){0};
}

static void
set_text(char **to, struct str s)
{
	free(*to);
	*to = s.n != 0 ? str_dup(s) : NULL;
}

static void
apply_result(struct state *st, const struct entry *e)
{
	if (e->index >= st->env.nrcpts)
		return;
	struct state_rcpt *rcpt = &st->rcpts[e->index];
	if (state_rcpt_final(rcpt) && e->status == DELIVERY_DEFERRED)
		return;
	rcpt->status = e->status;
	rcpt->smtp = e->smtp;
	rcpt->when = e->when;
	str_copy(rcpt->code, sizeof rcpt->code, e->code);
	set_text(&rcpt->text, e->text);
	set_text(&rcpt->relay, e->relay);
	set_text(&rcpt->mta, e->mta);
}

static void
apply_notified(struct state *st, const struct entry *e)
{
	if (e->index < st->env.nrcpts && e->status < 32)
		st->rcpts[e->index].notices |= 1U << e->status;
}

static void
apply_child(struct state *st, const struct entry *e)
{
	if (state_child(st, e->text) != NULL)
		return;
	st->children = xrealloc(st->children, (st->nchildren + 1) * sizeof *st->children);
	struct state_child *child = &st->children[st->nchildren++];
	child->parent = str_dup(e->text);
	str_copy(child->id, sizeof child->id, e->child);
}

static void
apply_schedule(struct state *st, const struct entry *e)
{
	st->next = e->next;
	st->attempts = e->attempts;
	st->expire = e->expire != 0;
	set_text(&st->held, e->text);
}

void
state_apply(struct state *st, const struct entry *e)
{
	switch (e->kind) {
	case ENTRY_RESULT:
		apply_result(st, e);
		break;
	case ENTRY_NOTIFIED:
		apply_notified(st, e);
		break;
	case ENTRY_CHILD:
		apply_child(st, e);
		break;
	case ENTRY_SCHEDULE:
		apply_schedule(st, e);
		break;
	case ENTRY_DONE:
		st->done = true;
		break;
	case ENTRY_RCPT:
	case ENTRY_EDIT:
	case ENTRY_MOVED:
		break;
	}
}

void
state_apply_all(struct state *st, struct str bytes, uint64_t key, uint64_t base)
{
	struct entry e;
	size_t at = 0;

	while (entry_decode(bytes, key, base, &at, &e) == 1)
		state_apply(st, &e);
}

struct entry
state_result(const struct state *st, size_t index)
{
	const struct state_rcpt *rcpt = &st->rcpts[index];

	return (struct entry){
	    .kind = ENTRY_RESULT,
	    .index = index,
	    .status = rcpt->status,
	    .smtp = rcpt->smtp,
	    .when = rcpt->when,
	    .code = str_from(rcpt->code),
	    .text = str_from(rcpt->text),
	    .relay = str_from(rcpt->relay),
	    .mta = str_from(rcpt->mta),
	};
}

void
state_encode(const struct state *st, uint64_t key, uint64_t at, struct buf *out)
{
	struct entry e;
	uint64_t base = at - out->n;

	for (size_t i = 0; i < st->env.nrcpts; i++) {
		if (st->rcpts[i].status != DELIVERY_NONE) {
			e = state_result(st, i);
			entry_encode(&e, key, base + out->n, out);
		}
		for (unsigned action = 0; action < 32; action++) {
			e = (struct entry){.kind = ENTRY_NOTIFIED, .index = i, .status = action};
			if ((st->rcpts[i].notices & 1U << action) != 0)
				entry_encode(&e, key, base + out->n, out);
		}
	}
	for (size_t i = 0; i < st->nchildren; i++) {
		e = (struct entry){
		    .kind = ENTRY_CHILD,
		    .text = str_from(st->children[i].parent),
		    .child = str_from(st->children[i].id),
		};
		entry_encode(&e, key, base + out->n, out);
	}
	e = (struct entry){
	    .kind = ENTRY_SCHEDULE,
	    .next = st->next,
	    .attempts = st->attempts,
	    .expire = st->expire,
	    .text = str_from(st->held),
	};
	entry_encode(&e, key, base + out->n, out);
}

bool
state_rcpt_final(const struct state_rcpt *rcpt)
{
	return rcpt->status == DELIVERY_SENT || rcpt->status == DELIVERY_RELAYED ||
	       rcpt->status == DELIVERY_EXPANDED || rcpt->status == DELIVERY_BOUNCED;
}

const struct state_child *
state_child(const struct state *st, struct str parent)
{
	for (size_t i = 0; i < st->nchildren; i++)
		if (str_is(parent, st->children[i].parent))
			return &st->children[i];
	return NULL;
}

uint64_t
state_size(const struct state *st)
{
	return envelope_size(&st->env, st->head.content_size);
}

void
state_summary(const struct state *st, const char *folder, struct summary *sum)
{
	const struct envelope *env = &st->env;

	*sum = (struct summary){
	    .id = str_from(st->head.id),
	    .folder = str_from(folder),
	    .sender = env->sender,
	    .reason = str_from(st->held),
	    .size = state_size(st),
	    .arrived = st->head.arrived,
	    .next = st->next,
	    .attempts = st->attempts,
	    .expire = st->expire,
	    .local = (env->flags & MAIL_LOCAL) != 0,
	    .uid = env->uid,
	    .rcpts = xcalloc(env->nrcpts, sizeof *sum->rcpts),
	};
	for (size_t i = 0; i < env->nrcpts; i++) {
		const struct state_rcpt *rcpt = &st->rcpts[i];
		if (state_rcpt_final(rcpt) && rcpt->status != DELIVERY_BOUNCED)
			continue;
		sum->rcpts[sum->nrcpts++] = (struct summary_rcpt){
		    .address = env->rcpts[i].address,
		    .original = env->rcpts[i].original,
		    .reason = str_from(rcpt->text),
		    .transport = env->rcpts[i].transport,
		    .nexthop = env->rcpts[i].nexthop,
		    .status = rcpt->status,
		};
	}
}
