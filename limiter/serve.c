/* SPDX-License-Identifier: ISC */
/*
 * The messages. Whoever asks is one of our own programs, and still hostile: keys are bytes that
 * nothing interprets, amounts are bounded, and nothing that is asked can take more than a table's
 * place.
 */
#include "limiter/serve.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "limiter/blocks.h"
#include "limiter/counters.h"
#include "limiter/facts.h"
#include "limiter/limiter.h"
#include "limiter/usage.h"

enum { TTL_MAX = 400 * 24 * 3600 };

static struct limiter *
limiter_of(struct chan *ch)
{
	return ((struct service *)chan_owner(ch))->state;
}

static int64_t
ttl(uint64_t seconds)
{
	return seconds < TTL_MAX ? (int64_t)seconds : TTL_MAX;
}

static void
on_tally(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct limiter *l = limiter_of(ch);
	const struct msg_tally *m = &msg->tally;
	int64_t window = m->window_ms < INT64_MAX / 2 ? (int64_t)m->window_ms : INT64_MAX / 2;
	struct msg_tallied reply = {
	    .count = m->hold != 0 ? counters_hold(l->counters, ch, m->kind, m->key, m->amount)
				  : counters_add(l->counters, m->kind, m->key, m->amount, window)};

	chan_reply(ch, head, MSG_TALLIED, &reply);
	service_worked(l->s);
}

static void
on_tally_release(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_tally_release *m = &msg->tally_release;

	(void)head;
	counters_release(limiter_of(ch)->counters, ch, m->kind, m->key, m->amount);
}

static void
on_block_find(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct block_state state;

	blocks_find(limiter_of(ch), msg->block_find.address, msg->block_find.login, &state);
	struct msg_block_is reply = {
	    .blocked = state.blocked,
	    .left_ms = (uint64_t)(state.left_ms > 0 ? state.left_ms : 0),
	    .delay_ms = (uint64_t)state.delay_ms,
	    .reason = str_from(state.reason),
	};
	chan_reply(ch, head, MSG_BLOCK_IS, &reply);
}

static void
on_block_set(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_block_set *m = &msg->block_set;

	(void)head;
	(void)blocks_set(limiter_of(ch), BLOCK_BY_RULE, m->what, m->key, m->reason);
}

static void
on_auth_result(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_auth_result *m = &msg->auth_result;

	(void)head;
	blocks_result(limiter_of(ch), m->address, m->login, m->passed != 0);
}

/*
 * Greylisting: the first attempt begins the wait; one after it makes the triplet known for
 * `keep_s`, and `auto_after` such triplets of a client make the client itself known.
 */
static void
on_grey(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct limiter *l = limiter_of(ch);
	const struct msg_grey *m = &msg->grey;
	int64_t now = wall_us() / 1000000, keep = ttl(m->keep_s);
	struct msg_grey_is reply = {0};
	struct fact *client = facts_get(l->facts, STR("grey-client"), m->client);
	struct fact *triplet;

	if (client != NULL && m->auto_after > 0 && client->count >= m->auto_after) {
		(void)facts_put(
		    l->facts, STR("grey-client"), m->client, keep, client->count, STR_EMPTY);
		chan_reply(ch, head, MSG_GREY_IS, &reply);
		return;
	}
	triplet = facts_get(l->facts, STR("grey"), m->key);
	if (triplet == NULL)
		triplet = facts_put(l->facts, STR("grey"), m->key, 2 * 24 * 3600, 0, STR_EMPTY);
	reply.age_s = (uint64_t)(now > triplet->first ? now - triplet->first : 0);
	if (triplet->count == 0 && reply.age_s < m->delay_s) {
		reply.wait_s = m->delay_s - reply.age_s;
	} else {
		bool first = triplet->count == 0;
		(void)facts_put(l->facts, STR("grey"), m->key, keep, 1, STR_EMPTY);
		if (first) {
			client = facts_get(l->facts, STR("grey-client"), m->client);
			(void)facts_put(l->facts, STR("grey-client"), m->client, keep,
			    client != NULL ? client->count + 1 : 1, STR_EMPTY);
		}
	}
	chan_reply(ch, head, MSG_GREY_IS, &reply);
}

static void
on_remember(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_remember *m = &msg->remember;

	(void)head;
	if (m->kind.n == 0 || memchr(m->kind.p, ' ', m->kind.n) != NULL)
		chan_fail(ch, "a kind that is no word");
	else
		(void)facts_put(
		    limiter_of(ch)->facts, m->kind, m->key, ttl(m->ttl_s), 1, STR_EMPTY);
}

static void
on_recall(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_recall *m = &msg->recall;
	const struct fact *fact = facts_get(limiter_of(ch)->facts, m->kind, m->key);
	struct msg_recalled reply = {.found = fact != NULL};

	if (fact != NULL)
		reply.left_s = (uint64_t)(fact->expires - wall_us() / 1000000);
	chan_reply(ch, head, MSG_RECALLED, &reply);
}

static void
on_usage(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	char reason[400] = "";
	bool hold = usage_add(
	    limiter_of(ch), msg->usage.login, msg->usage.recipients, reason, sizeof reason);
	struct msg_usage_is reply = {.hold = hold, .reason = str_from(reason)};

	chan_reply(ch, head, MSG_USAGE_IS, &reply);
}

static void
on_usage_failed(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	usage_failed(limiter_of(ch), msg->usage_failed.login, msg->usage_failed.count);
}

/* --- address verification --- */

void
serve_verified(void *who, const struct chan_head *head, const struct verify_answer *answer)
{
	struct msg_verified reply = {.status = answer->status, .text = str_from(answer->text)};

	chan_reply(who, head, MSG_VERIFIED, &reply);
}

static bool
is_address(struct str s)
{
	return s.n > 0 && !str_has_control(s);
}

static void
on_verify(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct limiter *l = limiter_of(ch);
	struct msg_probe probe = {0};
	struct verify_answer answer;

	if (!is_address(msg->verify.address)) {
		chan_fail(ch, "an address with a control character");
		return;
	}
	verify_ask(l, ch, head, msg->verify.address, (enum verify_mode)msg->verify.mode, &answer);
	if (answer.probe)
		chan_reply(ch, head, MSG_PROBE, &probe);
	if (!answer.waits)
		serve_verified(ch, head, &answer);
	service_worked(l->s);
}

static void
probe_result(struct chan *ch, const struct msg_probe_result *m)
{
	if (!is_address(m->address) || m->status == VERIFY_UNKNOWN)
		chan_fail(ch, "a malformed result of a probe");
	else
		verify_result(limiter_of(ch), m->address, (enum verify_status)m->status, m->text);
}

static void
on_probe_result(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	probe_result(ch, &msg->probe_result);
}

/* smtpd knows nothing of an address: only that a probe could not be submitted. */
static void
on_probe_failed(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	if (msg->probe_result.status == VERIFY_DEFERRED)
		probe_result(ch, &msg->probe_result);
	else
		chan_fail(ch, "a result of a probe that is not smtpd's to tell");
}

/* --- operators --- */

struct listing {
	struct chan *ch;
	const struct chan_head *head;
	uint64_t n;
};

static void
list_block(const struct fact *fact, void *arg)
{
	struct listing *l = arg;
	char line[1000];
	int n = snprintf(line, sizeof line, "%s, %" PRId64 " s left: %s", fact->key,
	    fact->expires - wall_us() / 1000000, fact->text);
	struct msg_control_text text = {
	    .text = str_make(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1)};

	if (chan_send(l->ch, l->head->id, l->head->trace, MSG_CONTROL_TEXT, &text) == 0)
		l->n++;
}

static void
show_verified(struct listing *l, struct limiter *limiter, struct str address)
{
	char line[1000];

	verify_show(limiter, address, line, sizeof line);
	struct msg_control_text text = {.text = str_from(line)};
	if (line[0] != '\0' &&
	    chan_send(l->ch, l->head->id, l->head->trace, MSG_CONTROL_TEXT, &text) == 0)
		l->n++;
}

/* "verify show", "verify forget" (an address); "block list", "block remove" ("address 192.0.2.1"),
 * "block add" ("address 192.0.2.1 reason"). */
static void
on_explain(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct limiter *l = limiter_of(ch);
	struct str argument = msg->explain.argument;
	struct listing listing = {.ch = ch, .head = head};
	struct why why;

	if (str_is(msg->explain.what, "block list")) {
		facts_each(l->facts, STR("block"), list_block, &listing);
	} else if (str_is(msg->explain.what, "block remove")) {
		listing.n = facts_remove(l->facts, STR("block"), argument);
	} else if (str_is(msg->explain.what, "block add")) {
		struct str what = STR_EMPTY, key = STR_EMPTY;
		(void)str_word(&argument, " ", &what);
		(void)str_word(&argument, " ", &key);
		listing.n = blocks_set(l, BLOCK_BY_OPERATOR, what, key, str_trim(argument));
	} else if (str_is(msg->explain.what, "verify show")) {
		show_verified(&listing, l, argument);
	} else if (str_is(msg->explain.what, "verify forget")) {
		listing.n = verify_remove(l, argument);
	} else {
		why_perm(&why, NULL, "limiter does not know \"%.*s\"", STR_ARG(msg->explain.what));
		chan_refuse(ch, head, &why);
		return;
	}
	chan_done(ch, head, listing.n);
}

const struct chan_rule serve_smtpd[] = {
    {MSG_TALLY,         on_tally        },
    {MSG_TALLY_RELEASE, on_tally_release},
    {MSG_BLOCK_FIND,    on_block_find   },
    {MSG_BLOCK_SET,     on_block_set    },
    {MSG_AUTH_RESULT,   on_auth_result  },
    {MSG_GREY,          on_grey         },
    {MSG_REMEMBER,      on_remember     },
    {MSG_RECALL,        on_recall       },
    {MSG_USAGE,         on_usage        },
    {MSG_VERIFY,        on_verify       },
    {MSG_PROBE_RESULT,  on_probe_failed },
    {MSG_NONE,          NULL            },
};

const struct chan_rule serve_qmgr[] = {
    {MSG_USAGE_FAILED, on_usage_failed},
    {MSG_PROBE_RESULT, on_probe_result},
    {MSG_NONE,         NULL           },
};

const struct chan_rule serve_operators[] = {
    {MSG_EXPLAIN, on_explain},
    {MSG_NONE,    NULL      },
};
