/* SPDX-License-Identifier: ISC */
/*
 * Changes wait until router has said what the recipients are, since some are about the outcome
 * ("none of this one"). Then they are done in their order; one that asks router stops the rest
 * until it has its answer. At the end come REDIRECT, which takes the place of all recipients, and
 * the copies of always_bcc, sender_bcc_maps and recipient_bcc_maps.
 *
 * A change that cannot be done puts the message off: it is never delivered as if nobody had asked.
 */
#include "cleanup/edits.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup/cleanup.h"
#include "cleanup/recipients.h"
#include "cleanup/transaction.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/mail/address.h"

enum { EDITS_MAX = 20000 };

struct edit {
	enum mail_edit kind;
	char *name, *value;
};

/* A table asked for the copies of one address. */
struct bcc_question {
	struct transaction *t;
	struct chan *router;
	uint32_t id;
	const struct setting_list *maps;
	size_t map;
	char *address;
	LIST_ENTRY(bcc_question) link;
};

struct edits {
	struct edit *rows;
	size_t n, size, done;
	char *redirect; /* NULL: none */
	bool redirected, copied;
	LIST_HEAD(, bcc_question) questions;
};

static struct edits *
edits_of(struct transaction *t)
{
	if (t->edits == NULL) {
		t->edits = xcalloc(1, sizeof *t->edits);
		LIST_INIT(&t->edits->questions);
	}
	return t->edits;
}

int
edits_add(
    struct transaction *t, enum mail_edit kind, struct str name, struct str value, struct why *why)
{
	struct edits *e = edits_of(t);

	if (e->n >= EDITS_MAX)
		return why_temp(why, "4.3.0", "too many changes to one message");
	if (e->n == e->size) {
		e->size = e->size == 0 ? 4 : e->size * 2;
		e->rows = xrealloc(e->rows, size_mul(e->size, sizeof *e->rows));
	}
	e->rows[e->n++] = (struct edit){kind, str_dup(name), str_dup(value)};
	return 0;
}

/* --- recipients --- */

static int
add_rcpt(struct transaction *t, const char *text, uint64_t notify, struct why *why)
{
	struct addr a;
	struct why wrong;

	if (addr_mailbox(&a, str_from(text), ADDR_UTF8 | ADDR_NO_DOMAIN, &wrong) == -1)
		return why_temp(why, "4.3.5", "malformed recipient of a change: %s", wrong.text);
	struct msg_mail_rcpt rcpt = {.address = addr_text(&a), .notify = notify};
	if (recipients_add(t, &rcpt, why) == 0)
		return 0;
	why->class = WHY_TEMP;
	return -1;
}

static int
do_sender(struct transaction *t, const struct edit *e, struct why *why)
{
	struct addr a;
	struct why wrong;

	if (addr_mailbox(&a, str_from(e->name), ADDR_UTF8 | ADDR_NULL | ADDR_NO_DOMAIN, &wrong) ==
		-1 ||
	    (!addr_is_null(&a) && addr_domain(&a).n == 0 &&
		addr_complete(&a, str_from(t->c->conf->common.myorigin), &wrong) == -1))
		return why_temp(why, "4.3.5", "malformed sender of a change: %s", wrong.text);
	t->sender = transaction_keep(t, addr_text(&a));
	return 0;
}

static int
do_prepend(struct transaction *t, const struct edit *e, struct why *why)
{
	/* A header that is in its file already gets the line by a piece of the envelope. */
	struct buf *to = t->own_in_file ? &t->late : &t->prepended;
	struct str value = str_from(e->value), line;

	while (str_word(&value, "\n", &line)) {
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\r')
				return why_temp(why, "4.3.0", "malformed header line to be added");
		if (buf_printf(to, "%.*s\r\n", STR_ARG(line)) == -1)
			return why_temp(why, "4.3.0", "too many header lines to be added");
	}
	return 0;
}

static int
do_hold(struct transaction *t, const struct edit *e, struct why *why)
{
	(void)why;
	t->hold = transaction_keep(t, str_sub(str_from(e->value), 0, MSG_TEXT_MAX));
	return 0;
}

static int
do_add(struct transaction *t, const struct edit *e, struct why *why)
{
	return add_rcpt(t, e->name, NOTIFY_DEFAULT, why);
}

static int
do_bcc(struct transaction *t, const struct edit *e, struct why *why)
{
	return add_rcpt(t, e->name, NOTIFY_NEVER, why);
}

static int
do_delete(struct transaction *t, const struct edit *e, struct why *why)
{
	(void)why;
	recipients_delete(t, str_from(e->name));
	return 0;
}

static int
do_redirect(struct transaction *t, const struct edit *e, struct why *why)
{
	(void)why;
	free(t->edits->redirect);
	t->edits->redirect = xstrdup(e->name);
	return 0;
}

/* transport:nexthop; the nexthop may be empty. */
static int
do_filter(struct transaction *t, const struct edit *e, struct why *why)
{
	ptrdiff_t colon = str_chr(str_from(e->name), ':');

	if (colon <= 0 || colon > 64 || str_has_control(str_from(e->name)))
		return why_temp(why, "4.3.5", "a filter is no transport:destination");
	t->filter = transaction_keep(t, str_from(e->name));
	return 0;
}

static int
do_discard(struct transaction *t, const struct edit *e, struct why *why)
{
	(void)e;
	(void)why;
	t->discard = true;
	return 0;
}

typedef int edit_fn(struct transaction *t, const struct edit *e, struct why *why);

static edit_fn *const kinds[EDIT_KINDS] = {
    [EDIT_PREPEND] = do_prepend,
    [EDIT_SENDER] = do_sender,
    [EDIT_ADD_RCPT] = do_add,
    [EDIT_DELETE_RCPT] = do_delete,
    [EDIT_REDIRECT] = do_redirect,
    [EDIT_BCC] = do_bcc,
    [EDIT_FILTER] = do_filter,
    [EDIT_HOLD] = do_hold,
    [EDIT_DISCARD] = do_discard,
};

/* --- copies --- */

static void
question_free(struct bcc_question *q)
{
	if (q->router != NULL)
		chan_forget(q->router, q->id);
	LIST_REMOVE(q, link);
	q->t->questions--;
	free(q->address);
	free(q);
}

static void on_copies(void *arg, const struct chan_head *head, union msg_any *msg);

static int
ask(struct bcc_question *q, struct why *why)
{
	struct msg_access msg = {
	    .map = str_from(q->maps->items[q->map]),
	    .kind = ACCESS_OWNER,
	    .key = str_from(q->address),
	};

	q->router = service_peer(q->t->c->service, PROGRAM_ROUTER, map_hash(msg.key));
	if (q->router != NULL)
		q->id = chan_call(q->router, q->t->head.trace, MSG_ACCESS, &msg, on_copies, q);
	if (q->router == NULL || q->id == 0) {
		q->router = NULL;
		return why_temp(why, "4.3.0", "tables cannot be asked");
	}
	return 0;
}

static int
copies_of(
    struct transaction *t, const struct setting_list *maps, const char *address, struct why *why)
{
	if (maps->n == 0 || *address == '\0')
		return 0;
	struct bcc_question *q = xcalloc(1, sizeof *q);
	*q = (struct bcc_question){.t = t, .maps = maps, .address = xstrdup(address)};
	LIST_INSERT_HEAD(&t->edits->questions, q, link);
	t->questions++;
	return ask(q, why);
}

/* One address or several. */
static int
add_copies(struct transaction *t, struct str list, struct why *why)
{
	struct str word;
	int rc = 0;

	while (rc == 0 && str_word(&list, ", \t", &word)) {
		char *address = str_dup(word);
		rc = add_rcpt(t, address, NOTIFY_NEVER, why);
		free(address);
	}
	return rc;
}

/* 1: answered; 0: the next table is asked; -1: refuse. */
static int
take_copies(
    struct bcc_question *q, const struct chan_head *head, union msg_any *msg, struct why *why)
{
	q->router = NULL;
	if (msg == NULL)
		return why_temp(why, "4.3.0", "a table was not answered");
	if (head->type == MSG_REFUSED) {
		why_from_msg(why, &msg->refused);
		why->class = WHY_TEMP;
		return -1;
	}
	if (head->type != MSG_FOUND)
		return why_temp(why, "4.3.0", "router gave no answer to a table's question");
	if (msg->found.found)
		return add_copies(q->t, msg->found.value, why) == -1 ? -1 : 1;
	return ++q->map < q->maps->n ? ask(q, why) : 1;
}

static void
on_copies(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct bcc_question *q = arg;
	struct transaction *t = q->t;
	struct why why = {0};

	int answered = take_copies(q, head, msg, &why);
	if (answered == 0)
		return;
	question_free(q);
	if (answered == -1)
		transaction_refuse(t, &why);
	else
		transaction_proceed(t);
}

/* Of what users and clients send, not of what the system makes itself. */
static int
copy(struct transaction *t, struct why *why)
{
	const struct cleanup_conf *conf = t->c->conf;
	size_t place = SIZE_MAX, n = t->nrcpts;

	if ((t->env.flags & (MAIL_NO_MAPPINGS | MAIL_RESUBMIT)) != 0)
		return 0;
	if (copies_of(t, &conf->sender_bcc_maps, tx_text(t, t->sender), why) == -1)
		return -1;
	for (size_t i = 0; i < n && conf->recipient_bcc_maps.n > 0; i++) {
		const struct recipient *r = &t->rcpts[i];
		/* before its expansion, and then once */
		if (r->place == place)
			continue;
		place = r->place;
		const char *original = tx_text(t, r->original);
		if (copies_of(t, &conf->recipient_bcc_maps,
			*original != '\0' ? original : tx_text(t, r->address), why) == -1)
			return -1;
	}
	return add_copies(t, str_from(conf->always_bcc), why);
}

/* --- all of it --- */

static int
redirect(struct transaction *t, struct why *why)
{
	t->edits->redirected = true;
	recipients_delete_all(t);
	return add_rcpt(t, t->edits->redirect, NOTIFY_DEFAULT, why);
}

int
edits_apply(struct transaction *t, struct why *why)
{
	struct edits *e = edits_of(t);

	while (e->done < e->n) {
		const struct edit *row = &e->rows[e->done++];
		if (row->kind >= EDIT_KINDS || kinds[row->kind] == NULL)
			return why_temp(why, "4.3.5", "no such change to a message");
		if (kinds[row->kind](t, row, why) == -1)
			return -1;
		if (t->questions > 0)
			return 1;
	}
	if (t->discard)
		return 0;
	if (e->redirect != NULL && !e->redirected) {
		if (redirect(t, why) == -1)
			return -1;
	} else if (e->redirect == NULL && !e->copied && t->nrcpts > 0) {
		e->copied = true;
		if (copy(t, why) == -1)
			return -1;
	}
	return t->questions > 0 ? 1 : 0;
}

bool
edits_discard(const struct transaction *t)
{
	for (size_t i = 0; t->edits != NULL && i < t->edits->n; i++)
		if (t->edits->rows[i].kind == EDIT_DISCARD)
			return true;
	return false;
}

void
edits_clear(struct transaction *t)
{
	struct edits *e = t->edits;

	if (e == NULL)
		return;
	while (!LIST_EMPTY(&e->questions))
		question_free(LIST_FIRST(&e->questions));
	for (size_t i = 0; i < e->n; i++) {
		free(e->rows[i].name);
		free(e->rows[i].value);
	}
	free(e->rows);
	free(e->redirect);
	free(e);
	t->edits = NULL;
}
