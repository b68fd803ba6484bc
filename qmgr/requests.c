/* SPDX-License-Identifier: ISC */
/*
 * A request goes over the messages in memory, then over the index in chunks, read in a thread of
 * its own; between two chunks it waits for the client's channel to have room, and an action for
 * room in memory.
 */
#include "qmgr/requests.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/queue/summary.h"
#include "qmgr/destination.h"
#include "qmgr/disk.h"
#include "qmgr/message.h"

enum { CHUNK = 200, ROWS_MAX = 1 << 30, REQUESTS_MAX = 16 };

struct request {
	struct qmgr *q;
	struct chan *ch; /* NULL: whoever asked is gone */
	struct chan_head head;
	struct caller who;
	struct buf text; /* what the filter's texts lie in */
	struct msg_queue_list filter;
	const struct action *action; /* NULL: a listing */
	uint64_t count;
	bool waiting; /* for room */
	bool loading;
	/* one chunk */
	struct job job;
	char after[32];
	struct buf rows;
	int found; /* rows; -1: could not read */
	struct why why;
	LIST_ENTRY(request) link;
};

/* --- what is asked for --- */

static bool
contains(struct str text, struct str part)
{
	if (part.n == 0)
		return true;
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (str_caseeq(str_sub(text, i, part.n), part))
			return true;
	return false;
}

/* A whole address; or a domain, with or without "@" before it. */
static bool
address_matches(struct str address, struct str wanted)
{
	if (wanted.n == 0)
		return true;
	if (str_is(wanted, "<>"))
		return address.n == 0;
	if (str_chr(wanted, '@') > 0)
		return str_caseeq(address, wanted);
	ptrdiff_t at = str_rchr(address, '@');
	struct str has = str_from_at(address, (size_t)at + 1);
	if (at < 0)
		return false;
	if (wanted.p[0] == '.') /* the domain, and all below it */
		return str_caseeq(has, str_from_at(wanted, 1)) || str_caseends(has, wanted);
	return str_caseeq(has, wanted.p[0] == '@' ? str_from_at(wanted, 1) : wanted);
}

static bool
rcpts_match(const struct summary *sum, const struct msg_queue_list *f)
{
	bool recipient = f->recipient.n == 0, reason = contains(sum->reason, f->reason);

	for (size_t i = 0; i < sum->nrcpts && !(recipient && reason); i++) {
		recipient = recipient || address_matches(sum->rcpts[i].address, f->recipient);
		reason = reason || contains(sum->rcpts[i].reason, f->reason);
	}
	return recipient && reason;
}

static const char *
queue_of(const struct summary *sum)
{
	return str_is(sum->folder, "cur")       ? "deferred"
	       : str_is(sum->folder, "hold")    ? "hold"
	       : str_is(sum->folder, "corrupt") ? "corrupt"
						: "active";
}

static bool
matches(const struct request *r, const struct summary *sum)
{
	const struct msg_queue_list *f = &r->filter;
	uint64_t age = ((uint64_t)wall_us() - sum->arrived) / 1000000;

	if (!r->who.privileged && !(sum->local && sum->uid == r->who.uid))
		return false;
	if (f->id.n != 0 && !str_eq(f->id, sum->id))
		return false;
	if (f->queue.n != 0 && !str_is(f->queue, queue_of(sum)))
		return false;
	if ((f->older != 0 && age < f->older) || (f->younger != 0 && age > f->younger))
		return false;
	return address_matches(sum->sender, f->sender) && rcpts_match(sum, f);
}

/* --- the end of a request --- */

static void
request_free(struct request *r)
{
	LIST_REMOVE(r, link);
	buf_free(&r->text);
	buf_free(&r->rows);
	free(r);
}

static void
request_done(struct request *r)
{
	if (r->ch != NULL)
		(void)chan_done(
		    r->ch, &r->head, r->count); /* a client that is gone needs no answer */
	request_free(r);
}

void
requests_of_gone(struct qmgr *q, const struct chan *ch)
{
	struct request *r;

	LIST_FOREACH (r, &q->requests, link)
		if (r->ch == ch)
			r->ch = NULL;
}

/* --- listing --- */

static void
emit(struct request *r, const struct summary *sum)
{
	struct msg_queue_entry entry = {
	    .id = sum->id,
	    .queue = str_from(queue_of(sum)),
	    .arrived = sum->arrived,
	    .size = sum->size,
	    .sender = sum->sender,
	    .next = sum->next,
	    .attempts = sum->attempts,
	    .expired = sum->expire != 0,
	    .reason = sum->reason,
	};

	if (r->ch == NULL || chan_reply(r->ch, &r->head, MSG_QUEUE_ENTRY, &entry) == -1)
		return;
	for (size_t i = 0; i < sum->nrcpts; i++) {
		struct msg_queue_rcpt rcpt = {
		    .address = sum->rcpts[i].address,
		    .original = sum->rcpts[i].original,
		    .reason = sum->rcpts[i].reason,
		    .transport = sum->rcpts[i].transport,
		    .nexthop = sum->rcpts[i].nexthop,
		    .status = sum->rcpts[i].status,
		};
		if (chan_reply(r->ch, &r->head, MSG_QUEUE_RCPT, &rcpt) == -1)
			return;
	}
	r->count++;
}

static bool
full(const struct request *r)
{
	return r->filter.limit != 0 && r->count >= r->filter.limit;
}

/* --- actions --- */

struct action {
	const char *name;
	/* On a message in memory (`fresh`: loaded for this). May free it. */
	void (*act)(struct message *m, bool fresh);
	const char *only; /* the folder that it makes sense in; NULL: any */
	bool memory;      /* it makes sense on messages that are being delivered */
	bool needs_room;  /* what it touches stays in memory for a while */
};

static void
act_hold(struct message *m, bool fresh)
{
	(void)fresh;
	if (m->place == PLACE_FILE && m->folder == FOLDER_HOLD)
		message_release(m);
	else
		message_wish(m, WISH_HOLD, STR_EMPTY);
}

static void
act_release(struct message *m, bool fresh)
{
	(void)fresh;
	message_wish(m, WISH_RELEASE, STR_EMPTY);
}

static void
act_delete(struct message *m, bool fresh)
{
	(void)fresh;
	message_wish(m, WISH_DELETE, STR_EMPTY);
}

static void
act_flush(struct message *m, bool fresh)
{
	if (fresh)
		message_activate(m);
}

static void
act_requeue(struct message *m, bool fresh)
{
	(void)fresh;
	message_wish(m, WISH_REQUEUE, STR_EMPTY);
}

static void
act_expire(struct message *m, bool fresh)
{
	m->st.expire = true;
	m->scheduled = true;
	if (fresh)
		message_activate(m);
}

static const struct action actions[] = {
    {"hold",    act_hold,    NULL,   true,  false},
    {"release", act_release, "hold", false, true },
    {"delete",  act_delete,  NULL,   true,  false},
    {"flush",   act_flush,   "cur",  false, true },
    {"requeue", act_requeue, NULL,   true,  true },
    {"expire",  act_expire,  "cur",  true,  true },
};

static const struct action *
find_action(struct str name)
{
	for (size_t i = 0; i < NELEM(actions); i++)
		if (str_is(name, actions[i].name))
			return &actions[i];
	return NULL;
}

static void
act(struct request *r, struct message *m, bool fresh)
{
	char who[32];

	snprintf(who, sizeof who, "uid %lu", (unsigned long)r->who.uid);
	struct ev_queue_action ev = {
	    .queue_id = str_from(m->st.head.id),
	    .action = str_from(r->action->name),
	    .who = str_from(who),
	};
	log_event(m->st.env.trace, EV_QUEUE_ACTION, &ev);
	r->count++;
	r->action->act(m, fresh);
}

/* --- over memory --- */

static void
over_memory(struct request *r)
{
	struct qmgr *q = r->q;
	struct str key;
	void *value;
	size_t cursor = 0, n = 0;
	char(*ids)[HEAD_ID_MAX] = xcalloc(map_count(q->messages) + 1, sizeof *ids);

	/* First their names: an action changes the map. */
	while (map_next(q->messages, &cursor, &key, &value)) {
		struct summary sum;
		state_summary(&((struct message *)value)->st, "active", &sum);
		if (matches(r, &sum))
			str_copy(ids[n++], sizeof *ids, key);
		summary_clear(&sum);
	}
	for (size_t i = 0; i < n && !full(r); i++) {
		struct message *m = message_find(q, str_from(ids[i]));
		struct summary sum;
		if (m == NULL)
			continue;
		if (r->action != NULL) {
			if (r->action->memory)
				act(r, m, false);
			continue;
		}
		state_summary(&m->st, "active", &sum);
		emit(r, &sum);
		summary_clear(&sum);
	}
	free(ids);
}

/* --- over the index --- */

static struct request *
request_of(struct job *job)
{
	return (struct request *)((char *)job - offsetof(struct request, job));
}

static int
on_row(void *arg, const struct summary *sum)
{
	struct request *r = arg;
	size_t start = r->rows.n;
	static const char length[8];

	if (buf_add(&r->rows, length, sizeof length) == -1)
		return -1;
	summary_encode(sum, &r->rows);
	uint64_t n = r->rows.n - start - sizeof length;
	memcpy(r->rows.p + start, &n, sizeof n);
	return 0;
}

/* What lies in corrupt/: its names, and the reasons beside them. */
static int
on_corrupt(void *arg, const char *name)
{
	struct request *r = arg;
	int dir = r->q->folders.fd[FOLDER_CORRUPT];
	struct buf reason;
	struct stat st;
	char path[300];

	if (str_ends(str_from(name), STR(".reason")) ||
	    fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	buf_init(&reason, 2000);
	snprintf(path, sizeof path, "%s.reason", name);
	if (file_read(dir, path, &reason, NULL) == -1)
		buf_reset(&reason);
	struct summary sum = {
	    .id = str_sub(str_from(name), 0, MSG_ID_MAX),
	    .folder = STR("corrupt"),
	    .reason = str_sub(str_trim(buf_view(&reason)), 0, MSG_TEXT_MAX),
	    .size = (uint64_t)st.st_size,
	    .arrived = (uint64_t)st.st_mtime * 1000000,
	};
	int rc = on_row(r, &sum);
	buf_free(&reason);
	return rc;
}

/* In the reader's thread: no transaction outlives a chunk. */
static void
chunk_run(struct job *job)
{
	struct request *r = request_of(job);

	buf_reset(&r->rows);
	if (str_is(r->filter.queue, "corrupt")) {
		int rc = r->action == NULL
			     ? folder_each(r->q->folders.fd[FOLDER_CORRUPT], on_corrupt, r, &r->why)
			     : 0;
		r->found = rc == -1 ? -1 : 0;
	} else if (r->filter.id.n != 0)
		r->found = qindex_get(r->q->index, r->filter.id, on_row, r, &r->why);
	else
		r->found = qindex_list(r->q->index, r->after, CHUNK, on_row, r, &r->why);
}

static void next_chunk(struct request *r);

static void
on_loaded(struct load_job *job)
{
	struct request *r = job->arg;

	for (size_t i = 0; i < job->nfound; i++) {
		if (r->action->only != NULL &&
		    strcmp(r->action->only, folder_name(job->found[i].folder)) != 0)
			continue;
		struct message *m = message_from_file(r->q, &job->found[i]);
		if (m != NULL)
			act(r, m, true);
	}
	r->loading = false;
	next_chunk(r);
}

static void
one_row(struct request *r, const struct summary *sum, struct load_job **load)
{
	char id[HEAD_ID_MAX];

	if (full(r) || message_find(r->q, sum->id) != NULL || !matches(r, sum))
		return;
	if (r->action == NULL) {
		emit(r, sum);
		return;
	}
	if (*load == NULL)
		*load = load_job_new(r->q, on_loaded, r);
	if (str_copy(id, sizeof id, sum->id))
		load_job_add(*load, id);
}

static void
chunk_done(struct job *job)
{
	struct request *r = request_of(job);
	struct load_job *load = NULL;
	struct summary sum;
	uint64_t n;

	if (r->found == -1)
		log_error("%s", r->why.text);
	for (struct str rest = buf_view(&r->rows); rest.n > sizeof n;
	     rest = str_from_at(rest, (size_t)n)) {
		memcpy(&n, rest.p, sizeof n);
		rest = str_from_at(rest, sizeof n);
		if (summary_decode(&sum, str_sub(rest, 0, (size_t)n), NULL) == -1)
			continue;
		one_row(r, &sum, &load);
		summary_clear(&sum);
	}
	if (load != NULL) {
		r->loading = true;
		load_submit(load);
	} else
		next_chunk(r);
}

static void
on_room(void *arg)
{
	requests_tick(arg);
}

/* The next part of the index, when there is room for what it brings. */
static void
next_chunk(struct request *r)
{
	bool more = r->found == CHUNK && r->filter.id.n == 0;

	if (!more || full(r) || r->ch == NULL) {
		request_done(r);
		return;
	}
	if (chan_busy(r->ch) ||
	    (r->action != NULL && r->action->needs_room && message_room(r->q) < CHUNK)) {
		r->waiting = true;
		if (chan_busy(r->ch))
			chan_on_idle(r->ch, on_room, r->q);
		return;
	}
	r->job = (struct job){.run = chunk_run, .done = chunk_done};
	jobs_add(r->q->reader, &r->job);
}

/* --- beginning --- */

static struct str
copy(struct buf *b, struct str s)
{
	size_t at = b->n;

	if (buf_str(b, s) == -1)
		panic("filter too large");
	return str_make(b->p + at, s.n);
}

size_t
requests_of(const struct qmgr *q, const struct chan *ch)
{
	const struct request *r;
	size_t n = 0;

	LIST_FOREACH (r, &q->requests, link)
		n += r->ch == ch;
	return n;
}

static void
start(struct qmgr *q, struct chan *ch, const struct chan_head *head, const struct caller *who,
    const struct msg_queue_list *f, const struct action *action)
{
	struct request *r = xcalloc(1, sizeof *r);
	size_t n = f->id.n + f->sender.n + f->recipient.n + f->queue.n + f->reason.n + 1;

	*r = (struct request){.q = q, .ch = ch, .head = *head, .who = *who, .filter = *f};
	buf_init(&r->text, n);
	buf_init(&r->rows, ROWS_MAX);
	if (buf_room(&r->text, n) == NULL)
		panic("filter too large");
	r->filter.id = copy(&r->text, f->id);
	r->filter.sender = copy(&r->text, f->sender);
	r->filter.recipient = copy(&r->text, f->recipient);
	r->filter.queue = copy(&r->text, f->queue);
	r->filter.reason = copy(&r->text, f->reason);
	r->action = action;
	r->found = CHUNK;
	LIST_INSERT_HEAD(&q->requests, r, link);
	over_memory(r);
	if (r->filter.id.n != 0) {
		r->job = (struct job){.run = chunk_run, .done = chunk_done};
		jobs_add(q->reader, &r->job);
	} else
		next_chunk(r);
}

void
requests_refuse(struct chan *ch, const struct chan_head *head, const char *text)
{
	struct why why;

	why_perm(&why, "5.7.1", "%s", text);
	(void)chan_refuse(ch, head, &why); /* a client that is gone needs no answer */
}

void
requests_list(struct qmgr *q, struct chan *ch, const struct chan_head *head,
    const struct caller *who, const struct msg_queue_list *f)
{
	if (requests_of(q, ch) >= REQUESTS_MAX)
		requests_refuse(ch, head, "too many requests at once");
	else
		start(q, ch, head, who, f, NULL);
}

void
requests_act(struct qmgr *q, struct chan *ch, const struct chan_head *head,
    const struct caller *who, const struct msg_queue_act *m)
{
	const struct action *action = find_action(m->action);
	struct msg_queue_list f = {
	    .id = m->id,
	    .sender = m->sender,
	    .recipient = m->recipient,
	    .queue = m->queue,
	    .reason = m->reason,
	    .older = m->older,
	    .younger = m->younger,
	    .limit = m->limit,
	};

	if (!who->privileged)
		requests_refuse(ch, head, "only operators may do this");
	else if (action == NULL)
		requests_refuse(ch, head, "no such action");
	else if (requests_of(q, ch) >= REQUESTS_MAX)
		requests_refuse(ch, head, "too many requests at once");
	else {
		if (action->act == act_flush)
			destination_revive_all(q);
		start(q, ch, head, who, &f, action);
	}
}

void
requests_tick(struct qmgr *q)
{
	struct request *r, *next;

	for (r = LIST_FIRST(&q->requests); r != NULL; r = next) {
		next = LIST_NEXT(r, link);
		if (!r->waiting)
			continue;
		r->waiting = false;
		next_chunk(r);
	}
}
