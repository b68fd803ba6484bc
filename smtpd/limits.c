/* SPDX-License-Identifier: ISC */
/*
 * The gate of limits. At each stage the counters that have a limit are asked all at once, in one
 * packet; the first that is beyond its limit refuses. Without limiter, or without its answer in
 * time, nothing is refused: a missing counter is no reason to lose mail.
 */
#include "smtpd/limits.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "smtpd/command.h"
#include "smtpd/gates.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"

enum { HASHES = 1024, QUESTIONS = 6, LIMITER_MS = 5000 };

enum limit_flag {
	LIMIT_HOLD = 1 << 0,  /* counted while the session lasts */
	LIMIT_ASK = 1 << 1,   /* adds nothing here */
	LIMIT_LOGIN = 1 << 2, /* counts the login, and not the client's network */
};

#define LIMIT(kind, setting, stage, smtp, flags, log, reply)                               \
	{                                                                                  \
		kind, log, reply, offsetof(struct smtpd_conf, setting), stage, smtp, flags \
	}

/* A row for each counter: where it is asked, and what is said beyond its limit ("LOG exceeded: N
 * from NAME[ADDR]", "Error: REPLY from ADDR"). */
static const struct limit {
	const char *kind, *log, *reply;
	size_t setting; /* of the limit, in struct smtpd_conf */
	unsigned stage;
	int smtp;
	unsigned flags;
} limits[] = {
    LIMIT("connections", smtpd_client_connection_count_limit, STAGE_CONNECT, 421, LIMIT_HOLD,
	"Connection concurrency limit", "too many connections"),
    LIMIT("connects", smtpd_client_connection_rate_limit, STAGE_CONNECT, 421, 0,
	"Connection rate limit", "too many connections"),
    LIMIT("errors", smtpd_client_error_rate_limit, STAGE_CONNECT, 421, LIMIT_ASK,
	"Error rate limit", "too many errors"),
    LIMIT("messages", smtpd_client_message_rate_limit, STAGE_MAIL, 450, 0,
	"Message delivery request rate limit", "too much mail"),
    LIMIT("recipients", smtpd_client_recipient_rate_limit, STAGE_RCPT, 450, 0,
	"Recipient address rate limit", "too many recipients"),
    LIMIT("tls", smtpd_client_new_tls_session_rate_limit, STAGE_STARTTLS, 421, 0,
	"New TLS session rate limit", "too many new TLS sessions"),
    LIMIT("auth", smtpd_client_auth_rate_limit, STAGE_AUTH, 450, 0, "AUTH command rate limit",
	"too many AUTH commands"),
    LIMIT("login-messages", smtpd_login_message_rate_limit, STAGE_MAIL, 450, LIMIT_LOGIN,
	"Message rate limit of an account", "too much mail"),
    LIMIT("login-recipients", smtpd_login_recipient_rate_limit, STAGE_RCPT, 450, LIMIT_LOGIN,
	"Recipient rate limit of an account", "too many recipients"),
};

/* What is asked for a session at the moment. */
struct limits {
	struct chan *limiter;
	struct {
		uint32_t id;             /* 0: answered */
		const struct limit *row; /* NULL: the block, or usage */
	} open[QUESTIONS];
	unsigned n;
	struct why why; /* the first refusal */
};

bool
limits_network(const struct session *s, char *out, size_t size)
{
	const struct smtpd_conf *conf = s->server->conf;

	return networks_key(str_from(s->client_addr),
	    (unsigned)conf->smtpd_client_ipv4_prefix_length,
	    (unsigned)conf->smtpd_client_ipv6_prefix_length, out, size);
}

bool
limits_exempt(const struct session *s)
{
	return s->local || s->exempt;
}

static int64_t
limit_value(const struct session *s, const struct limit *row)
{
	return *(const int64_t *)(const void *)((const char *)s->server->conf + row->setting);
}

/* The key under which a row counts; false where there is none for this session. */
static bool
limit_key(const struct session *s, const struct limit *row, char *out, size_t size)
{
	if ((row->flags & LIMIT_LOGIN) == 0)
		return !limits_exempt(s) && limits_network(s, out, size);
	return s->login != NULL && str_copy(out, size, str_from(s->login));
}

static int64_t
limit_window(const struct session *s, const struct limit *row)
{
	return (row->flags & LIMIT_LOGIN) != 0 ? s->server->conf->smtpd_login_rate_time_unit
					       : s->server->conf->anvil_rate_time_unit;
}

/* --- answers --- */

static void
forget(struct limits *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->open[i].id != 0)
			chan_forget(l->limiter, l->open[i].id);
	l->n = 0;
}

static void
drop(struct session *s)
{
	if (s->limits != NULL)
		forget(s->limits);
	free(s->limits);
	s->limits = NULL;
}

/* All have answered, or time is over. */
static void
finish(struct session *s)
{
	struct why why = s->limits->why;

	drop(s);
	stage_go_on(s, why.class != WHY_NONE ? &why : NULL);
}

static void
on_expired(struct session *s)
{
	log_warning("limiter does not answer in time: nothing is counted");
	finish(s);
}

static void
judge_count(struct session *s, const struct limit *row, uint64_t count)
{
	struct why *why = &s->limits->why;

	if ((row->flags & LIMIT_HOLD) != 0)
		s->counted = true;
	if (count <= (uint64_t)limit_value(s, row) || why->class != WHY_NONE)
		return;
	log_warning("%s exceeded: %llu from %s[%s] for service %s%s%s", row->log,
	    (unsigned long long)count, s->client_name, s->client_addr, s->server->service->name,
	    (row->flags & LIMIT_LOGIN) != 0 ? ", sasl_username=" : "",
	    (row->flags & LIMIT_LOGIN) != 0 ? s->login : "");
	metric_add(METRIC_LIMITED, 1);
	if (row->smtp == 421)
		why_temp(why, "4.7.0", "%s Error: %s from %s", s->server->conf->common.myhostname,
		    row->reply, s->client_addr);
	else
		why_temp(why, "4.7.1", "Error: %s from %s", row->reply,
		    (row->flags & LIMIT_LOGIN) != 0 ? s->login : s->client_addr);
	why->smtp = row->smtp;
}

static void
judge_block(struct session *s, const struct msg_block_is *m)
{
	struct why *why = &s->limits->why;

	if (m->blocked == 0 || why->class != WHY_NONE)
		return;
	metric_add(METRIC_LIMITED, 1);
	why_temp(why, "4.7.0", "%s Error: %s is blocked: %.*s", s->server->conf->common.myhostname,
	    s->client_addr, STR_ARG(m->reason));
	why->smtp = 421;
}

static void
judge_usage(struct session *s, const struct msg_usage_is *m)
{
	if (m->hold == 0 || s->tx->hold != NULL)
		return;
	s->tx->hold = str_dup(m->reason);
	metric_add(METRIC_USAGE_HELD, 1);
}

static void
on_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct limits *l = s->limits;
	const struct limit *row = NULL;
	unsigned left = 0;

	for (unsigned i = 0; i < l->n; i++) {
		if (msg == NULL || l->open[i].id == head->id) {
			row = l->open[i].row;
			l->open[i].id = 0;
		}
		left += l->open[i].id != 0;
	}
	if (msg != NULL && head->type == MSG_TALLIED && row != NULL)
		judge_count(s, row, msg->tallied.count);
	else if (msg != NULL && head->type == MSG_BLOCK_IS)
		judge_block(s, &msg->block_is);
	else if (msg != NULL && head->type == MSG_USAGE_IS)
		judge_usage(s, &msg->usage_is);
	if (left == 0)
		finish(s);
}

/* --- questions --- */

/* What is asked at a stage. Implicit TLS: who connects is judged before its handshake, and not a
 * second time behind it. */
static unsigned
stages_at(struct session *s, enum stage stage)
{
	bool wrapped = stage == STAGE_STARTTLS && s->state == ST_CONNECT;
	bool again = stage == STAGE_CONNECT && s->met;

	s->met = wrapped;
	return wrapped ? STAGE_CONNECT | STAGE_STARTTLS : again ? 0 : (unsigned)stage;
}

static void
ask(struct session *s, const struct limit *row, enum msg_type type, const void *msg)
{
	struct limits *l = s->limits;

	if (l->n == QUESTIONS)
		return;
	l->open[l->n].row = row;
	l->open[l->n].id = chan_call(l->limiter, s->trace, type, msg, on_answer, s);
	if (l->open[l->n].id != 0)
		l->n++;
}

static void
ask_rows(struct session *s, unsigned stages)
{
	char key[300];

	for (size_t i = 0; i < NELEM(limits); i++) {
		const struct limit *row = &limits[i];
		if ((row->stage & stages) == 0 || limit_value(s, row) == 0 ||
		    !limit_key(s, row, key, sizeof key))
			continue;
		struct msg_tally msg = {
		    .kind = str_from(row->kind),
		    .key = str_from(key),
		    .amount = (row->flags & LIMIT_ASK) != 0 ? 0 : 1,
		    .window_ms = (uint64_t)limit_window(s, row),
		    .hold = (row->flags & LIMIT_HOLD) != 0,
		};
		ask(s, row, MSG_TALLY, &msg);
	}
}

static uint64_t
hash_address(const char *address)
{
	XXH64_state_t *state = XXH64_createState();

	if (state == NULL)
		return 0;
	XXH64_reset(state, 0);
	for (; *address != '\0'; address++) {
		char c = (char)tolower((unsigned char)*address);
		XXH64_update(state, &c, 1);
	}
	uint64_t hash = XXH64_digest(state);
	XXH64_freeState(state);
	return hash;
}

/* What a login sends, for limiter to compare with what it usually does. */
static void
ask_usage(struct session *s)
{
	const struct transaction *tx = s->tx;
	uint64_t *hashes = xcalloc(HASHES, sizeof *hashes);

	for (size_t i = 0; i < tx->nrcpts && s->limits->n < QUESTIONS;) {
		size_t n = 0;
		for (; i < tx->nrcpts && n < HASHES; i++)
			hashes[n++] = hash_address(tx->rcpts[i].route->address);
		struct msg_usage msg = {
		    .login = str_from(s->login),
		    .size = tx->size,
		    .recipients = str_make((const char *)hashes, n * sizeof *hashes),
		};
		ask(s, NULL, MSG_USAGE, &msg);
	}
	free(hashes);
}

static enum gate_answer
judge(struct session *s, enum stage stage, KP_UNUSED struct why *why)
{
	unsigned stages = stages_at(s, stage);
	struct chan *limiter;

	if (stages == 0 || (limits_exempt(s) && s->login == NULL))
		return GATE_PASS;
	limiter = service_peer(s->server->service, PROGRAM_LIMITER, 0);
	if (limiter == NULL)
		return GATE_PASS;
	s->limits = xcalloc(1, sizeof *s->limits);
	s->limits->limiter = limiter;
	if ((stages & STAGE_CONNECT) != 0 && !limits_exempt(s)) {
		struct msg_block_find msg = {
		    .address = str_from(s->client_addr), .login = STR_EMPTY};
		ask(s, NULL, MSG_BLOCK_FIND, &msg);
	}
	ask_rows(s, stages);
	if (stage == STAGE_CONTENT && s->login != NULL)
		ask_usage(s);
	if (s->limits->n == 0) {
		drop(s);
		return GATE_PASS;
	}
	session_wait(s, LIMITER_MS, on_expired);
	return GATE_WAIT;
}

const struct gate gate_limits = {
    .name = "limits",
    .stages = STAGE_CONNECT | STAGE_STARTTLS | STAGE_AUTH | STAGE_MAIL | STAGE_RCPT | STAGE_CONTENT,
    .ask = judge,
    .drop = drop,
};

/* --- beside the stages --- */

static void
on_nothing(void *arg, const struct chan_head *head, union msg_any *msg)
{
	(void)arg;
	(void)head;
	(void)msg;
}

/* Counts without asking. */
static void
add(struct session *s, struct chan *limiter, const char *kind, uint64_t amount)
{
	char key[300];
	struct msg_tally msg = {.kind = str_from(kind),
	    .amount = amount,
	    .window_ms = (uint64_t)s->server->conf->anvil_rate_time_unit};

	if (!limits_network(s, key, sizeof key))
		return;
	msg.key = str_from(key);
	uint32_t id = chan_call(limiter, s->trace, MSG_TALLY, &msg, on_nothing, NULL);
	chan_forget(limiter, id);
}

static const struct limit *
connection_row(void)
{
	return &limits[0];
}

void
limits_gone(struct session *s)
{
	struct chan *limiter = service_peer(s->server->service, PROGRAM_LIMITER, 0);
	char key[300];

	drop(s);
	if (limiter == NULL || limits_exempt(s))
		return;
	if (s->errors > 0 && s->server->conf->smtpd_client_error_rate_limit > 0)
		add(s, limiter, "errors", s->errors);
	if (!s->counted || !limits_network(s, key, sizeof key))
		return;
	struct msg_tally_release msg = {
	    .kind = str_from(connection_row()->kind), .key = str_from(key), .amount = 1};
	s->counted = false;
	if (chan_send(limiter, 0, s->trace, MSG_TALLY_RELEASE, &msg) == -1)
		chan_fail(limiter, "no room for a count"); /* it forgets all that we held */
}

void
limits_tell(struct server *server, struct chan *limiter)
{
	struct session *s;
	char key[300];

	TAILQ_FOREACH (s, &server->sessions, link) {
		if (!s->counted || !limits_network(s, key, sizeof key))
			continue;
		struct msg_tally msg = {.kind = str_from(connection_row()->kind),
		    .key = str_from(key),
		    .amount = 1,
		    .hold = 1};
		uint32_t id = chan_call(limiter, s->trace, MSG_TALLY, &msg, on_nothing, NULL);
		chan_forget(limiter, id);
	}
}

/* --- unknown recipients --- */

static void
on_harvest(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct chan *limiter = s->harvest;
	char key[300], reason[80];

	s->harvest = NULL;
	if (msg == NULL || head->type != MSG_TALLIED ||
	    msg->tallied.count <= (uint64_t)s->server->conf->smtpd_harvest_limit ||
	    !limits_network(s, key, sizeof key))
		return;
	snprintf(reason, sizeof reason, "%llu unknown recipients: an address harvest",
	    (unsigned long long)msg->tallied.count);
	struct msg_block_set block = {
	    .what = STR("network"), .key = str_from(key), .reason = str_from(reason)};
	if (chan_send(limiter, 0, s->trace, MSG_BLOCK_SET, &block) == -1)
		chan_fail(limiter, "no room for a block");
	if (s->state == ST_CLOSING)
		return;
	session_reply(s, 421, "4.7.0", "%s Error: %s", s->server->conf->common.myhostname, reason);
	session_end_lingering(s);
}

void
limits_harvest_drop(struct session *s)
{
	if (s->harvest != NULL)
		chan_forget(s->harvest, s->harvest_id);
	s->harvest = NULL;
}

void
limits_unknown_recipient(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;
	struct chan *limiter = service_peer(s->server->service, PROGRAM_LIMITER, 0);
	char key[300];

	if (limits_exempt(s) || s->login != NULL)
		return;
	if (conf->smtpd_unknown_recipient_delay > s->penalty_ms)
		s->penalty_ms = conf->smtpd_unknown_recipient_delay;
	if (conf->smtpd_harvest_limit == 0 || limiter == NULL ||
	    !limits_network(s, key, sizeof key))
		return;
	limits_harvest_drop(s);
	struct msg_tally msg = {.kind = STR("unknown"),
	    .key = str_from(key),
	    .amount = 1,
	    .window_ms = (uint64_t)conf->anvil_rate_time_unit};
	s->harvest_id = chan_call(limiter, s->trace, MSG_TALLY, &msg, on_harvest, s);
	s->harvest = s->harvest_id != 0 ? limiter : NULL;
}
