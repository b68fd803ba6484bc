/* SPDX-License-Identifier: ISC */
/* Answers as values. Bounded by whoever collects them: RECORDS_MAX here, FACTS_MAX in judge.c. */
#include "smtpd/facts.h"

#include <stdlib.h>

#include "lib/base/mem.h"

enum { RECORDS_MAX = 100 };

void
fact_question_clear(struct fact_question *q)
{
	free(q->name);
	free(q->key);
	*q = (struct fact_question){0};
}

char *
fact_question_key(const struct fact_question *q)
{
	return xasprintf("%c%u %s\n%s", 'a' + (int)q->kind, q->type, q->name != NULL ? q->name : "",
	    q->key != NULL ? q->key : "");
}

struct fact *
fact_new(void)
{
	struct fact *f = xcalloc(1, sizeof *f);

	f->text = xstrdup("");
	return f;
}

void
fact_add(struct fact *f, unsigned preference, struct str data)
{
	if (f->n == RECORDS_MAX)
		return;
	f->records = xrealloc(f->records, size_mul(f->n + 1, sizeof *f->records));
	f->records[f->n++] = (struct fact_record){
	    preference, {str_dup(data), data.n}
        };
}

void
fact_free(struct fact **fp)
{
	struct fact *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++)
		free((char *)(uintptr_t)f->records[i].data.p);
	free(f->records);
	free(f->text);
	free(f->code);
	free(f);
}

void
fact_free_value(void *value)
{
	struct fact *f = value;

	fact_free(&f);
}
