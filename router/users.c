/* SPDX-License-Identifier: ISC */
/*
 * Each (map, key) is one entry: asked (an answer is on its way), or answered and remembered for
 * unix_user_ttl or remote_table_ttl. A failure is remembered for a second. A question that is run
 * again finds every answer that has come since it was put, however old: what takes its turn at slow
 * tables must not ask them for ever.
 */
#include "router/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/service/service.h"
#include "lib/table/remote.h"
#include "router/question.h"

enum { USERS_MAX = 20000, FAILURE_MS = 1000, NAME_MAX_SIZE = TABLE_KEY_MAX + 1024 + 2 };

struct user {
	struct router *r;
	int answer; /* TABLE_ASKED while it is on its way */
	char *value;
	struct why why;
	bool remote;
	int64_t until, answered; /* clock_ms */
	struct chan *ch;
	uint32_t request;
};

static void
user_free(void *value)
{
	struct user *u = value;

	if (u->answer == TABLE_ASKED && u->ch != NULL)
		chan_forget(u->ch, u->request);
	free(u->value);
	free(u);
}

void
users_init(struct router *r)
{
	r->users = map_new();
}

static void
answer_set(struct user *u, int answer, int64_t keep_ms)
{
	u->answer = answer;
	u->ch = NULL;
	u->answered = clock_ms();
	u->until = u->answered + keep_ms;
}

static void
on_found(void *arg, KP_UNUSED const struct chan_head *head, union msg_any *msg)
{
	struct user *u = arg;
	struct router *r = u->r;
	int64_t keep = u->remote ? r->conf->remote_table_ttl : r->conf->unix_user_ttl;

	if (msg != NULL && head->type == MSG_FOUND) {
		if (msg->found.found)
			u->value = str_dup(msg->found.value);
		answer_set(u, msg->found.found ? TABLE_FOUND : TABLE_NONE, keep);
	} else {
		if (msg != NULL && head->type == MSG_REFUSED)
			why_from_msg(&u->why, &msg->refused);
		else
			why_temp(&u->why, "4.3.0", "program tables did not answer");
		u->why.class = WHY_TEMP;
		answer_set(u, TABLE_ERROR, FAILURE_MS);
	}
	questions_resume(r);
}

static int
ask(struct router *r, struct user *u, struct str map, struct str key, struct why *why)
{
	struct msg_lookup lookup = {.maps = map, .key = key};

	u->ch = r->s != NULL ? service_peer(r->s, PROGRAM_TABLES, map_hash(key)) : NULL;
	u->request = u->ch != NULL ? chan_call(u->ch, 0, MSG_LOOKUP, &lookup, on_found, u) : 0;
	if (u->request == 0)
		return why_temp(why, "4.3.0", "program tables cannot be asked");
	u->answer = TABLE_ASKED;
	u->until = clock_ms() + r->conf->tables_timeout;
	return TABLE_ASKED;
}

static int
recall(const struct user *u, struct buf *out, struct why *why)
{
	if (u->answer == TABLE_ERROR) {
		*why = u->why;
		return TABLE_ERROR;
	}
	if (u->answer == TABLE_FOUND && buf_puts(out, u->value) == -1)
		return why_temp(why, "4.3.0", "an entry is too long");
	return u->answer;
}

int
users_ask(void *arg, struct str map, struct str key, struct buf *out, struct why *why)
{
	struct router *r = arg;
	char name[NAME_MAX_SIZE];
	int n = snprintf(name, sizeof name, "%.*s %.*s", STR_ARG(map), STR_ARG(key));
	struct str id = str_make(name, n > 0 && (size_t)n < sizeof name ? (size_t)n : 0);

	if (id.n == 0)
		return why_temp(why, "4.3.0", "a key is too long to be asked for");
	struct user *u = map_get(r->users, id);
	if (u != NULL &&
	    (u->answer == TABLE_ASKED || u->until > clock_ms() || u->answered >= r->since))
		return recall(u, out, why);
	if (u == NULL && map_count(r->users) >= USERS_MAX)
		return why_temp(why, "4.3.0", "too many users and entries are asked for at once");
	if (u != NULL)
		user_free(map_take(r->users, id));
	u = xcalloc(1, sizeof *u);
	u->r = r;
	u->remote = remote_is(map);
	int answer = ask(r, u, map, key, why);
	if (answer != TABLE_ASKED) {
		free(u);
		return answer;
	}
	map_put(r->users, id, u);
	return answer;
}

/* A map must not change during a walk: one entry a walk, from the start again. */
static bool
age_one(struct router *r, int64_t now, bool *gave_up)
{
	const struct question *oldest = TAILQ_FIRST(&r->questions);
	size_t cursor = 0;
	struct str key;
	void *value;

	while (map_next(r->users, &cursor, &key, &value)) {
		struct user *u = value;
		if (u->until > now ||
		    (u->answer != TABLE_ASKED && oldest != NULL && u->answered >= oldest->since))
			continue;
		if (u->answer == TABLE_ASKED) {
			chan_forget(u->ch, u->request);
			why_temp(&u->why, "4.3.0", "program tables did not answer in time");
			answer_set(u, TABLE_ERROR, FAILURE_MS);
			*gave_up = true;
			continue;
		}
		user_free(map_take(r->users, key));
		return true;
	}
	return false;
}

void
users_age(struct router *r)
{
	int64_t now = clock_ms();
	bool gave_up = false;

	while (age_one(r, now, &gave_up))
		continue;
	if (gave_up)
		questions_resume(r);
}
