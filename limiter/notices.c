/* SPDX-License-Identifier: ISC */
/*
 * A notice is a fact "notice LOGIN", whose text is the reason and whose count says whether bounce
 * has it (SENT). In memory is only what is due: a notice that bounce takes just before one of the
 * two dies may come a second time, none is lost.
 */
#include "limiter/notices.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"

enum {
	DUE_S = 24 * 3600, /* what bounce does not take for so long is not told any more */
	SENT_S = 3600,     /* a hold lasts an hour at most */
	AGAIN_MS = 10 * 1000,
	DUE = 1,
	SENT = 2,
};

struct notice {
	struct limiter *l;
	char *login;
	int64_t at; /* not before */
	struct chan *bounce;
	uint32_t request; /* 0: not asked now */
	bool complained;
	TAILQ_ENTRY(notice) link;
};

struct notices {
	TAILQ_HEAD(, notice) due;
};

struct notices *
notices_new(void)
{
	struct notices *all = xcalloc(1, sizeof *all);

	TAILQ_INIT(&all->due);
	return all;
}

static void
drop(struct notices *all, struct notice *n)
{
	if (n->request != 0)
		chan_forget(n->bounce, n->request);
	TAILQ_REMOVE(&all->due, n, link);
	free(n->login);
	free(n);
}

void
notices_free(struct notices **np)
{
	struct notices *all = *np;
	struct notice *n;

	*np = NULL;
	if (all == NULL)
		return;
	while ((n = TAILQ_FIRST(&all->due)) != NULL)
		drop(all, n);
	free(all);
}

static void
make_due(struct limiter *l, struct str login)
{
	struct notice *n = xcalloc(1, sizeof *n);

	*n = (struct notice){.l = l, .login = str_dup(login)};
	TAILQ_INSERT_TAIL(&l->notices->due, n, link);
}

static void
recall(const struct fact *fact, void *arg)
{
	if (fact->count == DUE)
		make_due(arg, str_from(fact->key));
}

void
notices_recall(struct limiter *l)
{
	facts_each(l->facts, STR("notice"), recall, l);
}

void
notices_add(struct limiter *l, struct str login, struct str reason)
{
	if (facts_get(l->facts, STR("notice"), login) != NULL)
		return;
	(void)facts_put(l->facts, STR("notice"), login, DUE_S, DUE, reason);
	make_due(l, login);
}

void
notices_over(struct limiter *l, struct str login)
{
	const struct fact *fact = facts_get(l->facts, STR("notice"), login);

	if (fact != NULL && fact->count == SENT)
		(void)facts_remove(l->facts, STR("notice"), login);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct notice *n = arg;
	struct str login = str_from(n->login);
	const struct fact *fact = facts_get(n->l->facts, STR("notice"), login);

	n->request = 0;
	n->at = clock_ms() + AGAIN_MS;
	if (msg != NULL && head->type == MSG_DONE) {
		char *reason = xstrdup(fact != NULL ? fact->text : "");
		(void)facts_put(n->l->facts, STR("notice"), login, SENT_S, SENT, str_from(reason));
		free(reason);
		drop(n->l->notices, n);
	} else if (msg != NULL && head->type == MSG_REFUSED && !n->complained) {
		log_warning("account %s: the operator cannot be told yet: %.*s", n->login,
		    STR_ARG(msg->refused.text));
		n->complained = true;
	}
}

static void
ask(struct limiter *l, struct notice *n)
{
	const struct fact *fact = facts_get(l->facts, STR("notice"), str_from(n->login));

	if (fact == NULL) { /* too old, or pushed out by newer facts */
		drop(l->notices, n);
		return;
	}
	n->bounce = service_peer(l->s, PROGRAM_BOUNCE, 0);
	struct msg_account_notice msg = {
	    .login = str_from(n->login),
	    .reason = str_sub(str_from(fact->text), 0, MSG_TEXT_MAX),
	    .when = (uint64_t)fact->first,
	};
	if (n->bounce != NULL)
		n->request = chan_call(n->bounce, 0, MSG_ACCOUNT_NOTICE, &msg, on_answer, n);
	n->at = clock_ms() + AGAIN_MS;
}

void
notices_tick(struct limiter *l)
{
	struct notice *n, *next;
	int64_t now = clock_ms();

	for (n = TAILQ_FIRST(&l->notices->due); n != NULL; n = next) {
		next = TAILQ_NEXT(n, link);
		if (n->request == 0 && n->at <= now)
			ask(l, n);
	}
}
