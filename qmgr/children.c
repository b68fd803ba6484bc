/* SPDX-License-Identifier: ISC */
/*
 * The key of a child is "ID index leaf"; ID is the parent's. The parent is nearly always in memory,
 * since its delivery is what made the child; if it is not (qmgr has just started) it is loaded. A
 * parent that is nowhere is done, and needs no memory.
 */
#include "qmgr/children.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/entry.h"
#include "qmgr/disk.h"
#include "qmgr/message.h"
#include "qmgr/record.h"

struct wait {
	char *parent; /* the key */
	char child[HEAD_ID_MAX];
	struct chan *ch; /* to be answered; NULL: a child is to be noted */
	struct chan_head head;
};

static bool
parent_id(struct str key, char *id)
{
	struct str word;

	return str_word(&key, " ", &word) && qid_valid(word) && str_copy(id, HEAD_ID_MAX, word);
}

static void
note(struct message *m, struct str key, const char *child)
{
	struct entry e = {.kind = ENTRY_CHILD, .text = key, .child = str_from(child)};

	if (state_child(&m->st, key) != NULL)
		return;
	state_apply(&m->st, &e);
	m->new_children++;
	record_message(m);
}

static void
answer(const struct message *m, struct chan *ch, const struct chan_head *head, struct str key)
{
	const struct state_child *child = m != NULL ? state_child(&m->st, key) : NULL;

	if (child != NULL) {
		struct msg_mail_queued msg = {.queue_id = str_from(child->id)};
		(void)chan_reply(
		    ch, head, MSG_MAIL_QUEUED, &msg); /* a partner that is gone needs no answer */
	} else
		(void)chan_done(ch, head, 0);
}

static bool
still_there(struct qmgr *q, const struct chan *ch)
{
	struct chan *at;

	for (size_t i = 0; (at = service_peer_at(q->service, PROGRAM_CLEANUP, i)) != NULL; i++)
		if (at == ch)
			return true;
	return false;
}

/* A parent that cannot be read may have a child: "could not tell" is not "none". */
static void
answer_loaded(const struct load_job *job, const struct message *m, const struct wait *w)
{
	struct why why;

	if (m != NULL || !job->unread) {
		answer(m, w->ch, &w->head, str_from(w->parent));
		return;
	}
	why_temp(&why, "4.3.0", "the queue cannot be read");
	(void)chan_refuse(w->ch, &w->head, &why); /* a partner that is gone needs no answer */
}

static void
on_loaded(struct load_job *job)
{
	struct wait *w = job->arg;
	struct qmgr *q = job->q;
	char id[HEAD_ID_MAX];
	struct message *m =
	    parent_id(str_from(w->parent), id) ? message_find(q, str_from(id)) : NULL;
	bool fresh =
	    m == NULL && job->nfound > 0 && (m = message_from_file(q, &job->found[0])) != NULL;

	if (w->ch == NULL && m != NULL)
		note(m, str_from(w->parent), w->child);
	if (w->ch != NULL && still_there(q, w->ch))
		answer_loaded(job, m, w);
	if (fresh && m->folder == FOLDER_HOLD)
		message_release(m);
	else if (fresh)
		message_activate(m);
	free(w->parent);
	free(w);
}

static void
load_parent(struct qmgr *q, const char *id, struct str key, const struct wait *template)
{
	struct wait *w = xcalloc(1, sizeof *w);

	*w = *template;
	w->parent = str_dup(key);
	struct load_job *job = load_job_new(q, on_loaded, w);
	load_job_add(job, id);
	load_submit(job);
}

void
children_note(struct qmgr *q, const struct envelope *env, const char *id)
{
	char parent[HEAD_ID_MAX];
	struct wait w = {0};

	if (env->parent.n == 0 || !parent_id(env->parent, parent))
		return;
	struct message *m = message_find(q, str_from(parent));
	if (m != NULL) {
		note(m, env->parent, id);
		return;
	}
	str_copy(w.child, sizeof w.child, str_from(id));
	load_parent(q, parent, env->parent, &w);
}

void
children_answer(struct qmgr *q, struct chan *ch, const struct chan_head *head, struct str key)
{
	char parent[HEAD_ID_MAX];
	struct wait w = {.ch = ch, .head = *head};

	/* By way of the disk's thread even for a parent in memory: children in files of their own
	 * may be on their way there. */
	if (parent_id(key, parent))
		load_parent(q, parent, key, &w);
	else
		answer(NULL, ch, head, key);
}
