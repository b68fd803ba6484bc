/* SPDX-License-Identifier: ISC */
/*
 * Passwords against the suite's own accounts. A hash takes 20 ms and a change to the database a
 * sync: both are tasks of threads; beyond keeper_queue_max of them the answer is "later". An
 * account that is not there costs as much as one that is (lib/users/secret.h).
 */
#include "keeper/passwords.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/auth.h"
#include "keeper/backend.h"
#include "keeper/checkpassword.h"
#include "lib/base/clock.h"
#include "lib/base/layout.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/pool/pool.h"
#include "lib/service/service.h"
#include "lib/users/secret.h"
#include "lib/users/users.h"

struct passwords {
	struct auth *auth;
	struct users *users;
	struct pool *pool;
	TAILQ_HEAD(, task) changes;
	TAILQ_HEAD(, listing) listings;
};

struct task {
	struct pool_job job;
	struct passwords *p;
	void (*run)(struct task *t);
	void (*done)(struct task *t);

	/* a check */
	struct exchange *x; /* NULL: nobody wants to know any more */
	struct buf record, password;
	char *name;
	bool fits;

	/* a change */
	bool is_change;
	TAILQ_ENTRY(task) link;
	struct chan *ch; /* NULL: gone */
	struct chan_head head;
	enum users_change change;
	int rc;
	struct why why;
};

static struct task *
task_of(struct pool_job *job)
{
	return (struct task *)(void *)((char *)job - offsetof(struct task, job));
}

static struct task *
task_new(struct passwords *p)
{
	struct task *t = xcalloc(1, sizeof *t);

	*t = (struct task){
	    .p = p, .job = {.deadline = clock_ms() + p->auth->k->conf->keeper_auth_timeout}};
	buf_init(&t->record, SECRET_MAX);
	buf_init(&t->password, AUTH_DATA_MAX);
	return t;
}

static void
task_free(struct task *t)
{
	if (t->x != NULL)
		t->x->task = NULL;
	if (t->is_change)
		TAILQ_REMOVE(&t->p->changes, t, link);
	buf_free_secret(&t->record);
	buf_free_secret(&t->password);
	free(t->name);
	free(t);
}

static void
run_task(struct pool_job *job)
{
	struct task *t = task_of(job);

	t->run(t);
}

static void
on_task_done(struct pool_job *job)
{
	struct task *t = task_of(job);

	t->done(t);
	task_free(t);
}

static void
drop_task(struct pool_job *job)
{
	task_free(task_of(job));
}

struct passwords *
passwords_new(struct auth *a, struct why *why)
{
	struct passwords *p = xcalloc(1, sizeof *p);
	struct layout layout;
	char folder[PATH_MAX + 8];

	p->auth = a;
	TAILQ_INIT(&p->changes);
	TAILQ_INIT(&p->listings);
	if (layout_of(&layout, a->k->s->root, why) == -1)
		goto fail;
	snprintf(folder, sizeof folder, "%s/auth", layout.spool);
	p->users = users_open(folder, why);
	if (p->users != NULL)
		p->pool = pool_new(&a->k->s->loop, (size_t)a->k->conf->keeper_threads,
		    (size_t)a->k->conf->keeper_queue_max, run_task, on_task_done, drop_task, why);
	if (p->pool != NULL)
		return p;
fail:
	users_close(&p->users);
	free(p);
	return NULL;
}

/* --- accounts --- */

bool
passwords_name(const struct auth *a, struct str said, struct buf *name)
{
	const char *domain = a->k->conf->smtpd_sasl_local_domain;

	if (!users_name(said, name))
		return false;
	if (*domain == '\0' || str_chr(said, '@') >= 0)
		return true;
	return buf_printf(name, "@%s", domain) == 0 && name->n <= USERS_NAME_MAX;
}

int
passwords_record(struct auth *a, struct str said, struct buf *record, struct why *why)
{
	struct buf name = {.max = 1024};
	int found = 0;

	buf_reset(record);
	if (passwords_name(a, said, &name))
		found = users_get(a->passwords->users, buf_view(&name), record, why);
	buf_free(&name);
	return found;
}

struct str
passwords_seed(const struct auth *a)
{
	return users_seed(a->passwords->users);
}

/* --- checks --- */

static void
run_check(struct task *t)
{
	t->fits = secret_fits(buf_view(&t->record), buf_view(&t->password));
}

static void
check_done(struct task *t)
{
	struct exchange *x = t->x;

	if (x == NULL)
		return;
	x->task = NULL;
	t->x = NULL;
	if (t->job.late)
		exchange_fail_temp(x, "no answer in time");
	else if (t->fits)
		exchange_ok(x, str_from(t->name));
	else
		exchange_fail(x, "authentication failure");
}

static void
check_here(struct exchange *x)
{
	struct passwords *p = x->auth->passwords;
	struct buf name = {.max = 1024};
	struct task *t = task_new(p);
	struct why why;

	t->run = run_check;
	t->done = check_done;
	int found = passwords_record(x->auth, str_from(x->login), &t->record, &why);
	if (found == 1 && passwords_name(x->auth, str_from(x->login), &name))
		t->name = str_dup(buf_view(&name));
	buf_free(&name);
	if (found == -1)
		log_warning("%s", why.text);
	bool kept = found != -1 && buf_str(&t->password, buf_view(&x->password)) == 0;
	if (kept && pool_add(p->pool, &t->job)) {
		t->x = x;
		x->task = t;
		exchange_wait(x);
		return;
	}
	task_free(t);
	exchange_fail_temp(
	    x, kept ? "too many passwords wait to be checked" : "the user database cannot be read");
}

void
passwords_check(struct exchange *x)
{
	if (x->backend->type == AUTH_CHECKPASSWORD)
		checks_begin(x);
	else
		check_here(x);
}

void
passwords_drop(struct exchange *x)
{
	if (x->task != NULL)
		x->task->x = NULL;
	x->task = NULL;
}

/* --- kingpost user --- */

static void
run_change(struct task *t)
{
	t->rc = users_set(t->p->users, t->change, str_from(t->name), buf_view(&t->record), &t->why);
}

static void
change_done(struct task *t)
{
	static const char *const words[] = {"added", "changed", "deleted"};

	if (t->job.late)
		t->rc = why_temp(&t->why, NULL, "keeper is too busy");
	if (t->rc == 0)
		log_info("account %s %s", t->name, words[t->change]);
	if (t->ch == NULL)
		return;
	if (t->rc == 0)
		chan_done(t->ch, &t->head, 1);
	else
		chan_refuse(t->ch, &t->head, &t->why);
}

/* master has said who is behind an operator's channel. */
static bool
is_owner(const struct chan *ch)
{
	const struct service_partner *partner = service_partner(ch);

	return partner != NULL && strcmp(partner->service, "owner") == 0;
}

static int
read_action(struct str action, enum users_change *change)
{
	static const char *const words[] = {"add", "passwd", "delete"};

	for (size_t i = 0; i < NELEM(words); i++)
		if (str_is(action, words[i])) {
			*change = (enum users_change)i;
			return 0;
		}
	return -1;
}

void
on_user_act(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct auth *a = keeper_of(ch)->auth;
	const struct msg_user_act *m = &msg->user_act;
	struct task *t = task_new(a->passwords);
	struct buf name = {.max = 1024};
	struct why why = {0};

	t->run = run_change;
	t->done = change_done;
	if (!is_owner(ch))
		why_perm(&why, NULL, "only root may change accounts");
	else if (read_action(m->action, &t->change) == -1)
		why_perm(&why, NULL, "there is no such change");
	else if (!passwords_name(a, m->name, &name))
		why_perm(&why, NULL, "%.*s: this can be no name", STR_ARG(m->name));
	else if (buf_str(&t->record, m->record) == -1)
		why_perm(&why, NULL, "the record is too long");
	t->name = buf_steal(&name);
	t->ch = ch;
	t->head = *head;
	t->is_change = true;
	TAILQ_INSERT_TAIL(&a->passwords->changes, t, link);
	if (why.class == WHY_NONE && !pool_add(a->passwords->pool, &t->job))
		why_temp(&why, NULL, "keeper is too busy");
	if (why.class != WHY_NONE) {
		chan_refuse(ch, head, &why);
		task_free(t);
	}
}

/* A listing goes out in pieces: as much as the channel takes. */
struct listing {
	TAILQ_ENTRY(listing) link;
	struct auth *a;
	struct chan *ch;
	struct chan_head head;
	uint64_t count;
	struct buf last;
	bool full;
};

static void
listing_free(struct listing *l)
{
	TAILQ_REMOVE(&l->a->passwords->listings, l, link);
	buf_free(&l->last);
	free(l);
}

static bool
on_row(void *arg, struct str name, struct str record)
{
	struct listing *l = arg;
	struct msg_user_row row = {.name = name, .schemes = str_from(users_schemes(record))};

	buf_reset(&l->last);
	if (chan_reply(l->ch, &l->head, MSG_USER_ROW, &row) == -1 || buf_str(&l->last, name) == -1)
		return false;
	l->count++;
	l->full = chan_busy(l->ch);
	return !l->full;
}

static void
list_on(void *arg)
{
	struct listing *l = arg;
	char *after = str_dup(buf_view(&l->last));
	struct why why;

	l->full = false;
	int rc = users_list(l->a->passwords->users, str_from(after), on_row, l, &why);
	free(after);
	if (rc == 0 && l->full) {
		chan_on_idle(l->ch, list_on, l);
		return;
	}
	if (rc == 0)
		chan_done(l->ch, &l->head, l->count);
	else
		chan_refuse(l->ch, &l->head, &why);
	listing_free(l);
}

void
on_user_list(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct listing *l = xcalloc(1, sizeof *l);

	(void)msg;
	*l = (struct listing){.a = keeper_of(ch)->auth, .ch = ch, .head = *head};
	buf_init(&l->last, USERS_NAME_MAX);
	TAILQ_INSERT_TAIL(&l->a->passwords->listings, l, link);
	list_on(l);
}

void
passwords_gone(struct auth *a, struct chan *ch)
{
	struct listing *l, *next;
	struct task *t;

	TAILQ_FOREACH (t, &a->passwords->changes, link)
		if (t->ch == ch)
			t->ch = NULL;
	for (l = TAILQ_FIRST(&a->passwords->listings); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->ch == ch)
			listing_free(l);
	}
}
