/* SPDX-License-Identifier: ISC */
/* Questions that wait; see question.h. */
#include "router/question.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "router/users.h"

static int
run(struct router *r, const struct question *question)
{
	struct query q = {
	    .r = r, .asker = {users_ask, r}
        };

	r->since = question->since;
	return question->run(&q, question);
}

static void
question_free(struct router *r, struct question *question)
{
	TAILQ_REMOVE(&r->questions, question, link);
	free((char *)(uintptr_t)question->a.p);
	free((char *)(uintptr_t)question->b.p);
	free(question);
}

void
question_ask(struct router *r, const struct question *question)
{
	struct question fresh = *question;

	fresh.since = clock_ms();
	if (run(r, &fresh) != TABLE_ASKED)
		return;
	struct question *kept = xmalloc(sizeof *kept);
	*kept = fresh;
	kept->a.p = str_dup(question->a);
	kept->b.p = str_dup(question->b);
	TAILQ_INSERT_TAIL(&r->questions, kept, link);
}

void
questions_resume(struct router *r)
{
	struct question *question, *next;

	for (question = TAILQ_FIRST(&r->questions); question != NULL; question = next) {
		next = TAILQ_NEXT(question, link);
		if (run(r, question) != TABLE_ASKED)
			question_free(r, question);
	}
}

void
questions_drop(struct router *r, const struct chan *ch)
{
	struct question *question, *next;

	for (question = TAILQ_FIRST(&r->questions); question != NULL; question = next) {
		next = TAILQ_NEXT(question, link);
		if (ch == NULL || question->ch == ch)
			question_free(r, question);
	}
}
