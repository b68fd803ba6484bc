/* SPDX-License-Identifier: ISC */
/* A growing list. */
#include "smtpd/edits.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/chan/chan.h"

enum { EDITS_MAX = 20000 };

struct edit {
	enum mail_edit kind;
	struct str name, value; /* owned */
};

struct edits {
	struct edit *rows;
	size_t n, size;
	size_t sent;
};

/* What each recipient's restrictions say again is done once. */
static bool
said_before(const struct edits *e, enum mail_edit kind, struct str name, struct str value)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->rows[i].kind == kind && str_eq(e->rows[i].name, name) &&
		    str_eq(e->rows[i].value, value))
			return true;
	return false;
}

bool
edits_add(struct transaction *tx, enum mail_edit kind, struct str name, struct str value)
{
	if (tx->edits == NULL)
		tx->edits = xcalloc(1, sizeof *tx->edits);
	struct edits *e = tx->edits;
	if (said_before(e, kind, name, value))
		return true;
	if (e->n >= EDITS_MAX || name.n > MSG_NEXTHOP_MAX || value.n > MSG_CHUNK_MAX)
		return false;
	if (e->n == e->size) {
		e->size = e->size == 0 ? 2 : e->size * 2;
		e->rows = xrealloc(e->rows, size_mul(e->size, sizeof *e->rows));
	}
	e->rows[e->n++] = (struct edit){
	    kind, {str_dup(name),  name.n },
             {str_dup(value), value.n}
        };
	return true;
}

bool
edits_have(const struct transaction *tx, enum mail_edit kind)
{
	for (size_t i = 0; tx->edits != NULL && i < tx->edits->n; i++)
		if (tx->edits->rows[i].kind == kind)
			return true;
	return false;
}

bool
edits_next(const struct transaction *tx, size_t *at, enum mail_edit *kind, struct str *name,
    struct str *value)
{
	if (tx->edits == NULL || *at >= tx->edits->n)
		return false;
	const struct edit *e = &tx->edits->rows[(*at)++];
	*kind = e->kind;
	*name = e->name;
	*value = e->value;
	return true;
}

int
edits_send(struct transaction *tx, uint64_t trace)
{
	for (; tx->edits != NULL && tx->edits->sent < tx->edits->n; tx->edits->sent++) {
		const struct edit *e = &tx->edits->rows[tx->edits->sent];
		struct msg_mail_edit msg = {.kind = e->kind, .name = e->name, .value = e->value};
		if (chan_send(tx->cleanup, tx->request, trace, MSG_MAIL_EDIT, &msg) == -1)
			return -1;
	}
	return 0;
}

void
edits_free(struct transaction *tx)
{
	for (size_t i = 0; tx->edits != NULL && i < tx->edits->n; i++) {
		free((char *)(uintptr_t)tx->edits->rows[i].name.p);
		free((char *)(uintptr_t)tx->edits->rows[i].value.p);
	}
	if (tx->edits != NULL)
		free(tx->edits->rows);
	free(tx->edits);
	tx->edits = NULL;
}
