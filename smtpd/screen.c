/* SPDX-License-Identifier: ISC */
/*
 * Before the greeting: DNS lists with weights, and a wait in which a client must keep quiet. Both
 * run at once and for each client alone; a client that has passed is known for a while (limiter
 * remembers) and is greeted at once. The settings bear the names of Postfix's postscreen; ignore
 * switches a test off, drop refuses at once, enforce lets the client name its mail and refuses each
 * recipient.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/mail/dnsbl.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "smtpd/gates.h"
#include "smtpd/limits.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/screen.h"
#include "smtpd/stage.h"

enum { TYPE_A = 1, LIMITER_MS = 5000 };

struct screen_zone {
	struct dnsbl list;
};

/* The tests of one client. */
struct screen {
	struct chan *resolver;
	uint32_t *ids; /* a question for each zone; 0: answered */
	bool *hits;
	size_t open;
	int rank;
	int64_t began, quiet_until, dns_until;
};

static bool
greets(const struct smtpd_conf *conf)
{
	return conf->postscreen_greet_action != SCREEN_IGNORE && conf->postscreen_greet_wait > 0;
}

static bool
lists(const struct server *server)
{
	return server->nzones > 0 && server->conf->postscreen_dnsbl_action != SCREEN_IGNORE;
}

int
screen_open(struct server *server, struct why *why)
{
	const struct setting_list *sites = &server->conf->postscreen_dnsbl_sites;

	server->zones = xcalloc(sites->n + 1, sizeof *server->zones);
	for (size_t i = 0; i < sites->n; i++) {
		if (dnsbl_parse(&server->zones[i].list, str_from(sites->items[i]), why) == -1)
			return -1;
		server->nzones++;
	}
	return 0;
}

void
screen_close(struct server *server)
{
	for (size_t i = 0; i < server->nzones; i++)
		dnsbl_clear(&server->zones[i].list);
	free(server->zones);
	server->zones = NULL;
	server->nzones = 0;
}

static void
drop(struct session *s)
{
	struct screen *sc = s->screen;

	s->screen = NULL;
	if (sc == NULL)
		return;
	for (size_t i = 0; sc->resolver != NULL && i < s->server->nzones; i++)
		if (sc->ids[i] != 0)
			chan_forget(sc->resolver, sc->ids[i]);
	free(sc->ids);
	free(sc->hits);
	free(sc);
}

/* --- the verdict --- */

static void
refuse_later(struct session *s, const struct why *why)
{
	if (s->screened != NULL)
		return;
	s->screened = xmalloc(sizeof *s->screened);
	*s->screened = *why;
}

/* `action` on a client that failed a test; true where it is to be dropped, by `why`. */
static bool
failed(struct session *s, int64_t action, struct why *why)
{
	metric_add(METRIC_SCREENED, 1);
	if (action == SCREEN_DROP) {
		why->smtp = 521;
		return true;
	}
	refuse_later(s, why);
	return false;
}

static bool
spoke_early(struct session *s, struct why *why)
{
	struct str said = str_sub(buf_view(&s->in), 0, 100);

	if (!greets(s->server->conf) || s->in.n == 0)
		return false;
	log_info("PREGREET %zu after %.2g from [%s]:%u: %.*s", s->in.n,
	    (double)(clock_ms() - s->screen->began) / 1000, s->client_addr, s->client_port,
	    STR_ARG(said));
	why_perm(why, "5.5.1", "Protocol error");
	why->smtp = 550;
	return failed(s, s->server->conf->postscreen_greet_action, why);
}

static bool
is_listed(struct session *s, struct why *why)
{
	const struct server *server = s->server;
	const char *zone = "";

	if (!lists(server) || s->screen->rank < server->conf->postscreen_dnsbl_threshold)
		return false;
	for (size_t i = 0; i < server->nzones && zone[0] == '\0'; i++)
		if (s->screen->hits[i] && server->zones[i].list.weight > 0)
			zone = server->zones[i].list.zone;
	log_info("DNSBL rank %d for [%s]:%u", s->screen->rank, s->client_addr, s->client_port);
	why_perm(why, "5.7.1", "Service unavailable; client [%s] blocked using %s", s->client_addr,
	    zone);
	why->smtp = 550;
	return failed(s, server->conf->postscreen_dnsbl_action, why);
}

static void
remember(struct session *s)
{
	struct chan *limiter = service_peer(s->server->service, PROGRAM_LIMITER, 0);
	struct msg_remember msg = {
	    .kind = STR("screened"),
	    .key = str_from(s->client_addr),
	    .ttl_s = (uint64_t)s->server->conf->postscreen_greet_ttl / 1000,
	};

	log_info("PASS NEW [%s]:%u", s->client_addr, s->client_port);
	if (limiter != NULL && chan_send(limiter, 0, s->trace, MSG_REMEMBER, &msg) == -1)
		log_warning("limiter takes no more: a client is tested again next time");
}

static void
finish(struct session *s)
{
	struct why why = {0};
	bool dropped = is_listed(s, &why) || spoke_early(s, &why);

	drop(s);
	if (!dropped && s->screened == NULL)
		remember(s);
	stage_go_on(s, dropped ? &why : NULL);
}

/* --- the wait --- */

static void on_time(struct session *s);

/* Goes on where both tests are over; else waits for what is next. */
static void
consider(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;
	struct screen *sc = s->screen;
	int64_t now = clock_ms(), until;
	bool allowed = conf->postscreen_dnsbl_allowlist_threshold < 0 &&
		       sc->rank <= conf->postscreen_dnsbl_allowlist_threshold;

	if (sc->open > 0 && now >= sc->dns_until)
		sc->open = 0;
	until = allowed ? now : sc->quiet_until;
	if (sc->open > 0 && sc->dns_until > until)
		until = sc->dns_until;
	if (sc->open == 0 && (now >= until || (s->in.n > 0 && greets(conf))))
		finish(s);
	else
		session_wait(s, until > now ? until - now : 1, on_time);
}

static void
on_time(struct session *s)
{
	consider(s);
}

static void
on_listed(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct screen *sc = s->screen;

	for (size_t i = 0; i < s->server->nzones; i++) {
		const struct dnsbl *list = &s->server->zones[i].list;
		if (msg != NULL && sc->ids[i] != head->id)
			continue;
		if (msg != NULL && head->type == MSG_DNS_RECORD) {
			if (msg->dns_record.type == TYPE_A && !sc->hits[i] &&
			    dnsbl_hit(list, msg->dns_record.data)) {
				sc->hits[i] = true;
				sc->rank += list->weight;
				log_info("addr %s listed by domain %s", s->client_addr, list->zone);
			}
			return;
		}
		if (sc->ids[i] != 0 && sc->open > 0)
			sc->open--;
		sc->ids[i] = 0;
	}
	consider(s);
}

static void
ask_lists(struct session *s)
{
	struct server *server = s->server;
	struct screen *sc = s->screen;
	char name[512];

	sc->resolver = service_peer(server->service, PROGRAM_RESOLVER, s->serial);
	for (size_t i = 0; lists(server) && sc->resolver != NULL && i < server->nzones; i++) {
		if (!dnsbl_name(
			name, sizeof name, str_from(s->client_addr), server->zones[i].list.zone))
			continue;
		struct msg_dns_query msg = {.name = str_from(name), .type = TYPE_A};
		sc->ids[i] = chan_call(sc->resolver, s->trace, MSG_DNS_QUERY, &msg, on_listed, s);
		sc->open += sc->ids[i] != 0;
	}
}

static void
begin(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;
	struct screen *sc = xcalloc(1, sizeof *sc);

	s->screen = sc;
	sc->ids = xcalloc(s->server->nzones + 1, sizeof *sc->ids);
	sc->hits = xcalloc(s->server->nzones + 1, sizeof *sc->hits);
	sc->began = clock_ms();
	sc->quiet_until =
	    sc->began + (greets(conf) ? session_pressed(s, conf->postscreen_greet_wait) : 0);
	sc->dns_until = sc->began + conf->postscreen_dnsbl_timeout;
	ask_lists(s);
	consider(s);
}

/* --- is it known? --- */

static void
on_unanswered(struct session *s)
{
	chan_question_drop(s);
	begin(s);
}

static void
on_recalled(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;

	session_answered(s);
	if (msg != NULL && head->type == MSG_RECALLED && msg->recalled.found != 0) {
		log_info("PASS OLD [%s]:%u", s->client_addr, s->client_port);
		stage_go_on(s, NULL);
	} else {
		begin(s);
	}
}

static enum gate_answer
judge(struct session *s, enum stage stage, struct why *why)
{
	struct msg_recall msg = {.kind = STR("screened"), .key = str_from(s->client_addr)};

	if (stage == STAGE_RCPT) {
		if (s->screened == NULL)
			return GATE_PASS;
		*why = *s->screened;
		return GATE_REFUSE;
	}
	if (limits_exempt(s) || (!greets(s->server->conf) && !lists(s->server)))
		return GATE_PASS;
	if (!session_ask(s, PROGRAM_LIMITER, 0, MSG_RECALL, &msg, on_recalled)) {
		session_wait(s, 1, begin);
		return GATE_WAIT;
	}
	session_wait(s, LIMITER_MS, on_unanswered);
	return GATE_WAIT;
}

const struct gate gate_screen = {
    .name = "screen",
    .stages = STAGE_CONNECT | STAGE_RCPT,
    .ask = judge,
    .drop = drop,
};
